"""The sections of a report, from journey to how it was made."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from gallery.coverage import CameraCoverage, Coverage, duration_text
from gallery.journey import RejectedVisit, Visit
from gallery.journey_scores import JourneyScores, TruthVisit
from gallery.report_html import Html, moment, picture, score, tag
from gallery.search import Hit
from gallery.values import Sighting

Crop = Callable[[Sighting], bytes | None]
MOST_SHOTS = 4
"""Pictures of one visit."""


def journey_section(
    visits: Sequence[Visit], crop: Crop, dated: bool, scores: JourneyScores | None
) -> Html:
    """Return the journey as cards in order of time, with the time between them."""
    if not visits:
        text = "No tracklet was like enough to be taken for the person. See what was not watched."
        return tag("section", tag("h2", "Journey"), tag("p", text, class_="empty"))
    waits = [tag("p", "first seen", class_="wait first")]
    waits += [_wait(one, after) for one, after in pairwise(visits)]
    marks = scores.right if scores is not None else (None,) * len(visits)
    cards = [
        tag("li", wait, _card(number, visit, crop, dated, mark), class_="stop")
        for number, (visit, wait, mark) in enumerate(zip(visits, waits, marks, strict=True), 1)
    ]
    return tag("section", tag("h2", "Journey"), tag("ol", cards, class_="journey"))


def coverage_section(coverage: Coverage, dated: bool) -> Html:
    """Return what was watched and what not, in words and in a table."""
    warning = (
        "No result does not mean not there: a person can pass unseen while a camera is not watched "
        "or a frame is dropped, hidden behind somebody, or too small to be found."
    )
    rows = [_coverage_row(camera, dated) for camera in coverage.cameras]
    heads = ("Camera", "Watched", "Not watched", "Frames", "Searched", "Dropped")
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    return tag(
        "section",
        tag("h2", "What was watched"),
        tag("p", coverage.summary()),
        tag("ul", [tag("li", line) for line in coverage.lines()], class_="lines"),
        tag("p", warning, class_="callout"),
        tag("div", tag("table", head, tag("tbody", rows)), class_="wide") if rows else None,
    )


def results_section(hits: Sequence[Hit], crop: Crop, dated: bool) -> Html | None:
    """Return the sightings most like the query, best first."""
    if not hits:
        return None
    cards = [_shot(f"{rank}", hit, crop, dated) for rank, hit in enumerate(hits, 1)]
    return tag(
        "section",
        tag("h2", "Sightings most like the query"),
        tag("p", "Best first; the score is a cosine, 1 is the same picture.", class_="quiet lead"),
        tag("ol", [tag("li", card) for card in cards], class_="grid"),
    )


def rejected_section(rejected: Sequence[RejectedVisit], crop: Crop, dated: bool) -> Html | None:
    """Return who looked like the person and was not taken, with the reason."""
    if not rejected:
        return None
    rows = [tag("li", _rejected(one, crop, dated)) for one in rejected]
    return tag(
        "section",
        tag("h2", "Candidates that were not taken"),
        tag("ul", rows, class_="rejections"),
    )


def truth_section(
    visits: Sequence[Visit], truth: Sequence[TruthVisit], scores: JourneyScores, dated: bool
) -> Html:
    """Return the true visits, and which of them were found."""
    heads = ("Camera", "Enter", "Leave", "Found")
    rows = [
        tag(
            "tr",
            tag("th", one.camera, scope="row"),
            tag("td", moment(one.enter_ms, dated=dated)),
            tag("td", moment(one.leave_ms, dated=dated)),
            tag("td", _mark(found, "found", "missed")),
        )
        for one, found in zip(truth, scores.found, strict=True)
    ]
    right = f"{sum(scores.right)} of {len(visits)} visits of the journey are right"
    found = f"{sum(scores.found)} of {len(truth)} true visits were found"
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    return tag(
        "section",
        tag("h2", "Beside the truth"),
        tag("p", f"{right}; {found}."),
        tag("div", tag("table", head, tag("tbody", rows)), class_="wide"),
    )


def facts_section(facts: Sequence[tuple[str, str]]) -> Html | None:
    """Return how the report was made."""
    if not facts:
        return None
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]
    return tag("section", tag("h2", "How this was made"), tag("dl", pairs, class_="facts"))


def _card(number: int, visit: Visit, crop: Crop, dated: bool, right: bool | None) -> Html:
    chosen = _spread(visit.sightings)
    words = f"the person in {visit.camera}, visit {number}"
    lasted = duration_text(visit.leave_ms - visit.enter_ms)
    return tag(
        "article",
        tag("div", [picture(crop(hit.sighting), words) for hit in chosen], class_="shots"),
        tag(
            "div",
            tag("h3", tag("span", str(number), class_="pin"), visit.camera),
            tag(
                "p",
                moment(visit.enter_ms, dated=dated),
                " to ",
                moment(visit.leave_ms, dated=dated),
                " ",
                tag("span", f"· {lasted}", class_="quiet whole"),
            ),
            tag("p", score(visit.score), _mark(right, "right", "wrong")),
            class_="words",
        ),
        class_="card",
    )


def _spread(hits: Sequence[Hit]) -> list[Hit]:
    """Return the best few hits of a visit, in order of time."""
    best = sorted(hits, key=lambda hit: -hit.score)[:MOST_SHOTS]
    return sorted(best, key=lambda hit: hit.sighting.captured_at_ms)


def _wait(one: Visit, after: Visit) -> Html:
    text = duration_text(max(0, after.enter_ms - one.leave_ms))
    return tag("p", f"{text} later", class_="wait")


def _shot(rank: str, hit: Hit, crop: Crop, dated: bool) -> Html:
    one = hit.sighting
    return tag(
        "article",
        picture(crop(one), f"sighting {rank}, {one.camera}"),
        tag("h3", tag("span", rank, class_="rank"), one.camera),
        tag("p", moment(one.captured_at_ms, dated=dated), class_="quiet"),
        tag("p", score(hit.score)),
        class_="shot",
    )


def _rejected(one: RejectedVisit, crop: Crop, dated: bool) -> Html:
    best = max(one.sightings, key=lambda hit: hit.score, default=None)
    data = None if best is None else crop(best.sighting)
    return tag(
        "article",
        picture(data, f"candidate in {one.camera}", class_="crop small"),
        tag(
            "div",
            tag("h3", one.camera),
            tag(
                "p",
                moment(one.enter_ms, dated=dated),
                " to ",
                moment(one.leave_ms, dated=dated),
                class_="quiet",
            ),
            tag("p", one.reason, class_="reason"),
        ),
        score(one.score),
        class_="rejection",
    )


def _coverage_row(camera: CameraCoverage, dated: bool) -> Html:
    missed = camera.down_ms + camera.stalled_ms + camera.disabled_ms + camera.unknown_ms
    gaps = [
        tag("li", moment(gap.start_ms, dated=dated), "-", moment(gap.end_ms, dated=dated),
            f" {gap.words}")
        for gap in camera.gaps[:MOST_SHOTS]
    ]  # fmt: skip
    more = len(camera.gaps) - len(gaps)
    dropped = ", ".join(f"{count} {cause}" for cause, count in camera.dropped) or "none"
    return tag(
        "tr",
        tag("th", camera.camera, scope="row"),
        tag("td", duration_text(camera.watched_ms)),
        tag(
            "td",
            duration_text(missed) if missed else "none",
            tag("ul", gaps, tag("li", f"and {more} more") if more > 0 else None) if gaps else None,
        ),
        tag("td", str(camera.frames), class_="number"),
        tag("td", str(camera.searched), class_="number"),
        tag("td", dropped),
    )


def _mark(right: bool | None, yes: str, no: str) -> Html | None:
    if right is None:
        return None
    sign, words, class_ = ("✓", yes, "yes") if right else ("✗", no, "no")
    return tag("span", f"{sign} {words}", class_=f"mark {class_}")
