"""Write what a table found: Markdown beside the published figures, CSV with every seed."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.errors import CheckpointError
from train.experiments.curves import curve_rows, draw_curves
from train.experiments.results import Cell, RowResult, SeedScores, TableResult, search_score
from train.experiments.settings import RunPlan, Setting, scale_of
from train.experiments.source import TestData, TrainingData
from train.experiments.table import COLUMNS, Row

NOTHING = "–"
SPREAD = "mean ± sample standard deviation over the seeds"


@dataclass(frozen=True, slots=True)
class TableReport:
    """The files of a table, and all that stands in them."""

    result: TableResult
    markdown: Path
    csv: Path
    pictures: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """Return rows, figures and files as JSON values; scores are fractions of 1."""
        return {
            "table": self.result.table.name,
            "title": self.result.table.title,
            "seeds": self.result.seeds,
            "facts": dict(self.result.facts),
            "rows": [_row_json(row, self.result.table.columns) for row in self.result.rows],
            "markdown": str(self.markdown),
            "csv": str(self.csv),
            "pictures": [str(path) for path in self.pictures],
        }


def write_report(result: TableResult, out: Path) -> TableReport:
    """Write ``table<name>.md``, its CSV and its pictures into ``out``.

    Raises:
        CheckpointError: the disk refuses.
        BackendUnavailableError: there are curves to draw, and matplotlib is not installed.
    """
    stem = result.table.name if result.table.figures else f"table{result.table.name}"
    markdown, table = out / f"{stem}.md", out / f"{stem}.csv"
    _write(table, _csv(_seed_rows(result)))
    pictures = draw_curves(result, out, stem)
    if result.table.figures:
        _write(out / f"{stem}-curves.csv", _csv(curve_rows(result)))
    _write(markdown, _markdown(result, pictures))
    return TableReport(result, markdown, table, pictures)


def state_facts(
    setting: Setting,
    training: TrainingData,
    test: TestData,
    planned: Sequence[tuple[Row, RunPlan]],
) -> dict[str, str]:
    """Return what a reader must know to judge the figures."""
    configs = [plan.config for _, plan in planned]
    facts = {
        "preset": setting.preset,
        "its settings for experiments": _listed(scale_of(setting.preset).changes),
        "changed": _listed(setting.overrides),
        "trained on": f"{', '.join(f.name for f in training.folders)}: {training.pictures} "
        f"pictures, {training.identities} identities (digest {training.digest})",
        "searched": f"{test.data.root.name}: {len(test.data.images)} frames, "
        f"{len(test.data.queries)} queries, gallery {test.rule.name} (digest {test.digest})",
        "iterations": _several(c.iterations for c in configs),
        "pictures an iteration": _several(2 * c.pairs for c in configs),
        "backbone": ", ".join(sorted({c.network.backbone for c in configs})),
        "sizes": ", ".join(size for row, plan in planned for size in _sizes(row, plan)),
        "begun from": _begun_from([plan for _, plan in planned]),
    }
    return {name: value for name, value in facts.items() if value}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _sizes(row: Row, plan: RunPlan) -> Iterator[str]:
    """Yield what a row's size is at this scale, once for all seeds."""
    if row.training is None or plan.config.seed:
        return
    if row.training.pool is not None:
        yield f"{row.label} = a pool of {plan.config.loss.pool_size}"
    if row.training.dictionary is not None:
        yield f"{row.label} = {plan.config.loss.dictionary} slots"


def _begun_from(plans: Sequence[RunPlan]) -> str:
    starts = [plan.start.config for plan in plans if plan.start is not None]
    if not starts:
        return ""
    losses = "+".join(starts[0].loss.losses) or "none"
    lengths = _several(config.iterations for config in starts)
    return f"a run of {lengths} iterations for each network, seed 0, identity losses: {losses}"


def _several(numbers: Any) -> str:
    return ", ".join(map(str, sorted(set(numbers))))


