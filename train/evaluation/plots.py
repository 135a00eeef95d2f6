"""Curves as pictures: precision-recall, gallery sizes, training, loss weights.

They are the paper's Figs. 8, 12 and 13. Scores come as fractions of 1 and are shown in percent;
files are PNG. A spread (say a standard deviation over seeds) is a bar on each point.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from train.errors import ConfigError
from train.evaluation.average import Curve
from train.evaluation.canvas import (
    drawing,
    legend_below,
    legend_columns,
    looks,
    markers,
    panels,
    shared_legend,
)
from train.evaluation.galleries import GalleryPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL_INCH = (4.8, 3.4)
_LEGEND_LINE_INCH = 0.22
_SCORES = ("mAP", "top-1")


@dataclass(frozen=True, slots=True, eq=False)
class NamedCurve:
    """A system's precision-recall curve, and the average precision for the legend."""

    name: str
    curve: Curve
    ap: float


class ScorePoint(NamedTuple):
    """Scores in 0..1 ``at`` an iteration or a loss weight, and their spread over seeds."""

    at: float
    mean_ap: float
    top1: float
    mean_ap_spread: float = 0.0
    top1_spread: float = 0.0


class _Line(NamedTuple):
    """Points of one line; ``y`` and ``spread`` are fractions of 1."""

    name: str
    x: list[float]
    y: list[float]
    spread: list[float]


def plot_precision_recall(
    path: Path, charts: Mapping[str, Sequence[NamedCurve]], *, measure: str = "AP"
) -> None:
    """Draw a panel for each title of ``charts``, the curves of its systems together (Fig. 8).

    A system looks the same in all panels; ``measure`` names the number in the legends.

    Raises:
        ConfigError: there is nothing to draw.
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    _check(path, charts)
    style = looks(_names(curve.name for curves in charts.values() for curve in curves))
    with drawing(path, _size(len(charts), max(charts.values(), key=len), stacked=True)) as figure:
        for axes, (title, curves) in zip(panels(figure, len(charts)), charts.items(), strict=True):
            for one in curves:
                label = f"{one.name} ({measure} {one.ap:.1%})"
                axes.plot(*_percent(one.curve), label=label, **style[one.name])
            axes.set(title=title, xlabel="recall (%)", ylabel="precision (%)")
            axes.set(xlim=(0, 100), ylim=(0, 102))
            legend_below(axes, figure)


def _percent(curve: Curve) -> tuple[list[float], list[float]]:
    """Return recall and precision, up to the last point that adds recall."""
    last = int(np.searchsorted(curve.recall, curve.recall[-1])) + 1 if len(curve.recall) else 0
    return (100 * curve.recall[:last]).tolist(), (100 * curve.precision[:last]).tolist()


def plot_gallery_curves(path: Path, systems: Mapping[str, Sequence[GalleryPoint]]) -> None:
    """Draw mAP over the size of the gallery, a line for each system (Fig. 12c).

    Raises:
        ConfigError: there is nothing to draw.
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    _check(path, systems)
    lines = [
        _Line(name, [p.size for p in points], [p.mean_ap for p in points], [0.0] * len(points))
        for name, points in systems.items()
    ]
    sizes = sorted({point.size for points in systems.values() for point in points})
    with drawing(path, _size(1, systems)) as figure:
        (axes,) = panels(figure, 1)
        axes.set(xscale="log", xlabel="frames in the gallery", ylabel="mAP (%)")
        _draw(axes, lines, list(systems))
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        shared_legend(figure, _columns(1, systems))


def plot_training_curves(path: Path, systems: Mapping[str, Sequence[ScorePoint]]) -> None:
    """Draw mAP and top-1 over the iterations of training, a line each (Fig. 12a, b).

    Raises:
        ConfigError: there is nothing to draw.
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    _check(path, systems)
    with drawing(path, _size(2, systems)) as figure:
        for axes, score in zip(panels(figure, 2), _SCORES, strict=True):
            lines = [_line(name, points, score) for name, points in systems.items()]
            _draw(axes, lines, list(systems))
            axes.set(title=score, xlabel="iteration", ylabel=f"{score} (%)")
            axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        shared_legend(figure, _columns(2, systems))


def plot_loss_weights(path: Path, charts: Mapping[str, Sequence[ScorePoint]]) -> None:
    """Draw mAP and top-1 over a loss weight, a panel for each (Fig. 13).

    ``charts`` maps what is varied (the label below a panel) to its points.

    Raises:
        ConfigError: there is nothing to draw.
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    _check(path, charts)
    with drawing(path, _size(len(charts), _SCORES)) as figure:
        for axes, (varied, points) in zip(panels(figure, len(charts)), charts.items(), strict=True):
            _draw(axes, [_line(score, points, score) for score in _SCORES], _SCORES)
            axes.set(xlabel=varied, ylabel="score (%)")
            axes.set_xticks(sorted({point.at for point in points}))
        shared_legend(figure, len(_SCORES))


def _line(name: str, points: Sequence[ScorePoint], score: str) -> _Line:
    ordered = sorted(points)
    if score == "mAP":
        values = [(p.at, p.mean_ap, p.mean_ap_spread) for p in ordered]
    else:
        values = [(p.at, p.top1, p.top1_spread) for p in ordered]
    x, y, spread = (list(column) for column in zip(*values, strict=True))
    return _Line(name, x, y, spread)


def _draw(axes: "Axes", lines: Sequence[_Line], names: Sequence[str]) -> None:
    style = looks(names)
    for line, marker in zip(lines, markers(names), strict=True):
        y, spread = (100 * np.array(values) for values in (line.y, line.spread))
        axes.errorbar(
            line.x, y, spread if spread.any() else None, label=line.name, marker=marker,
            capsize=3, **style[line.name],
        )  # fmt: skip
    axes.margins(0.06)


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _columns(panel_count: int, names: Collection[str]) -> int:
    return legend_columns(list(names), panel_count * _PANEL_INCH[0])


def _size(
    panel_count: int, entries: Collection[object], *, stacked: bool = False
) -> tuple[float, float]:
    """Return width and height in inches for panels with a legend of ``entries`` below them."""
    width, height = _PANEL_INCH
    columns = 1 if stacked else _columns(panel_count, [str(entry) for entry in entries])
    lines = -(-len(entries) // columns)
    return panel_count * width, height + lines * _LEGEND_LINE_INCH


def _check(path: Path, charts: Mapping[str, Sequence[object]]) -> None:
    if not charts or not all(charts.values()):
        empty = ", ".join(repr(name) for name, points in charts.items() if not points)
        raise ConfigError(f"nothing to draw in {path}" + (f": no points for {empty}" * bool(empty)))
