"""``sightline doctor``: is everything here that Sightline needs?"""

from typing import Annotated

import typer

from cli.options import GalleryOption, JsonOption, command

EPILOG = """[bold]Examples[/bold]

  sightline doctor
  sightline doctor --redis unix:///srv/sightline/redis/redis.sock --json"""


def doctor(
    gallery: GalleryOption = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL",
            help="A Redis that must answer, and keep what it takes.",
            show_default="localhost, not required",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Check this machine: what works, what is missing, what to do about it.

    Decodes a clip, runs the shipped engine on a frame, writes and reads a gallery in a
    temporary folder, and looks at the disk. GPUs are reported, not required,
    and so is Redis unless --redis names one.
    Exit code 0 when everything required works, else 1.
    """
    from cli.doctor import run_doctor

    run_doctor(gallery, redis=redis, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "doctor", epilog=EPILOG, panel="Look inside")(doctor)
