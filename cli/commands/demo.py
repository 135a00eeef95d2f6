"""``sightline demo``: the whole way on one machine, without a camera."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    BackendOption,
    EngineChoice,
    EngineOption,
    JsonOption,
    PrecisionOption,
    command,
)

EPILOG = """[bold]Examples[/bold]

  sightline demo
  sightline demo --people 12 --seconds 40 --seed 3 --out /tmp/demo"""

SEED = 2033
"""The first from 2026 on whose plan sends somebody through all four cameras for five seconds or
more each. The engine took no part in choosing it, and no training used it."""


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="Folder for everything; an old demo is replaced."
        ),
    ] = Path("demo-out"),
    people: Annotated[
        int, typer.Option("--people", metavar="N", min=3, max=64, help="People at the site.")
    ] = 12,
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=10, max=600, help="Length of the video.")
    ] = 50,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Another seed, another site.")
    ] = SEED,
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    json_: JsonOption = False,
) -> None:
    """Follow one person across four cameras, from nothing to a report.

    Renders a site that the network has never seen, ingests its four cameras at once,
    picks a person, searches and tracks, and prints the journey beside the truth with
    honest scores. Writes report.html, one self-contained page, and keeps the gallery
    so that you can ask it more.
    """
    from cli.demo import run_demo

    chosen = EngineChoice(engine, backend, precision)
    run_demo(out, people=people, seconds=seconds, seed=seed, engine=chosen, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "demo", epilog=EPILOG, panel="Start here")(demo)
