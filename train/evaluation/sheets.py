"""Retrieval sheets: each query beside its best gallery frames (the paper's Figs. 6, 9 and 11).

A row for each query: its frame with a blue box, then for each system the best frames, with a
green solid box where the answer is right and a red dashed one where it is wrong. Below stand
similarity, verdict and the name of the frame.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from train.data.records import ImageRecord, QueryRecord
from train.errors import ConfigError
from train.evaluation.answers import Answer
from train.evaluation.canvas import BLUE, GREEN, RED, drawing
from train.evaluation.embed import Pixels, read_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL_PX = 480
"""Pictures are shown at most about this large."""
_WIDTH_INCH, _ZOOMED_INCH = 2.2, (1.35, 1.8)
_CAPTION_INCH, _HEADER_INCH, _GAP_INCH, _PAD_INCH = 0.42, 0.52, 0.25, 0.05
_MARGIN = 0.25
"""Share of a box's size that is shown around it in a zoomed cell."""
_GROUND = "#F2F2F2"


View = tuple[float, float, float, float]
"""Part of a picture, x1 y1 x2 y2 in its pixels; may reach over its edges."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """One picture of the sheet, ``pixels`` of the part ``extent`` of it, seen through ``view``.

    ``box`` is in pixels of the picture, ``caption`` is written below.
    """

    pixels: Pixels
    extent: View
    view: View
    box: NDArray[np.float32]
    colour: str
    dash: str
    caption: str


def draw_sheet(
    path: Path,
    images: Sequence[ImageRecord],
    queries: Sequence[QueryRecord],
    systems: Mapping[str, Sequence[Sequence[Answer]]],
    *,
    count: int = 3,
    zoom: bool = False,
) -> None:
    """Draw a PNG of the ``count`` best answers to each query, by each system.

    ``systems`` maps a name to the answers to each of the queries, as
    `train.evaluation.answers.best_answers` gives them; frames are places among ``images``.
    ``zoom`` shows the surroundings of each box instead of whole frames.

    Raises:
        ConfigError: nothing to draw, or a system has not as many answers as there are queries.
        DatasetError: a picture cannot be read, or the sheet not be written.
        BackendUnavailableError: matplotlib is not installed.
    """
    _check(path, queries, systems, count)
    rows = [
        [
            _query_cell(query, zoom),
            *(c for a in systems.values() for c in _cells(images, a[row], count, zoom)),
        ]
        for row, query in enumerate(queries)
    ]
    grid = _Grid(len(rows), len(systems), count, _cell_size(rows, zoom))
    with drawing(path, grid.size) as figure:
        figure.set_layout_engine("none")
        _write_headers(figure, grid, list(systems))
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                _show(figure.add_axes(grid.cell(number, column)), cell)


def _check(
    path: Path,
    queries: Sequence[QueryRecord],
    systems: Mapping[str, Sequence[Sequence[Answer]]],
    count: int,
) -> None:
    if not queries or not systems or count < 1:
        raise ConfigError(f"nothing to draw in {path}")
    for name, answers in systems.items():
        if len(answers) != len(queries):
            raise ConfigError(f"{path}: {name} answers {len(answers)} of {len(queries)} queries")


def _query_cell(query: QueryRecord, zoom: bool) -> _Cell:
    caption = f"person {query.pid}\n{query.name}"
    return _load(query.path, query.box, zoom, BLUE, "-", caption)


def _cells(
    images: Sequence[ImageRecord], answers: Sequence[Answer], count: int, zoom: bool
) -> Iterator[_Cell | None]:
    """Yield the cells of a query's answers, None where there are too few."""
    for answer in answers[:count]:
        image = images[answer.frame]
        colour, dash = (GREEN, "-") if answer.right else (RED, "--")
        verdict = "\N{CHECK MARK} right" if answer.right else "\N{BALLOT X} wrong"
        caption = f"{answer.similarity:.3f} {verdict}\n{image.name}"
        yield _load(image.path, answer.box, zoom, colour, dash, caption)
    yield from [None] * (count - len(answers))


def _load(
    path: Path, box: NDArray[np.float32], zoom: bool, colour: str, dash: str, caption: str
) -> _Cell:
    picture = read_frame(path)
    height, width = picture.shape[:2]
    view = _around(box) if zoom else (0.0, 0.0, float(width), float(height))
    pixels, extent = _part(picture, view)
    return _Cell(pixels, extent, view, box, colour, dash, caption)


