"""``sightline ingest``: cameras in, sightings into the gallery."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    OUTPUT_PANEL,
    PLACE_PANEL,
    BackendOption,
    EngineChoice,
    EngineOption,
    GalleryOption,
    JsonOption,
    PrecisionOption,
    command,
)

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
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL",
            help="Send sightings to this Redis instead of a gallery, for sightline deliver; "
            "${VAR} is taken from the environment.",
            show_default=False,
            rich_help_panel=PLACE_PANEL,
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            "--stream",
            metavar="NAME",
            help="Name of the stream in Redis.",
            show_default="sightline:sightings",
            rich_help_panel=PLACE_PANEL,
        ),
    ] = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="DIR",
            help="Folder in which sightings wait for Redis; one for each ingest.",
            show_default="./sightline-spool",
            rich_help_panel=PLACE_PANEL,
        ),
    ] = None,
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

    Sightings that the gallery or Redis does not take wait on disk and are delivered when
    it does, at the latest by the next ingest; what waits at the end is exit code 5.

    Exit code 0 when everything was read, 3 when a camera never gave a frame or a
    recording broke off (what was seen is kept), 75 when the GPU was lost (what was seen is
    kept; start it again), 130 after Ctrl-C, 143 after SIGTERM.
    """
    from cli.delivering import Delivery
    from cli.ingesting import run_ingest

    run_ingest(
        site,
        camera or [],
        gallery=gallery,
        delivery=Delivery(redis, stream, spool),
        engine=EngineChoice(engine, backend, precision),
        threads=threads,
        keep_trying=keep_trying,
        as_json=json_,
        quiet=quiet,
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "ingest", epilog=EPILOG, panel="Start here")(ingest)
