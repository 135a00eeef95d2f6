"""Where pictures are drawn: one look for all of them, written whole or not at all.

matplotlib comes with the extra "train" and is imported when the first picture is drawn.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from engines.runtimes import require
from train.errors import DatasetError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, RED = "#0072B2", "#009E73", "#D55E00"
COLOURS = (BLUE, RED, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by all eyes; dashes and markers differ as well."""
DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_DPI = 150
_HANDLE_INCH, _LETTER_INCH = 0.8, 0.085
_LABELS_INCH = 0.55
"""Height of the numbers and the label below a panel."""
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "legend.frameon": False,
}


@contextmanager
def drawing(path: Path, size_inch: tuple[float, float]) -> Iterator["Figure"]:
    """Yield an empty figure of (width, height), and write it as PNG when the block ends.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
        DatasetError: the picture cannot be written.
    """
    require("matplotlib", "train")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=size_inch, dpi=_DPI, layout="constrained")
        yield figure
        _write(figure, path)


def _write(figure: "Figure", path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            figure.savefig(file, format="png", facecolor="white")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DatasetError(f"cannot write picture {path}: {error.strerror}") from error


def panels(figure: "Figure", count: int, *, same_y: bool = False) -> list["Axes"]:
    """Return ``count`` axes side by side, if asked with the same range of values."""
    first = figure.add_subplot(1, count, 1)
    shared = first if same_y else None
    return [first, *(figure.add_subplot(1, count, n, sharey=shared) for n in range(2, count + 1))]


def legend_columns(names: Sequence[str], width_inch: float) -> int:
    """Return how many legend entries fit side by side."""
    longest = _HANDLE_INCH + _LETTER_INCH * max(map(len, names))
    return max(1, min(len(names), int(width_inch / longest)))


class Look(TypedDict):
    """Keyword arguments of a line."""

    color: str
    linestyle: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a line's look for each name, the same whichever panel it is drawn in."""
    styles = zip(names, cycle(COLOURS), cycle(DASHES), strict=False)
    return {name: Look(color=colour, linestyle=dash) for name, colour, dash in styles}


def markers(names: Sequence[str]) -> list[str]:
    """Return a point's shape for each name."""
    return [marker for _, marker in zip(names, cycle(_MARKERS), strict=False)]


def legend_below(axes: "Axes", figure: "Figure") -> None:
    """Put a panel's own legend below its labels, where it hides nothing."""
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(0, -_LABELS_INCH, figure.dpi_scale_trans)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transAxes + below,
        borderaxespad=0,
        handlelength=3.2,
    )


def shared_legend(figure: "Figure", columns: int) -> None:
    """Put one legend for all panels below them: that of the first."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.2)
