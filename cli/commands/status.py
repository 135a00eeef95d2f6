"""``sightline status``: is an ingest running, and how does it do?"""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import OUTPUT_PANEL, PLACE_PANEL, GalleryOption, JsonOption, command

EPILOG = """[bold]Examples[/bold]

  sightline status
  sightline status --gallery shop --watch
  sightline status --spool sightline-spool --json"""


def status(
    gallery: GalleryOption = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="DIR",
            help="Folder of the spool of an ingest that sends to Redis, in place of a gallery.",
            show_default=False,
            rich_help_panel=PLACE_PANEL,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Show it again every second until Ctrl-C; with --json a document a line.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show what is being watched now, and what is not.

    For each camera its state, frames a second in and out, how far it is behind, frames
    dropped by cause, the age of the last frame, its clock's offset and reconnects; then
    the engine, its batches, and what waits to be delivered. It reads the file that the
    ingest writes every second, so the gallery may be in use. Ask on the machine on
    which the ingest runs.

    Exit code 0 when an ingest runs and every camera is live or explained (switched off,
    or a recording that was read to its end), 3 when it runs but a camera is not watched,
    5 when no ingest runs: it ended, died or hangs, or there never was one.
    """
    from cli.statusview import run_status

    run_status(gallery, spool, watch=watch, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "status", epilog=EPILOG, panel="Look inside")(status)
