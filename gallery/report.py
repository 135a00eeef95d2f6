"""A report: one HTML page that holds all it needs, to be read, printed and kept.

No script, no font, no picture from elsewhere; a policy in the page forbids it. What comes from
outside (names, reasons, titles) is escaped by construction, see ``gallery.report_html``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from gallery.coverage import Coverage, duration_text
from gallery.disk import write_atomic
from gallery.journey import RejectedVisit, Visit
from gallery.journey_scores import JourneyScores, TruthVisit, score_journey
from gallery.report_html import Html, join, moment, picture, tag
from gallery.report_sections import (
    coverage_section,
    facts_section,
    journey_section,
    rejected_section,
    results_section,
    truth_section,
)
from gallery.report_timeline import Scale, timeline
from gallery.search import Hit
from gallery.values import Sighting

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the query, JPEG or PNG, and what it shows."""

    data: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A number worth a line: ``search mAP``, ``0.83``, and what it means."""

    name: str
    value: str
    meaning: str = ""


def no_crop(_: Sighting) -> bytes | None:
    """Stand in for a gallery that has no crops."""
    return None


@dataclass(frozen=True, slots=True, eq=False)
class ReportContent:
    """All that a report tells.

    ``journey`` None = nobody asked for one. ``crop`` gives a sighting's JPEG, as
    ``Gallery.crop`` does. ``truth`` and ``figures`` belong to demonstrations, where the truth is
    known; ``given`` is the sighting that was asked with, which the scores leave out.
    ``facts`` tell how it was made: engine, model, settings, versions.
    """

    title: str
    asked: str
    made_at_ms: int
    coverage: Coverage
    pictures: tuple[Picture, ...] = ()
    journey: tuple[Visit, ...] | None = None
    rejected: tuple[RejectedVisit, ...] = ()
    results: tuple[Hit, ...] = ()
    exhaustive: bool = True
    note: str = ""
    crop: Callable[[Sighting], bytes | None] = no_crop
    truth: tuple[TruthVisit, ...] | None = None
    given: str = ""
    figures: tuple[Figure, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page, whole or not at all.

    Raises:
        StorageFullError: the disk is full.
        StoreError: it cannot be written, or a crop cannot be read.
    """
    write_atomic(path, render(content).encode())


