"""``sightline train init`` and ``train export``: an engine bundle from weights."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, command

INIT_EPILOG = """[bold]Examples[/bold]

  sightline train init coco-engine --weights coco
  sightline train init coco-small --backbone mobilenet_v3_large_fpn --run runs/coco
  sightline train init coco-engine --file fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"""
EXPORT_EPILOG = """[bold]Examples[/bold]

  sightline train export runs/first my-bundle
  sightline train export runs/first my-bundle --name shop --score world"""


def init(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new bundle.")],
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME", help="coco: torchvision's Faster R-CNN.")
    ] = "coco",
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="resnet50_fpn or mobilenet_v3_large_fpn.",
            show_default="resnet50_fpn",
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--size",
            metavar="H W",
            help="Input height and width, multiples of 32.",
            show_default="608 1088",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="torchvision's file of the weights, fetched elsewhere.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="DIR",
            help="Also write the network as a run, for --init of fit.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Draws the untrained embedding.")
    ] = 0,
    json_: JsonOption = False,
) -> None:
    """Make an engine from published weights, before any training of your own.

    It finds real people as torchvision's COCO detector does; its sense of identity is an
    untrained projection, and the manifest says so. The weights come from torch's cache,
    else from the network; needs the extra "train" (torch).
    """
    from cli.starting import run_init

    run_init(
        out,
        weights=weights,
        backbone=backbone,
        input_hw=size,
        file=file,
        run=run,
        seed=seed,
        as_json=json_,
    )


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a run (--out of fit), or one of its checkpoints."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the new bundle.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call it.", show_default="preset and backbone"
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--size",
            metavar="H W",
            help="Input height and width, multiples of 16.",
            show_default="as trained",
        ),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate",
            metavar="DIR",
            help="Shift the scores so that 0.5 is the place to cut on this data set, which must be "
            "neither trained nor tested on; may be repeated.",
            show_default=False,
        ),
    ] = None,
    calibrate_people: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate-people",
            metavar="DIR",
            help="The same on pictures of people without identities (COCO json); every set and "
            "folder weighs the same; may be repeated.",
            show_default=False,
        ),
    ] = None,
    score: Annotated[
        list[Path] | None,
        typer.Option(
            "--score",
            metavar="DIR",
            help="Score the bundle on this data set and state it in the manifest; may be repeated.",
            show_default=False,
        ),
    ] = None,
    made_by: Annotated[
        str,
        typer.Option(
            "--made-by", metavar="TEXT", help="The commands that made data and run, for the record."
        ),
    ] = "",
    json_: JsonOption = False,
) -> None:
    """Turn a run into an engine bundle; needs the extra "train" (torch).

    The graphs are checked against the rules that every runtime accepts, and the manifest
    records settings, seed, duration and versions.
    """
    from cli.exporting import run_export

    run_export(
        run,
        out,
        name=name,
        input_hw=size,
        calibrate=calibrate or [],
        calibrate_people=calibrate_people or [],
        score=score or [],
        made_by=made_by,
        as_json=json_,
    )


def add_to(train: typer.Typer) -> None:
    """Register the commands."""
    command(train, "init", epilog=INIT_EPILOG)(init)
    command(train, "export", epilog=EXPORT_EPILOG)(export)
