"""Run a table of the paper: progress, a clean stop, and its rows for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from cli.output import note, plain, show, show_json, show_line, table
from cli.progress import detailed, time_left
from cli.runsettings import parse_settings, readable
from cli.stopping import stopping
from engines.runtimes import require
from train.experiments.tables import table as paper_table

if TYPE_CHECKING:
    from train.experiments.runner import TableProgress

SHOWN = {"map": "mAP", "top1": "top-1"}
"""Metrics that a terminal has room for; the files have all."""
NOTHING = "-"


def run_paper_table(
    name: str,
    data: Sequence[Path],
    out: Path,
    pairs: Sequence[str],
    *,
    test: Path | None,
    preset: str,
    seeds: int,
    gallery: str | None,
    device: str,
    jobs: int,
    bundles: bool,
    as_json: bool,
) -> None:
    """Train and score what is not done yet, then print the table and where its files lie."""
    draws = paper_table(name).figures
    overrides = parse_settings(pairs)
    for module in ("torch", *(["matplotlib"] if draws else [])):
        require(module, "train")
    from train.experiments.runner import run_table
    from train.experiments.runs import TrainingStoppedError

    with stopping() as stop, detailed("reading the data") as draw:

        def progress(now: "TableProgress") -> None:
            draw(_stage(now), now.done, now.total, time_left(now.seconds_left), _row(now))

        try:
            with readable(()):
                report = run_table(
                    name, data, out, preset=preset, seeds=seeds, test=test, gallery=gallery,
                    overrides=overrides, device=device, bundles=bundles, jobs=jobs,
                    progress=progress, stop=stop.event.is_set,
                )  # fmt: skip
        except TrainingStoppedError as error:
            note(str(error))
            raise typer.Exit(stop.code or 0) from error
    document = report.as_json()
    if as_json:
        show_json(plain(document, 6))
        return
    show(f"{document['title']}, in percent", _rows(document))
    for path in (report.markdown, report.csv, *report.pictures):
        show_line(str(path))


def _stage(now: "TableProgress") -> str:
    return f"run {now.run}/{now.runs} {now.stage}"


def _row(now: "TableProgress") -> str:
    return f"{now.label}, seed {now.seed}"


def _rows(document: Mapping[str, Any]) -> Table:
    heads = ["", *(f">{name} {whose}" for name in SHOWN.values() for whose in ("paper", "here"))]
    rows = []
    for row in document["rows"]:
        cells = [
            text
            for metric in SHOWN
            for text in (_published(row, metric), _here(row["scores"].get(metric)))
        ]
        rows.append((row["label"], *cells))
    return table(heads, rows)


def _published(row: Mapping[str, Any], metric: str) -> str:
    value = row["published"].get(metric)
    return NOTHING if value is None else f"{100 * value:.1f}"


def _here(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return NOTHING
    if cell["mean"] is None:
        return "diverged"
    spread = f" ± {100 * cell['spread']:.1f}" if len(cell["values"]) > 1 else ""
    return f"{100 * cell['mean']:.1f}{spread}"
