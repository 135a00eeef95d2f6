"""``sightline ingest``: cameras in, sightings into the gallery."""

from pathlib import Path
from typing import Annotated

import typer

from cli.logs import LogFormat
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

WATCH_PANEL = "Watching it"
EPILOG = """[bold]Examples[/bold]

  sightline ingest site.yaml
  sightline ingest --camera door=door.mp4 --camera hall=hall.mp4 --gallery week-12
  sightline ingest --camera yard=rtsp://user:secret@10.0.0.7/stream1 --json
  sightline ingest site.yaml --keep-trying --log json --http 127.0.0.1:9100"""


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
            help="A camera without a site file: a video file, a folder of pictures, rtsp(s)://, "
            "rtmp://, http(s)://, udp:// or a device; "
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
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Take changes of SITE.yaml when it is saved, and go on when all cameras are over; "
            "without it SIGHUP takes them.",
        ),
    ] = False,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="HOST:PORT",
            help="Serve /metrics for Prometheus and /health there; a port alone is loopback.",
            show_default=False,
            rich_help_panel=WATCH_PANEL,
        ),
    ] = None,
    log: Annotated[
        LogFormat | None,
        typer.Option(
            "--log",
            help="A line on stderr for all that happens, for people or as JSON; without it only "
            "warnings, and a live table in a terminal.",
            show_default=False,
            rich_help_panel=WATCH_PANEL,
        ),
    ] = None,
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

    On SIGHUP, or with --watch, SITE.yaml is read again: cameras that were added, removed
    or changed start, stop or connect again, and the others do not notice. A file with faults
    changes nothing.

    sightline status shows how it does while it runs, from another terminal.

    Exit code 0 when everything was read, 3 when a camera never gave a frame or a
    recording broke off (what was seen is kept), 75 when the GPU was lost (what was seen is
    kept; start it again), 130 after Ctrl-C, 143 after SIGTERM.
    """
    from cli.delivering import Delivery
    from cli.ingesting import run_ingest
    from cli.watching import Watching

    run_ingest(
        site,
        camera or [],
        gallery=gallery,
        delivery=Delivery(redis, stream, spool),
        engine=EngineChoice(engine, backend, precision),
        threads=threads,
        keep_trying=keep_trying,
        watching=Watching(http, log),
        watch_site=watch,
        as_json=json_,
        quiet=quiet,
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "ingest", epilog=EPILOG, panel="Start here")(ingest)