def _markdown(result: TableResult, pictures: Sequence[Path]) -> str:
    table = result.table
    named = f"Figure {table.name[3:]}" if table.figures else f"Table {table.name}"
    parts = [
        f"# {named}: {table.title}",
        "\n".join(_table_lines(result)),
        "\n".join(f"![{path.stem}]({path.name})" for path in pictures),
        "\n".join(_notes(result)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table_lines(result: TableResult) -> Iterator[str]:
    names = [COLUMNS[column] for column in result.table.columns]
    heads = ["", *(f"{name}, published" for name in names), *(f"{name}, here" for name in names)]
    heads += ["detection AP", "seeds"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in result.rows:
        cells = [row.row.label + " ¹" * row.row.ours]
        cells += [_published(row, column) for column in result.table.columns]
        cells += [_here(row, row.cell(column)) for column in result.table.columns]
        cells += [_here(row, row.detection("ap")), str(len(row.seeds)) if row.seeds else NOTHING]
        yield "| " + " | ".join(cells) + " |"


def _published(row: RowResult, column: str) -> str:
    value = row.row.published.get(column)
    return NOTHING if value is None else f"{value:.1f}"


def _here(row: RowResult, cell: Cell) -> str:
    if not row.seeds:
        return NOTHING
    if not cell.values:
        return "diverged"
    spread = f" ± {100 * cell.spread:.1f}" if len(cell.values) > 1 else ""
    diverged = f" ({row.diverged} diverged)" if row.diverged else ""
    return f"{100 * cell.mean:.1f}{spread}{diverged}"


def _notes(result: TableResult) -> Iterator[str]:
    yield (
        f"In percent. Published: on {result.table.data}. Here: {SPREAD}; a row without figures "
        "here is another system's, as published."
    )
    if any(row.row.ours for row in result.rows):
        yield "¹ A row that the paper's table does not have."
    yield from result.table.remarks
    yield ""
    for name, value in result.facts.items():
        yield f"- {name}: {value}"
    shared = _shared_runs(result)
    if shared:
        yield f"- one and the same run: {shared}"


def _shared_runs(result: TableResult) -> str:
    """Name the rows that this preset trains alike and that are scored alike."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for row in result.rows:
        if row.seeds:
            key = (row.row.boxes, row.row.query, *(scores.run for scores in row.seeds))
            groups.setdefault(key, []).append(row.row.label)
    return "; ".join(" = ".join(labels) for labels in groups.values() if len(labels) > 1)


def _row_json(row: RowResult, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "label": row.row.label,
        "ours": row.row.ours,
        "published": {name: round(value / 100, 4) for name, value in row.row.published.items()},
        "scores": {column: _cell_json(row.cell(column)) for column in columns} if row.seeds else {},
        "runs": [scores.run for scores in row.seeds],
        "diverged": row.diverged,
        "seconds": None if math.isnan(row.seconds) else round(row.seconds, 1),
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    if not cell.values:
        return {"mean": None, "spread": None, "values": []}
    return {"mean": cell.mean, "spread": cell.spread, "values": list(cell.values)}


def _seed_rows(result: TableResult) -> Iterator[Sequence[object]]:
    """Yield a line for each row and seed; published rows have none of their own seeds."""
    columns = tuple(COLUMNS)
    yield (
        "row", "seed", "run", "iterations", "seconds",
        *(f"{c}_published" for c in columns), *columns, "detection_ap", "detection_recall",
    )  # fmt: skip
    for row in result.rows:
        published = [row.row.published.get(column, "") for column in columns]
        for scores in row.seeds:
            yield (row.row.label, *_seed_cells(scores, published, columns))
        if not row.seeds:
            yield (row.row.label, "", "", "", "", *published, *[""] * (len(columns) + 2))


def _seed_cells(
    scores: SeedScores, published: Sequence[object], columns: Sequence[str]
) -> Iterator[object]:
    yield from (scores.seed, scores.run)
    yield scores.finished.get("iterations", "diverged")
    yield scores.finished.get("seconds", "")
    yield from published
    if not scores.report:
        yield from [""] * (len(columns) + 2)
        return
    yield from (_percent(search_score(scores.report, column)) for column in columns)
    yield from (_percent(scores.report["detection"][name]) for name in ("ap", "recall"))


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _csv(rows: Iterator[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error
