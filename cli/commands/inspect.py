"""``sightline engine …`` and ``sightline gallery info``."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import engine_bench, engine_build, engine_check
from cli.options import JsonOption, command

ENGINE_EPILOG = """[bold]Examples[/bold]

  sightline engine info
  sightline engine info my-bundle --json"""
GALLERY_EPILOG = """[bold]Examples[/bold]

  sightline gallery info
  sightline gallery info week-12 --json"""

engine = typer.Typer(
    help="The network, compiled: bundles, and the plans made from them.", no_args_is_help=True
)
gallery = typer.Typer(help="The store of what the cameras saw.", no_args_is_help=True)


@command(engine, "info", epilog=ENGINE_EPILOG)
def engine_info(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder of the bundle; else SIGHTLINE_ENGINE, sightline.toml, the shipped one.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Verify a bundle and show what it is, how it was made and what it scored.

    Every file is compared with the hash in the manifest. Exit code 4 when the bundle is
    missing, damaged or not what its manifest says.
    """
    from cli.inspecting import run_engine_info

    run_engine_info(bundle, as_json=json_)


@command(gallery, "info", epilog=GALLERY_EPILOG)
def gallery_info(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="Folder of the gallery; else SIGHTLINE_GALLERY, sightline.toml, "
            "./sightline-gallery.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show what a gallery holds: cameras, sightings, times, model, size, coverage.

    Exit code 5 when there is no gallery, or another process owns it.
    """
    from cli.inspecting import run_gallery_info

    run_gallery_info(path, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for commands in (engine_build, engine_check, engine_bench):
        commands.add_to(engine)
    app.add_typer(engine, name="engine", rich_help_panel="Look inside")
    app.add_typer(gallery, name="gallery", rich_help_panel="Look inside")
