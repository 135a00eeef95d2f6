"""The curves of Figs. 12 and 13: their points over seeds, as rows of CSV and as pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from train.evaluation.galleries import GalleryPoint
from train.evaluation.plots import (
    ScorePoint,
    plot_gallery_curves,
    plot_loss_weights,
    plot_training_curves,
)
from train.evaluation.protocol import TOP_RANKS
from train.experiments.results import Cell, RowResult, TableResult, search_score


def draw_curves(result: TableResult, out: Path, stem: str) -> tuple[Path, ...]:
    """Draw what a table has curves of, from the rows that have points; return the files.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: a picture cannot be written.
    """
    drawers = {"gallery": _draw_sizes, "training": _draw_training, "weights": _draw_weights}
    paths = [(kind, out / f"{stem}-{kind}.png") for kind in result.table.figures]
    return tuple(path for kind, path in paths if drawers[kind](path, result))


def _draw_sizes(path: Path, result: TableResult) -> bool:
    systems = {row.row.label: points for row in result.rows if (points := gallery_points(row))}
    if systems:
        plot_gallery_curves(path, systems)
    return bool(systems)


def _draw_training(path: Path, result: TableResult) -> bool:
    systems = {row.row.label: points for row in result.rows if (points := training_points(row))}
    if systems:
        plot_training_curves(path, systems)
    return bool(systems)


def _draw_weights(path: Path, result: TableResult) -> bool:
    charts = weight_points(result)
    if charts:
        plot_loss_weights(path, charts)
    return bool(charts)


def curve_rows(result: TableResult) -> Iterator[Sequence[object]]:
    """Yield a heading, then each point of each curve; scores are in percent."""
    yield ("curve", "row", "at", "map", "map_spread", "top1", "top1_spread")
    for row in result.rows:
        label = row.row.label
        for size in gallery_points(row):
            yield ("gallery", label, size.size, *_percent(size.mean_ap, 0.0, size.top[1], 0.0))
        for point in training_points(row):
            yield ("training", label, f"{point.at:g}", *_of(point))
        if row.row.at is not None:
            yield from (("weights", label, f"{p.at:g}", *_of(p)) for p in _weight_point(row))


def gallery_points(row: RowResult) -> tuple[GalleryPoint, ...]:
    """Return a row's scores by size of the gallery, averaged over its seeds."""
    by_seed = [scores.galleries for scores in row.seeds if scores.galleries]
    return tuple(
        GalleryPoint(
            size=int(points[0]["size"]),
            frames=float(points[0]["frames"]),
            mean_ap=Cell(tuple(float(p["map"]) for p in points)).mean,
            top={k: Cell(tuple(float(p[f"top{k}"]) for p in points)).mean for k in TOP_RANKS},
        )
        for points in zip(*by_seed, strict=True)
    )


def training_points(row: RowResult) -> tuple[ScorePoint, ...]:
    """Return a row's scores by iteration, over the seeds that did not diverge."""
    curves = [scores.curve for scores in row.seeds if scores.curve]
    shared = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    return tuple(_point(at, [curve[at] for curve in curves]) for at in shared)


def weight_points(result: TableResult) -> dict[str, tuple[ScorePoint, ...]]:
    """Return the scores by loss weight, for each of the two weights."""
    charts: dict[str, tuple[ScorePoint, ...]] = {}
    for row in result.rows:
        if row.row.at is not None and (points := _weight_point(row)):
            name = row.row.label.split(" ")[0]
            charts[name] = (*charts.get(name, ()), *points)
    return charts


def _weight_point(row: RowResult) -> tuple[ScorePoint, ...]:
    """Return the point of a row, none where all of its seeds diverged."""
    reports = [scores.report for scores in row.seeds if scores.report]
    assert row.row.at is not None
    return (_point(row.row.at, reports),) if reports else ()


def _point(at: float, reports: Sequence[Mapping[str, Any]]) -> ScorePoint:
    found = [Cell(tuple(search_score(r, m) for r in reports)) for m in ("map", "top1")]
    mean_ap, top1 = found
    return ScorePoint(at, mean_ap.mean, top1.mean, mean_ap.spread, top1.spread)


def _of(point: ScorePoint) -> tuple[str, ...]:
    return _percent(point.mean_ap, point.mean_ap_spread, point.top1, point.top1_spread)


def _percent(*values: float) -> tuple[str, ...]:
    return tuple(f"{100 * value:.2f}" for value in values)