def _around(box: NDArray[np.float32]) -> View:
    """Return what is shown around a box in a zoomed cell, of the cell's shape."""
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    shape = (_ZOOMED_INCH[0] - 2 * _PAD_INCH) / _ZOOMED_INCH[1]
    tall = (1 + 2 * _MARGIN) * max(float(box[3] - box[1]), float(box[2] - box[0]) / shape)
    return x - tall * shape / 2, y - tall / 2, x + tall * shape / 2, y + tall / 2


def _part(picture: Pixels, view: View) -> tuple[Pixels, View]:
    """Return the part of a picture that is in view, made smaller, and where it lies."""
    height, width = picture.shape[:2]
    x1, y1 = min(max(0, int(view[0])), width - 1), min(max(0, int(view[1])), height - 1)
    x2, y2 = max(x1 + 1, min(width, int(view[2]) + 1)), max(y1 + 1, min(height, int(view[3]) + 1))
    step = max(1, max(x2 - x1, y2 - y1) // _CELL_PX)
    columns, rows = (x2 - x1) // step, (y2 - y1) // step
    x2, y2 = x1 + columns * step, y1 + rows * step
    blocks = picture[y1:y2, x1:x2].reshape(rows, step, columns, step, 3)
    return blocks.mean(axis=(1, 3)).astype(np.uint8), (x1, y1, x2, y2)


def _cell_size(rows: Sequence[Sequence[_Cell | None]], zoom: bool) -> tuple[float, float]:
    """Return width and height of a cell in inches: as high as the highest frame needs."""
    if zoom:
        return _ZOOMED_INCH
    views = [cell.view for row in rows for cell in row if cell is not None]
    highest = max((y2 - y1) / (x2 - x1) for x1, y1, x2, y2 in views)
    return _WIDTH_INCH, _WIDTH_INCH * min(highest, 1.4)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where on the sheet things stand, in inches; systems stand apart."""

    rows: int
    systems: int
    count: int
    cell_inch: tuple[float, float]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the sheet."""
        width, height = self.cell_inch
        columns = 1 + self.systems * self.count
        return (
            columns * width + (self.systems + 1) * _GAP_INCH,
            self.rows * (height + _CAPTION_INCH) + _HEADER_INCH,
        )

    def left(self, column: int) -> float:
        """Return where a column begins."""
        gaps = 0 if column == 0 else 1 + (column - 1) // self.count
        return column * self.cell_inch[0] + (gaps + 0.5) * _GAP_INCH

    def middle(self, first: int, last: int) -> float:
        """Return the middle of some columns."""
        return (self.left(first) + self.left(last) + self.cell_inch[0]) / 2

    def cell(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a cell as shares of the sheet."""
        width, height = self.cell_inch
        bottom = (self.rows - 1 - row) * (height + _CAPTION_INCH) + _CAPTION_INCH
        total_width, total_height = self.size
        return (
            (self.left(column) + _PAD_INCH) / total_width,
            bottom / total_height,
            (width - 2 * _PAD_INCH) / total_width,
            height / total_height,
        )


def _write_headers(figure: "Figure", grid: _Grid, systems: Sequence[str]) -> None:
    _write(figure, grid, 0, 0, 0.38, "query", "normal")
    for number, name in enumerate(systems):
        first = 1 + number * grid.count
        _write(figure, grid, first, first + grid.count - 1, 0.15, name, "bold")
        for rank in range(grid.count):
            _write(figure, grid, first + rank, first + rank, 0.38, f"top {rank + 1}", "normal")


def _write(
    figure: "Figure", grid: _Grid, first: int, last: int, down_inch: float, text: str, weight: str
) -> None:
    """Write over the middle of some columns, so far below the top of the sheet."""
    width, height = grid.size
    x, y = grid.middle(first, last) / width, 1 - down_inch / height
    figure.text(x, y, text, ha="center", va="center", weight=weight)


def _show(axes: "Axes", cell: _Cell | None) -> None:
    axes.set(xticks=[], yticks=[], facecolor=_GROUND)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if cell is None:
        axes.text(0.5, 0.5, "no answer", ha="center", va="center", color="#666666")
        return
    x1, y1, x2, y2 = cell.extent
    axes.imshow(cell.pixels, extent=(x1, x2, y2, y1))
    _outline(axes, cell)
    axes.set(xlim=(cell.view[0], cell.view[2]), ylim=(cell.view[3], cell.view[1]))
    axes.set_aspect("equal", adjustable="box", anchor="S")
    axes.set_xlabel(cell.caption, fontsize=7.5, labelpad=2, linespacing=1.2)


def _outline(axes: "Axes", cell: _Cell) -> None:
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = (float(edge) for edge in cell.box)
    for colour, width, dash in (("white", 2.8, "-"), (cell.colour, 1.5, cell.dash)):
        outline = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour)
        outline.set(linewidth=width, linestyle=dash)
        axes.add_patch(outline)
