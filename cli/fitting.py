"""Train a network: settings from the command line, progress, and a clean stop."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.errors import CliError
from cli.output import facts, note, plain, show, show_json, stderr, watched
from cli.stopping import stopping
from engines.runtimes import require
from train.config import make_config

if TYPE_CHECKING:
    from train.fit import FitResult


def run_fit(
    preset: str,
    data: Sequence[Path],
    out: Path,
    changes: Mapping[str, Any],
    pairs: Sequence[str],
    *,
    resume: bool,
    as_json: bool,
) -> None:
    """Train until the end or until somebody says stop, then say where the checkpoint lies."""
    config = make_config(preset, data=tuple(data), out=out, **{**parse_settings(pairs), **changes})
    require("torch", "train")
    from train.fit import FitProgress, fit

    with stopping() as stop, _bar() as draw:

        def progress(now: FitProgress) -> None:
            draw(now.iteration, now.iterations, now.losses)

        result = fit(config, resume=resume, progress=progress, stop=stop.event.is_set)
    if as_json:
        checkpoint = str(result.checkpoint.absolute())
        show_json(plain({**asdict(result), "checkpoint": checkpoint}, 6))
    else:
        show(facts(_rows(result, config.iterations)))
    if stop.code is not None:
        note("stopped; the same command with --resume goes on")
        raise typer.Exit(stop.code)


def _rows(result: "FitResult", iterations: int) -> list[tuple[str, object]]:
    losses = ", ".join(f"{name} {value:.3f}" for name, value in result.losses.items())
    return [
        ("checkpoint", result.checkpoint),
        ("iterations", f"{result.iterations} of {iterations}"),
        ("time", f"{result.seconds:.0f} s"),
        ("losses", losses or "none"),
        ("next", f"sightline train export {result.checkpoint.parent} BUNDLE"),
    ]


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return name to value of every ``NAME=VALUE``; a value is JSON, else text.

    Raises:
        CliError: no name, no value, or a name given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not (name and separator and text):
            raise CliError(f"--set: want NAME=VALUE (got {pair!r})")
        if name in found:
            raise CliError(f"--set: {name} is given twice")
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text
    return found


@contextmanager
def _bar() -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=stderr(), disable=not watched(), transient=True)
    with bar:
        task = bar.add_task("", total=None)

        def draw(done: int, total: int, losses: Mapping[str, float]) -> None:
            text = f"loss {sum(losses.values()):.3f}"
            bar.update(task, completed=done, total=total, description=text)

        yield draw
