"""Draw how fast backends are, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CliError
from engines.bench.measure import Cell, Report
from engines.runtimes import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EAGER, ORDINARY = "reference", "onnxruntime"
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "--", "++")
_BAR_INCH, _GAP_INCH, _SIDE_INCH, _HEIGHT_INCH = 0.42, 0.35, 1.1, 4.2


def check_plot(path: Path) -> None:
    """Make sure, before minutes of timing, that a picture can be drawn.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
        CliError: no PNG, or no folder for it.
    """
    require("matplotlib", "train")
    if path.suffix.lower() != ".png":
        raise CliError(f"--plot: want the name of a .png (got {path})")
    if not path.absolute().parent.is_dir():
        raise CliError(f"--plot: there is no folder {path.absolute().parent}")


def plot_bench(path: Path, report: Report, *, name: str) -> None:
    """Draw frames a second of each backend, the batch sizes side by side.

    Above a bar stands its ratio to eager torch, or to onnxruntime where torch did not run.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    from train.evaluation.canvas import drawing

    who = list(dict.fromkeys((cell.backend, cell.precision) for cell in report.cells))
    batches = sorted({cell.batch for cell in report.cells})
    width = _SIDE_INCH + len(who) * (_BAR_INCH * len(batches) + _GAP_INCH)
    base = EAGER if report.ratio(report.cells[0], EAGER) else ORDINARY
    with drawing(path, (max(6.4, width), _HEIGHT_INCH)) as figure:
        axes = figure.add_subplot()
        for place, batch in enumerate(batches):
            cells = [report.cell(*one, batch) for one in who]
            _bars(axes, report, [c for c in cells if c], place, len(batches), base)
        _label(axes, report, who, name, base)


def _bars(
    axes: "Axes", report: Report, cells: Sequence[Cell], place: int, groups: int, base: str
) -> None:
    from train.evaluation.canvas import COLOURS

    width = 0.84 / groups
    at = [number + (place - (groups - 1) / 2) * width for number in range(len(cells))]
    speeds = [cell.frames_per_s for cell in cells]
    bars = axes.bar(
        at, [s.median for s in speeds], 0.92 * width, label=f"batch {cells[0].batch}",
        color=COLOURS[place % len(COLOURS)], hatch=HATCHES[place % len(HATCHES)],
        edgecolor="white", linewidth=0,
        yerr=[[s.median - s.low for s in speeds], [s.high - s.median for s in speeds]],
        error_kw={"elinewidth": 1.0, "capsize": 2.5, "ecolor": "#333333"},
    )  # fmt: skip
    for bar, cell, speed in zip(bars, cells, speeds, strict=True):
        ratio = report.ratio(cell, base)
        if ratio is not None:
            axes.annotate(
                f"{ratio.median:.1f}x", (bar.get_x() + bar.get_width() / 2, speed.high),
                xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8.5,
            )  # fmt: skip


def _label(
    axes: "Axes", report: Report, who: Sequence[tuple[str, str]], name: str, base: str
) -> None:
    height, width = report.input_hw
    above = "eager torch" if base == EAGER else "onnxruntime"
    threads = f", {report.threads} threads" if report.threads else ""
    axes.set_title(f"{name}, input {width} x {height}{threads}", loc="left")
    axes.set(ylabel="frames a second", xticks=range(len(who)))
    axes.set_xticklabels([f"{backend}\n{precision}" for backend, precision in who])
    told = (
        f"above a bar: times as fast as {above} fp32 at the same batch\n"
        "whiskers: the least and the most of the rounds"
    )
    axes.set_xlabel(told, fontsize=8.5, color="#444444")
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.14)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
