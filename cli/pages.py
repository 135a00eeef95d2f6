"""What the report page of a search or a track tells."""

from datetime import datetime
from pathlib import Path

from cli.output import clock, xywh
from cli.queries import Sought
from gallery.gallery import Gallery
from gallery.journey import JourneyAnswer
from gallery.report import Picture, ReportContent, write_report
from gallery.search import SearchAnswer, SearchQuery


def write_search_page(
    path: Path,
    gallery: Gallery,
    query: SearchQuery,
    sought: Sought,
    answer: SearchAnswer,
    now: datetime,
) -> None:
    """Write the page of a search."""
    content = ReportContent(
        title="Who looks like this?",
        asked=asked_text(query, sought),
        made_at_ms=round(now.timestamp() * 1000),
        coverage=answer.coverage,
        pictures=query_pictures(sought),
        results=answer.results,
        exhaustive=answer.exhaustive,
        note=answer.note,
        crop=gallery.crop,
        facts=gallery_facts(gallery),
    )
    write_report(path, content)


def write_track_page(
    path: Path,
    gallery: Gallery,
    query: SearchQuery,
    sought: Sought,
    answer: JourneyAnswer,
    now: datetime,
) -> None:
    """Write the page of a track."""
    content = ReportContent(
        title="Where did this person go?",
        asked=asked_text(query, sought),
        made_at_ms=round(now.timestamp() * 1000),
        coverage=answer.coverage,
        pictures=query_pictures(sought),
        journey=answer.journey,
        rejected=answer.rejected,
        exhaustive=answer.exhaustive,
        note=answer.note,
        crop=gallery.crop,
        facts=gallery_facts(gallery),
    )
    write_report(path, content)


def asked_text(query: SearchQuery, sought: Sought) -> str:
    """Return the question in words."""
    parts = [_whom(sought)]
    if query.cameras:
        parts.append("in cameras " + ", ".join(query.cameras))
    if query.since_ms is not None:
        parts.append(f"since {clock(query.since_ms)} UTC")
    if query.until_ms is not None:
        parts.append(f"until {clock(query.until_ms)} UTC")
    return ", ".join(parts)


def _whom(sought: Sought) -> str:
    if sought.sighting is not None:
        one = sought.sighting
        return f"the person of sighting {one.id} ({one.camera}, {clock(one.captured_at_ms)} UTC)"
    box = ",".join(f"{value:g}" for value in xywh(sought.box or (0, 0, 0, 0)))
    return f"the person at {box} (x, y, width, height) of {sought.image}"


def query_pictures(sought: Sought) -> tuple[Picture, ...]:
    """Return the picture of the person looked for."""
    return (Picture(sought.picture, "looked for"),) if sought.picture else ()


def gallery_facts(gallery: Gallery) -> tuple[tuple[str, str], ...]:
    """Return which gallery answered, and whose vectors it holds."""
    return ("gallery", str(gallery.path.absolute())), ("model", gallery.model)
