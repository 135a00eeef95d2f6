"""The command table. Importing it loads no runtime: every command imports what it needs."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import bench, cameras, deliver, demo, doctor, find, ingest, inspect, status, train
from cli.options import prose

HELP = """Find a person again across cameras.

Cameras stream in, one network finds every person in a frame and describes each by a
vector, and a gallery answers: where else was this person, and when?

Start with [bold]sightline demo[/bold]: it needs no camera."""

EPILOG = """[bold]Exit codes[/bold]  0 ok, 1 unexpected, 2 usage or settings, 3 source, 4 engine,
5 gallery, 75 GPU lost (start it again), 130 stopped by Ctrl-C, 143 stopped by SIGTERM

[bold]Settings[/bold]  SIGHTLINE_GALLERY, SIGHTLINE_ENGINE, SIGHTLINE_BACKEND,
SIGHTLINE_PRECISION and SIGHTLINE_CACHE, or the keys gallery, engine, backend, precision
and cache in sightline.toml (SIGHTLINE_SETTINGS names another file)"""

app = typer.Typer(
    name="sightline",
    help=prose(HELP),
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def installed_version() -> str:
    """Return the version of Sightline, also when it runs from a folder that is not installed."""
    try:
        return version("sightline")
    except PackageNotFoundError:
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
        return str(tomllib.loads(text)["project"]["version"])


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sightline {installed_version()}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (any command).")
    ] = False,
) -> None:
    """Hold the options that stand before every command; ``main`` has taken ``--debug``."""


for _commands in (demo, ingest, deliver, status, find, cameras, inspect, train, bench, doctor):
    _commands.add_to(app)
