"""Check a data set and say all that is wrong with it."""

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.table import Table

from cli.errors import USAGE
from cli.output import facts, plain, show, show_json, show_line, table
from cli.progress import stages
from train.data.check import CheckProgress, CheckReport, check_set
from train.data.sets import LAYOUTS, PEOPLE


def run_check_set(data: Path, *, pixels: bool, as_json: bool) -> None:
    """Print counts, faults and notes; exit code 2 when there are faults."""
    with stages("reading") as tick:

        def progress(now: CheckProgress) -> None:
            tick(now.stage, now.done, now.total)

        report = check_set(data, pixels=pixels, progress=progress)
    if as_json:
        show_json(plain(report.as_json(), 6))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(USAGE)


def _show(report: CheckReport) -> None:
    show(facts([("data", report.root), ("layout", _title(report.layout))]), _counts(report.counts))
    for fault in report.faults:
        show_line(f"fault: {fault}")
    for remark in report.notes:
        show_line(f"note: {remark}")
    show(_verdict(len(report.faults), len(report.notes)))


def _title(layout: str) -> str:
    if layout == PEOPLE:
        return "pictures of people without identities, for the detector"
    return next(known.title for known in LAYOUTS if known.name == layout)


def _counts(counts: Mapping[str, Mapping[str, float]]) -> Table:
    things = dict.fromkeys(thing for split in counts.values() for thing in split)
    rows = [
        (thing.replace("_", " "), *(_number(split.get(thing)) for split in counts.values()))
        for thing in things
    ]
    return table(["", *(f">{split}" for split in counts)], rows)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _verdict(faults: int, notes: int) -> str:
    noted = f"{notes} {'note' if notes == 1 else 'notes'}"
    if not faults:
        return f"No fault, {noted}."
    return f"{faults} {'fault' if faults == 1 else 'faults'}, {noted}."
