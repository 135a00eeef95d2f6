"""What the commands print.

Results go to stdout: a table for people, or one JSON document. Warnings and progress go to
stderr, progress only where a person watches it. Times are printed in UTC. Of several processes
that work together the first alone speaks; an error of another names it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cli.ranks import first_process, process_number

if TYPE_CHECKING:
    from gallery.values import Link

_diverted: list[Callable[[str, str], None]] = []
PIPE_WIDTH = 160
"""Columns of a table that nobody sees in a terminal: wide, so that nothing is cut."""


def stdout() -> Console:
    """Return the console of results."""
    sized = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if sized else PIPE_WIDTH, highlight=False)


def stderr() -> Console:
    """Return the console of warnings and progress."""
    return Console(stderr=True, highlight=False)


def watched() -> bool:
    """Tell whether a person watches stderr, so that progress is welcome."""
    return sys.stderr.isatty() and first_process()


def show(*parts: RenderableType) -> None:
    """Print results for people. Text is printed as it is: no markup is read from it."""
    console = stdout()
    for part in parts:
        console.print(part, markup=False)


def show_line(text: str) -> None:
    """Print a line that is to be copied, a path or a command: never broken into two."""
    stdout().print(text, markup=False, soft_wrap=True)


def show_json(document: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def divert(writer: Callable[[str, str], None] | None) -> None:
    """Give warnings and errors, each with its label, to a log; None: to stderr as usual."""
    _diverted[:] = [] if writer is None else [writer]


def complain(message: str, *, label: str = "error: ") -> None:
    """Write an error to stderr, exactly as it is."""
    for writer in _diverted:
        writer(label, message)
        return
    if label == "error: " and not first_process():
        label = f"error in process {process_number()}: "
    sys.stderr.write(f"{label}{message}\n")


def warn(message: str) -> None:
    """Write a warning to stderr."""
    complain(message, label="warning: ")


def note(message: str) -> None:
    """Write a remark to stderr."""
    if first_process():
        complain(message, label="")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """Return a table; a column whose name starts with ``>`` is aligned to the right."""
    out = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        out.add_column(
            name.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        out.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return out


def links_table(links: "Iterable[Link]") -> Table:
    """Return a table of the ways between cameras."""
    rows = [(link.source, link.target, f"{link.min_s:g} to {link.max_s:g} s") for link in links]
    return table(["from", "to", "walk"], rows)


def facts(rows: Iterable[tuple[str, object]]) -> Table:
    """Return a list of names and values, two columns without a head."""
    out = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    out.add_column(style="bold", no_wrap=True)
    out.add_column(overflow="fold")
    for name, value in rows:
        out.add_row(Text(name), value if isinstance(value, Text) else Text(str(value)))
    return out


def iso(moment_ms: int) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds, ``2026-03-02T14:00:03.200Z``."""
    text = datetime.fromtimestamp(moment_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment_ms % 1000:03d}Z"


def clock(moment_ms: int, *, dated: bool = True) -> str:
    """Return a moment for people, ``2026-03-02 14:00:03.2`` (UTC), or its time of day alone."""
    text = datetime.fromtimestamp(moment_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text if dated else text[11:]}.{moment_ms % 1000 // 100}"


def size_text(count: int) -> str:
    """Return a number of bytes for people, ``12.3 MB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def xywh(xyxy: Sequence[float]) -> list[float]:
    """Return ``[x, y, w, h]`` of a box of two corners, in tenths of a pixel."""
    x1, y1, x2, y2 = (float(value) for value in xyxy)
    return [round(value, 1) for value in (x1, y1, x2 - x1, y2 - y1)]


def plain(value: Any, digits: int = 4) -> Any:
    """Return a value for JSON with its floats rounded to ``digits``."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    return value
