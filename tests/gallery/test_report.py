import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from gallery.coverage import coverage_of
from gallery.journey import RejectedVisit, Visit
from gallery.journey_scores import TruthVisit
from gallery.report import Figure, Picture, ReportContent, interval, render, write_report
from gallery.report_html import VOID, Html, join, tag
from gallery.report_timeline import mark_times
from gallery.search import Hit
from gallery.values import CameraState, CoverageSpan, Sighting

Make = Callable[..., Sighting]
EVIL = "\"><script>alert(1)</script><img src=http://evil.example/x onerror='x'>&lt;"
JPEG_URI = "data:image/jpeg;base64,"
JPEG = b"\xff\xd8\xff\xe0 not really"


class Page(HTMLParser):
    """Reads a page: its elements in order, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture
def content(make_sighting: Make, morning_ms: int) -> ReportContent:
    def hits(camera: str, *seconds: float) -> tuple[Hit, ...]:
        times = [morning_ms + round(1000 * second) for second in seconds]
        return tuple(Hit(make_sighting(camera, at_ms), 0.8) for at_ms in times)

    def at(second: float) -> int:
        return morning_ms + round(1000 * second)

    spans = [
        CoverageSpan("gate", CameraState.WATCHED, at(0), at(60), 600, 300),
        CoverageSpan("hall", CameraState.WATCHED, at(0), at(30), dropped=(("late", 4),)),
        CoverageSpan("hall", CameraState.DOWN, at(30), at(40), reason="connection refused"),
    ]
    return ReportContent(
        title="Who came to the gate",
        asked="Where else was the person at the gate?",
        made_at_ms=at(3600),
        coverage=coverage_of(spans, ["gate", "hall"], at(0), at(60)),
        pictures=(Picture(JPEG, "the person looked for"),),
        journey=(
            Visit("gate", at(2), at(9), 0.91, hits("gate", 2, 5, 9), ("gate/1-1",)),
            Visit("hall", at(15), at(21), 0.77, hits("hall", 15, 21), ("hall/1-1",)),
        ),
        rejected=(
            RejectedVisit(
                "hall", at(11), at(12), 0.7, "2 s from gate to hall is under the least travel "
                "time of 5 s", hits("hall", 11), "hall/2-1",
            ),
        ),
        results=hits("gate", 2, 5) + hits("hall", 15),
        note="every stored sighting within the limits was compared",
        crop=lambda one: JPEG if one.camera == "gate" else None,
        truth=(TruthVisit("gate", at(1), at(9)), TruthVisit("yard", at(40), at(50))),
        figures=(Figure("search mAP", "0.83", "over 22 people"),),
        facts=(("Model", "m-0123"), ("Engine", "sightline-small")),
    )  # fmt: skip


def test_page_tells_all_of_it(content: ReportContent) -> None:
    words = Page(render(content)).words
    for piece in (
        "Who came to the gate",
        "Where else was the person at the gate?",
        "hall: watched 08:00:00-08:00:30, not watched 08:00:30-08:00:40 "
        "(down: connection refused), not watched 08:00:40-08:01:00 (nothing recorded); "
        "frames dropped: 4 late",
        "No result does not mean not there",
        "1 of 2 cameras were watched all the time, 2026-03-02 08:00:00-08:01:00 UTC.",
        "2 s from gate to hall is under the least travel time of 5 s",
        "6 s later",
        "1 of 2 visits of the journey are right; 1 of 2 true visits were found.",
        "✗ missed",
        "search mAP",
        "m-0123",
        "The answer is exhaustive: every stored sighting within the limits was compared.",
    ):
        assert piece in words, piece


def test_page_is_whole_and_asks_nothing_of_anybody(content: ReportContent) -> None:
    text = render(content)
    page = Page(text)
    assert text.startswith("<!doctype html>\n")
    assert page.named("html") == [{"lang": "en"}]
    assert {"script", "link", "iframe", "object", "base"}.isdisjoint(
        name for name, _ in page.elements
    )
    for _, attributes in page.elements:
        assert not {"href", "srcset", "action", "onclick", "onload"} & set(attributes)
        assert str(attributes.get("src", JPEG_URI)).startswith(JPEG_URI)
    (policy,) = [one for one in page.named("meta") if "http-equiv" in one]
    assert str(policy["content"]).startswith("default-src 'none'")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(#hatch)" in style
    assert re.findall(r"@import|url\((?!#)", style) == []


def test_every_picture_has_words(content: ReportContent) -> None:
    page = Page(render(content))
    assert len(page.named("img")) == 1 + 3 + 2
    assert all(one["alt"] for one in page.named("img"))
    (drawing,) = page.named("svg")
    assert drawing["role"] == "img"
    assert "Visit 2: hall, 08:00:15 to 08:00:21." in str(drawing["aria-label"])
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= one + 1 for one, after in pairwise(levels))


def test_light_dark_and_paper(content: ReportContent) -> None:
    text = render(content)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text


def evil(content: ReportContent) -> ReportContent:
    """The same report, with every text that comes from outside turned hostile."""
    cameras = tuple(replace(one, camera=EVIL) for one in content.coverage.cameras)
    gaps = tuple(replace(gap, reason=EVIL) for gap in cameras[1].gaps)
    cameras = (cameras[0], replace(cameras[1], gaps=gaps, dropped=((EVIL, 2),)))
    assert content.journey is not None
    assert content.truth is not None
    return replace(
        content,
        title=EVIL,
        asked=EVIL,
        coverage=replace(content.coverage, cameras=cameras),
        pictures=(Picture(JPEG, EVIL),),
        journey=tuple(replace(one, camera=EVIL) for one in content.journey),
        rejected=tuple(replace(one, camera=EVIL, reason=EVIL) for one in content.rejected),
        results=tuple(
            replace(one, sighting=replace(one.sighting, camera=EVIL)) for one in content.results
        ),
        note=EVIL,
        crop=lambda _: JPEG,
        truth=tuple(replace(one, camera=EVIL) for one in content.truth),
        figures=(Figure(EVIL, EVIL, EVIL),),
        facts=((EVIL, EVIL),),
    )


def test_hostile_names_stay_text(content: ReportContent) -> None:
    calm, hostile = Page(render(content)), Page(render(evil(content)))
    assert EVIL in hostile.words
    assert {name for name, _ in hostile.elements} == {name for name, _ in calm.elements}
    allowed = {key for _, attributes in calm.elements for key in attributes}
    assert {key for _, attributes in hostile.elements for key in attributes} <= allowed


def test_page_without_a_journey_and_without_results(content: ReportContent) -> None:
    bare = ReportContent("t", "a", content.made_at_ms, coverage_of([], [], 0, 0))
    words = Page(render(bare)).words
    assert "No camera is on record." in words
    assert "No result does not mean not there" in words
    assert "Journey" not in words
    nobody = replace(content, journey=(), rejected=(), results=(), truth=None)
    assert "No tracklet was like enough" in Page(render(nobody)).words
    only = replace(content, journey=None, rejected=(), truth=None, exhaustive=False, note="cut")
    words = Page(render(only)).words
    assert "Sightings most like the query" in words
    assert "The answer is not exhaustive: cut." in words


def test_drawing_covers_what_was_found_outside_the_record(
    content: ReportContent, morning_ms: int
) -> None:
    assert content.journey is not None
    late = replace(content.journey[1], leave_ms=morning_ms + 90_000)
    scale = interval(replace(content, journey=(late,)))
    assert (scale.since_ms, scale.until_ms) == (morning_ms, morning_ms + 90_000)
    assert scale.x(morning_ms + 45_000) == 50.0
    assert (scale.x(0), scale.x(2**50)) == (0.0, 100.0)


@pytest.mark.parametrize("length_s", [1, 7, 59, 60, 300, 4_000, 86_400, 900_000, 10**8])
def test_axis_has_a_few_round_marks(length_s: int, morning_ms: int) -> None:
    marks = mark_times(morning_ms + 123, morning_ms + 123 + 1000 * length_s)
    assert 0 < len(marks) <= 8 or length_s == 1
    assert all(mark % 1000 == 0 for mark in marks)
    assert len({after - one for one, after in pairwise(marks)}) <= 1


def test_html_escapes_by_construction() -> None:
    assert (
        tag("p", "<b>", Html("<i>ok</i>"), None, ["&", "'"])
        == "<p>&lt;b&gt;<i>ok</i>&amp;&#x27;</p>"
    )
    assert tag("a", class_='"x', hidden=True, title=None, aria_label="é") == (
        '<a class="&quot;x" hidden aria-label="é"></a>'
    )
    assert tag("img", alt="") == '<img alt=""/>'
    assert "img" in VOID
    assert join("a", [["<"]]) == "a&lt;"


def test_report_is_written_whole(content: ReportContent, tmp_path: Path) -> None:
    write_report(tmp_path / "out" / "report.html", content)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8") == render(content)
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.services
def test_browser_reads_it_and_runs_nothing(content: ReportContent, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail("REQUIRE_CHROMIUM=1, but there is no Chromium")
        pytest.skip("no Chromium is installed")
    write_report(tmp_path / "report.html", evil(content))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
    page = (tmp_path / "report.html").as_uri()
    command = [browser, *flags, "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}", page]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    assert "Candidates that were not taken" in run.stdout
    assert "<script" not in run.stdout
    assert "&lt;script&gt;alert(1)" in run.stdout
