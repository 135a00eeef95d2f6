"""``sightline train fit``: train a network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DeviceChoice, JsonOption, command

FIT_EPILOG = """[bold]Examples[/bold]

  sightline train synth worlds/1 --people 24 --seconds 60 --seed 1 --split train
  sightline train fit --data worlds/1 --out runs/first --preset small
  sightline train fit --data worlds/1 --out runs/first --preset small --resume
  sightline train fit --data PRW --out runs/oim --preset paper --model oim
  sightline train fit --data site --real people --out runs/site --init runs/first"""

NETWORK_PANEL = "Network and losses"
DATA_PANEL = "Data"
RUN_PANEL = "Run"


class ModelChoice(StrEnum):
    """The papers' networks."""

    DC_I_NET = "dc-i-net"
    I_NET = "i-net"
    OIM = "oim"
    SEPARATE = "separate"


def fit(
    *,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A data set (see train check); may be repeated.",
            show_default=False,
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            "--real",
            metavar="DIR",
            help="Pictures of people without identities (COCO json): they train the detector.",
            show_default=False,
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    real_share: Annotated[
        float | None,
        typer.Option(
            "--real-share",
            metavar="F",
            min=0.0,
            max=0.95,
            help="Share of such pictures in a batch.",
            show_default="0.2, one at least",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="paper, strong, small (the shipped engine) or tiny.",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = "small",
    model: Annotated[
        ModelChoice | None,
        typer.Option(
            "--model",
            help="With the losses of its paper, unless --losses names others.",
            show_default="dc-i-net",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="resnet18|34|50, vgg16, mobilenet_v3_large, convnext_tiny|small|base, "
            "resnet50_fpn, mobilenet_v3_large_fpn.",
            show_default="preset",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    losses: Annotated[
        str | None,
        typer.Option(
            "--losses",
            metavar="A+B",
            help="olp, hep, c2hep, oim, softmax, triplet, contrastive, joined by +; or none.",
            show_default="model",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="none|imagenet|coco|PATH",
            help="Weights to begin with: published ones, or those of a run.",
            show_default="none",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder of the run.", rich_help_panel=RUN_PANEL),
    ],
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations",
            metavar="N",
            min=1,
            help="How long to train.",
            show_default="preset",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            "--accumulate",
            metavar="N",
            min=1,
            help="Iterations whose gradients make one step.",
            show_default="1",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="The same seed, the same weights.",
            show_default="0",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    device: Annotated[
        DeviceChoice | None,
        typer.Option(
            "--device",
            help="auto: a GPU where there is one.",
            show_default="auto",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Log for TensorBoard too, into DIR/tensorboard.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another setting of the run, network or losses, as in lr=0.002; may be repeated.",
            show_default=False,
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the checkpoint in --out.", rich_help_panel=RUN_PANEL
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train a network; needs the extra "train" (torch).

    Saves a checkpoint every few iterations and when it is stopped by Ctrl-C or SIGTERM;
    --resume goes on as if it had never stopped. The same settings, data, seed and number
    of threads give the same weights. Under torchrun every process trains on its share of
    each batch, and the first one alone speaks.
    """
    from cli.fitting import run_fit

    options = {
        "model": model and model.value,
        "backbone": backbone,
        "losses": losses,
        "init": start,
        "people": real,
        "people_share": real_share,
        "iterations": iterations,
        "accumulate": accumulate,
        "seed": seed,
        "device": device and device.value,
        "tensorboard": tensorboard or None,
    }
    run_fit(preset, data or [], out, options, change or [], resume=resume, as_json=json_)


def add_to(train: typer.Typer) -> None:
    """Register the command."""
    command(train, "fit", epilog=FIT_EPILOG)(fit)
