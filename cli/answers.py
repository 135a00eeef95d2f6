"""Ask the gallery and print the answer: a table for people, one document for programs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from cli.commands.find import Question
from cli.output import clock, iso, note, show, show_json, show_line, table, xywh
from cli.pages import write_search_page, write_track_page
from cli.queries import Sought, asked, query_document
from gallery.coverage import Coverage
from gallery.gallery import Gallery
from gallery.journey import JourneyAnswer, JourneySettings, RejectedVisit, Visit, track
from gallery.search import Hit, SearchAnswer, SearchQuery
from gallery.values import day_of


def run_search(question: Question, *, report: Path | None, as_json: bool) -> None:
    """Search, print, and write the report if one is wanted."""
    now = datetime.now(UTC)
    with asked(question, now) as (gallery, sought, query):
        answer = gallery.search(replace(query, exclude=_itself(sought)))
        document = search_document(gallery, query, sought, answer)
        path = gallery.path
        if report is not None:
            write_search_page(report, gallery, query, sought, answer, now)
    if as_json:
        show_json(document)
    else:
        show(hits_table(answer.results))
        if any(hit.sighting.crop for hit in answer.results):
            show_line(f"Crops: {path / 'crops'}/CAMERA/DAY/SIGHTING.jpg")
        show(*coverage_lines(answer.coverage), sentence(answer.note))
    _wrote(report)


def run_track(question: Question, *, report: Path | None, as_json: bool) -> None:
    """Build the journey, print, and write the report if one is wanted."""
    now = datetime.now(UTC)
    with asked(question, now) as (gallery, sought, query):
        answer = track(gallery, query, settings=JourneySettings(most_rejected=question.top))
        document = track_document(gallery, query, sought, answer)
        if report is not None:
            write_track_page(report, gallery, query, sought, answer, now)
    if as_json:
        show_json(document)
    else:
        show(journey_table(answer.journey))
        if answer.rejected:
            show(rejected_table(answer.rejected))
        show(*coverage_lines(answer.coverage), sentence(answer.note))
    _wrote(report)


def _itself(sought: Sought) -> frozenset[str]:
    """A sighting is always most like itself: it is left out of its own results."""
    return frozenset() if sought.sighting is None else frozenset({sought.sighting.id})


def search_document(
    gallery: Gallery, query: SearchQuery, sought: Sought, answer: SearchAnswer
) -> dict[str, object]:
    """Return the JSON answer of a search."""
    return {
        "query": query_document(gallery, query, sought),
        "results": [hit_document(gallery.path, hit) for hit in answer.results],
        "coverage": coverage_document(answer.coverage),
        "exhaustive": answer.exhaustive,
        "note": answer.note,
    }


def hit_document(gallery: Path, hit: Hit) -> dict[str, object]:
    """Return one result for JSON; ``crop`` is an absolute path, None when there is none."""
    one = hit.sighting
    return {
        "sighting": one.id,
        "camera": one.camera,
        "captured_at": iso(one.captured_at_ms),
        "score": round(hit.score, 4),
        "box": xywh(one.box),
        "crop": str((gallery / one.crop).absolute()) if one.crop else None,
        "tracklet": one.tracklet,
    }


def coverage_document(coverage: Coverage) -> dict[str, object]:
    """Return the coverage for JSON, with its sentence for people and its times as text."""
    since, until = (iso(ms) for ms in (coverage.since_ms, coverage.until_ms))
    return {
        "summary": coverage.summary(),
        "since": since,
        "until": until,
        **coverage.to_dict(),
    }


def track_document(
    gallery: Gallery, query: SearchQuery, sought: Sought, answer: JourneyAnswer
) -> dict[str, object]:
    """Return the JSON answer of a track."""
    return {
        "query": query_document(gallery, query, sought),
        "journey": [visit_document(gallery.path, visit) for visit in answer.journey],
        "rejected": [
            {**visit_document(gallery.path, visit), "reason": visit.reason}
            for visit in answer.rejected
        ],
        "coverage": coverage_document(answer.coverage),
        "exhaustive": answer.exhaustive,
        "note": answer.note,
    }


def visit_document(gallery: Path, visit: Visit | RejectedVisit) -> dict[str, object]:
    """Return one visit for JSON."""
    return {
        "camera": visit.camera,
        "enter": iso(visit.enter_ms),
        "leave": iso(visit.leave_ms),
        "score": round(visit.score, 4),
        "sightings": [hit_document(gallery, hit) for hit in visit.sightings],
    }


def hits_table(hits: Sequence[Hit]) -> RenderableType:
    """Return results for people, best first."""
    if not hits:
        return "Nobody like that was found."
    rows = [
        (n, hit.sighting.id, hit.sighting.camera, clock(hit.sighting.captured_at_ms),
         f"{hit.score:.3f}")
        for n, hit in enumerate(hits, 1)
    ]  # fmt: skip
    return table([">#", "sighting", "camera", "captured at (UTC)", ">score"], rows)


def journey_table(journey: Sequence[Visit]) -> RenderableType:
    """Return the visits for people, in order of time."""
    if not journey:
        return "Nobody like that was found."
    return table(["camera", "enter (UTC)", "leave (UTC)", ">score", ">sightings"],
                 [_visit_row(visit) for visit in journey])  # fmt: skip


def rejected_table(rejected: Sequence[RejectedVisit]) -> Table:
    """Return what was rejected for people, each with its reason."""
    columns = ["rejected", "enter (UTC)", "leave (UTC)", ">score", "because"]
    dated = len({day_of(visit.enter_ms) for visit in rejected}) > 1
    rows = [(*_visit_row(visit, dated=dated)[:4], visit.reason) for visit in rejected]
    return table(columns, rows)


def _visit_row(visit: Visit | RejectedVisit, *, dated: bool = True) -> tuple[object, ...]:
    return (
        visit.camera,
        clock(visit.enter_ms, dated=dated),
        clock(visit.leave_ms, dated=dated),
        f"{visit.score:.3f}",
        len(visit.sightings),
    )


def coverage_lines(coverage: Coverage) -> list[str]:
    """Return what was watched, for people."""
    return [coverage.summary(), *(f"  {line}" for line in coverage.lines())]


def sentence(text: str) -> str:
    """Return a note as a sentence."""
    return text[:1].upper() + text[1:] + "."


def _wrote(report: Path | None) -> None:
    if report is not None:
        note(f"report: {report.absolute()}")
