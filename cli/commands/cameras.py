"""``sightline cameras``: look at a site file or a source before ingesting it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, command

CHECK_EPILOG = """[bold]Example[/bold]

  sightline cameras check site.yaml"""
PROBE_EPILOG = """[bold]Examples[/bold]

  sightline cameras probe hall.mp4
  sightline cameras probe rtsp://user:secret@10.0.0.7/stream1 --seconds 5 --json"""

cameras = typer.Typer(
    help="Check a site file, or see what a source delivers.", no_args_is_help=True
)


@command(cameras, "check", epilog=CHECK_EPILOG)
def check(
    site: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="The site file.")],
    json_: JsonOption = False,
) -> None:
    """Check a site file and list its cameras and links.

    All faults are told at once, each with its line and key. No camera is opened; for
    that, see [bold]sightline cameras probe[/bold]. Exit code 2 when there are faults.
    """
    from cli.sources import run_check

    run_check(site, as_json=json_)


@command(cameras, "probe", epilog=PROBE_EPILOG)
def probe(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A file, rtsp://, http(s):// or a device.")
    ],
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="S", min=0.1, max=600, help="Read the source for so long."
        ),
    ] = 2.0,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="S", min=0.1, max=600, help="Give up connecting after so long."
        ),
    ] = 10.0,
    json_: JsonOption = False,
) -> None:
    """Show what a source delivers: codec, size, frame rate, clock.

    Reads for a moment without running the network. Exit code 3 when it cannot be read.
    """
    from cli.sources import run_probe

    run_probe(url, seconds=seconds, timeout_s=timeout, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(cameras, name="cameras", rich_help_panel="Look inside")
