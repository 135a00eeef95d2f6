"""Progress on stderr, for people alone: nothing is written when stderr is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