def render(content: ReportContent) -> str:
    """Return the page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{content.title} · Sightline"),
        tag("style", Html(files("gallery").joinpath("report.css").read_text(encoding="utf-8"))),
    )
    body = tag("body", _header(content), tag("main", _sections(content)), _footer(content))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _sections(content: ReportContent) -> Html:
    visits = content.journey or ()
    truth = content.truth or ()
    scale = interval(content)
    scores = None
    if content.truth is not None:
        scores = score_journey(visits, truth, given=content.given)
    return join(
        _summary(content, scale, scores),
        None
        if content.journey is None
        else journey_section(visits, content.crop, scale.dated, scores),
        _timeline(content, scale),
        coverage_section(content.coverage, scale.dated),
        results_section(content.results, content.crop, scale.dated),
        rejected_section(content.rejected, content.crop, scale.dated),
        None if scores is None else truth_section(visits, truth, scores, scale.dated),
        _figures(content.figures),
        facts_section(content.facts),
    )


def interval(content: ReportContent) -> Scale:
    """Return the interval that the page shows: what was asked, and all that was found."""
    spans = [(one.enter_ms, one.leave_ms) for one in content.journey or ()]
    spans += [(one.enter_ms, one.leave_ms) for one in content.rejected]
    spans += [(hit.sighting.captured_at_ms,) * 2 for hit in content.results]
    if content.coverage.until_ms > content.coverage.since_ms:
        spans.append((content.coverage.since_ms, content.coverage.until_ms))
    if not spans:
        return Scale(content.made_at_ms - 1000, content.made_at_ms)
    since, until = min(start for start, _ in spans), max(end for _, end in spans)
    return Scale(since, max(until, since + 1000))


def _header(content: ReportContent) -> Html:
    shots = [
        tag(
            "figure", picture(one.data, one.caption, class_="query"), tag("figcaption", one.caption)
        )
        for one in content.pictures
    ]
    return tag(
        "header",
        tag("div", shots, class_="queries") if shots else None,
        tag(
            "div",
            tag("p", "Sightline report", class_="kind"),
            tag("h1", content.title),
            tag("p", content.asked, class_="asked"),
            tag(
                "p",
                "Made ",
                moment(content.made_at_ms, dated=True),
                " UTC. All times are UTC.",
                class_="quiet",
            ),
            class_="heading",
        ),
    )


def _summary(content: ReportContent, scale: Scale, scores: JourneyScores | None) -> Html:
    tiles = _journey_tiles(content.journey, scale) if content.journey is not None else []
    if content.journey is None:
        tiles.append(_tile("Sightings", str(len(content.results)), "best first"))
        if content.results:
            best = content.results[0]
            tiles.append(_tile("Best score", f"{best.score:.2f}", best.sighting.camera))
    full = sum(camera.complete for camera in content.coverage.cameras)
    total = len(content.coverage.cameras)
    tiles.append(_tile("Watched without a gap", f"{full} of {total}", "cameras"))
    if scores is not None:
        tiles.append(_tile("Precision", f"{scores.precision:.0%}", "visits that are right"))
        tiles.append(_tile("Recall", f"{scores.recall:.0%}", "true visits found"))
    return tag("section", tiles, class_="tiles", aria_label="Summary")


def _journey_tiles(visits: Sequence[Visit] | None, scale: Scale) -> list[Html]:
    if not visits:
        return [_tile("Visits", "0", "nobody was like enough")]
    cameras = len({visit.camera for visit in visits})
    first, last = visits[0], visits[-1]
    lasted = duration_text(last.leave_ms - first.enter_ms)
    return [
        _tile("Visits", str(len(visits)), f"in {cameras} camera{'s' * (cameras != 1)}"),
        _tile("First seen", scale.clock(first.enter_ms), first.camera),
        _tile("Last seen", scale.clock(last.leave_ms), f"{last.camera}, after {lasted}"),
    ]


def _tile(name: str, value: str, more: str) -> Html:
    return tag(
        "div",
        tag("p", name, class_="name"),
        tag("p", value, class_="value"),
        tag("p", more, class_="more"),
        class_="tile",
    )


def _timeline(content: ReportContent, scale: Scale) -> Html:
    truth = content.truth or ()
    keys = [("watched", "watched"), ("gap", "not watched")]
    keys += [("visit", "visit")] if content.journey else []
    keys += [("rejected", "candidate not taken")] if content.rejected else []
    keys += [("truth", "truth")] if truth else []
    legend = [tag("li", tag("span", class_=f"key {kind}"), words) for kind, words in keys]
    return tag(
        "section",
        tag("h2", "Timeline"),
        timeline(content.coverage.cameras, scale, content.journey or (), content.rejected, truth),
        tag("ul", legend, class_="legend"),
    )


def _figures(figures: Sequence[Figure]) -> Html | None:
    if not figures:
        return None
    rows = [
        tag(
            "tr",
            tag("th", one.name, scope="row"),
            tag("td", one.value, class_="number"),
            tag("td", one.meaning, class_="quiet"),
        )
        for one in figures
    ]
    return tag(
        "section",
        tag("h2", "Scores"),
        tag("div", tag("table", tag("tbody", rows)), class_="wide"),
    )


def _footer(content: ReportContent) -> Html:
    reach = "The answer is exhaustive" if content.exhaustive else "The answer is not exhaustive"
    return tag(
        "footer",
        tag("p", f"{reach}: {content.note}." if content.note else f"{reach}."),
        tag(
            "p",
            "This page shows people. Keep it only as long as its purpose lasts, and share it only "
            "with those who need it.",
        ),
    )
