"""What the report page of a demo tells: the person, the truth, and the scores of everybody."""

from datetime import datetime
from pathlib import Path

from cli.demo_result import Outcome, figures_of
from cli.pages import asked_text, gallery_facts, query_pictures
from cli.queries import Sought
from gallery.gallery import Gallery
from gallery.report import Figure, ReportContent, write_report
from gallery.search import SearchAnswer, SearchQuery


def write_demo_page(
    path: Path, gallery: Gallery, outcome: Outcome, search: SearchAnswer, now: datetime
) -> None:
    """Write the page of a demo: the followed person, the truth, and the scores of everybody."""
    chosen, plan = outcome.chosen, outcome.plan
    assert chosen.answer is not None
    assert chosen.sighting is not None
    sought = Sought(
        chosen.sighting.embedding[None],
        gallery.crop(chosen.sighting) or b"",
        sighting=chosen.sighting,
    )
    made = (
        ("site", f"rendered: 4 cameras, {plan.people} people, {plan.seconds} s, seed {plan.seed}"),
        ("person", f"number {chosen.person.number}, in {chosen.person.cameras} cameras"),
    )
    content = ReportContent(
        title="One person followed across four cameras",
        asked=asked_text(SearchQuery(sought.embeddings), sought),
        made_at_ms=round(now.timestamp() * 1000),
        coverage=chosen.answer.coverage,
        pictures=query_pictures(sought),
        journey=chosen.answer.journey,
        rejected=chosen.answer.rejected,
        results=search.results,
        exhaustive=chosen.answer.exhaustive,
        note=chosen.answer.note,
        crop=gallery.crop,
        truth=chosen.person.visits,
        given=chosen.sighting.id,
        figures=tuple(Figure(*row) for row in figures_of(outcome)),
        facts=made + gallery_facts(gallery),
    )
    write_report(path, content)
