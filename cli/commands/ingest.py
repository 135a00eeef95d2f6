"""``sightline ingest``: cameras in, sightings into the gallery."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import OUTPUT_PANEL, EngineOption, GalleryOption, JsonOption, command

EPILOG = """[bold]Examples[/bold]

  sightline ingest site.yaml
  sightline ingest --camera door=door.mp4 --camera hall=hall.mp4 --gallery week-12
  sightline ingest --camera yard=rtsp://user:secret@10.0.0.7/stream1 --json"""


def ingest(
    site: Annotated[
        Path | None,
        typer.Argument(metavar="SITE.yaml", help="The cameras of a site and the ways between."),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            "--camera",
            metavar="NAME=URL",
            help="A camera without a site file: a video file, rtsp://, http(s):// or a device; "
            "may be repeated.",
            show_default=False,
        ),
    ] = None,
    gallery: GalleryOption = None,
    engine: EngineOption = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            max=256,
            help="Processor cores of the engine.",
            show_default="all of them",
        ),
    ] = None,
    keep_trying: Annotated[
        bool,
        typer.Option(
            "--keep-trying",
            help="Do not give up when no camera answers, as a service that waits for them.",
        ),
    ] = False,
    json_: JsonOption = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="No live table; warnings still come.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
) -> None:
    """Watch cameras and fill the gallery.

    All cameras at once, until every file has ended; a live camera goes on until Ctrl-C
    or SIGTERM, which finish what is on the way and then stop. Ingesting the same file
    again adds nothing twice. A camera that fails is tried again and does not stop the
    others; when only cameras are left that never answered, ingest gives up.

    Exit code 0 when everything was read, 3 when a camera never gave a frame or a
    recording broke off (what was seen is kept), 130 after Ctrl-C, 143 after SIGTERM.
    """
    from cli.ingesting import run_ingest

    run_ingest(
        site,
        camera or [],
        gallery=gallery,
        engine=engine,
        threads=threads,
        keep_trying=keep_trying,
        as_json=json_,
        quiet=quiet,
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "ingest", epilog=EPILOG, panel="Start here")(ingest)
