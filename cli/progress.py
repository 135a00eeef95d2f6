"""Progress on stderr, for people alone: nothing is written when stderr is no terminal."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from cli.output import stderr, watched

Tick = Callable[[int, int], None]


@contextmanager
def counter(action: str, things: str) -> Iterator[Tick]:
    """Show a bar while the block runs; call what is given with things done and in total."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(things),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=stderr(), disable=not watched(), transient=True)
    with bar:
        task = bar.add_task(action, total=None)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tick


@contextmanager
def stages(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for the stage that is under way; call what is given with its name and counts.

    A stage that begins anew starts its own clock.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    bar = Progress(*columns, console=stderr(), disable=not watched(), transient=True)
    with bar:
        task = bar.add_task(first, total=None)

        def tick(stage: str, done: int, total: int) -> None:
            if bar.tasks[0].description != stage:
                bar.reset(task, total=total, description=stage)
            bar.update(task, completed=done, total=total)

        yield tick


@contextmanager
def downloading(what: str) -> Iterator[Tick]:
    """Show a bar of bytes while the block runs; it is only seen once something comes in."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    )  # fmt: skip
    bar = Progress(*columns, console=stderr(), disable=not watched(), transient=True)
    with bar:
        task = bar.add_task(what, total=None, visible=False)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, visible=True)

        yield tick


class _Detailed(Progress):
    """A bar with a line of details below it."""

    detail = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the bar, then the details."""
        yield from super().get_renderables()
        if self.detail:
            yield Text(self.detail, style="dim")


@contextmanager
def detailed(first: str) -> Iterator[Callable[[str, int, int, str, str], None]]:
    """Show a bar whose time is told by the caller, with a line of details below.

    Call what is given with stage, things done, in total, what stands beside the bar, and details.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[beside]}"),
    )
    bar = _Detailed(
        *columns, console=stderr(), disable=not watched(), transient=True, expand=True
    )  # fmt: skip
    with bar:
        task = bar.add_task(first, total=None, beside="")

        def draw(stage: str, done: int, total: int, beside: str, detail: str) -> None:
            bar.detail = detail
            bar.update(task, completed=done, total=total, description=stage, beside=beside)

        yield draw


def time_left(seconds: float) -> str:
    """Return a time for people, ``1:02:03 left``; nothing where it is not known."""
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left"
