"""``sightline train``: make worlds, train a network, score an engine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import EngineOption, JsonOption, command

SYNTH_EPILOG = """[bold]Example[/bold]

  sightline train synth world --cameras 4 --people 24 --seconds 60 --fps 10 --seed 7
  sightline ingest world/site.yaml --gallery world-gallery
  sightline train eval --data world"""
FIT_EPILOG = """[bold]Examples[/bold]

  sightline train synth worlds/1 --people 24 --seconds 60 --seed 1 --split train
  sightline train fit --data worlds/1 --out runs/first --preset small
  sightline train fit --data worlds/1 --out runs/first --preset small --resume
  sightline train export runs/first my-bundle"""
EXPORT_EPILOG = """[bold]Examples[/bold]

  sightline train export runs/first my-bundle
  sightline train export runs/first my-bundle --name shop --score world"""
EVAL_EPILOG = """[bold]Examples[/bold]

  sightline train eval --data world
  sightline train eval --data PRW --engine my-bundle --json"""

train = typer.Typer(help="Make worlds, train the network, score an engine.", no_args_is_help=True)


class DifficultyChoice(StrEnum):
    """How hard a synthetic world is."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class SplitChoice(StrEnum):
    """Which part of a data set a synthetic world is."""

    TEST = "test"
    TRAIN = "train"
    BOTH = "both"


class ProtocolChoice(StrEnum):
    """Which frames are a query's gallery."""

    CROSS_CAMERA = "cross-camera"
    ALL = "all"


@command(train, "synth", epilog=SYNTH_EPILOG)
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new world.")],
    cameras: Annotated[
        int, typer.Option("--cameras", metavar="N", min=1, max=99, help="Cameras of the site.")
    ] = 4,
    people: Annotated[
        int, typer.Option("--people", metavar="N", min=1, max=900, help="People who walk there.")
    ] = 24,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", min=1, max=86400, help="Length of the video."),
    ] = 60,
    fps: Annotated[
        float, typer.Option("--fps", metavar="F", min=0.5, max=60, help="Frames a second.")
    ] = 10,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The same seed, the same world.")
    ] = 0,
    difficulty: Annotated[
        DifficultyChoice,
        typer.Option("--difficulty", help="hard = look-alikes, crowding, bad light."),
    ] = DifficultyChoice.MEDIUM,
    split: Annotated[
        SplitChoice,
        typer.Option("--split", help="Which part of a data set: both = train first, then test."),
    ] = SplitChoice.TEST,
    annotate_every: Annotated[
        float,
        typer.Option(
            "--annotate-every", metavar="S", min=0.01, help="Seconds between labelled frames."
        ),
    ] = 0.5,
    json_: JsonOption = False,
) -> None:
    """Render a synthetic site with known truth.

    Writes one H.264 file per camera with a wall-clock start, a site.yaml to ingest, and
    the truth in the layouts of PRW, MOTChallenge and AI City. Needs no torch.
    """
    from cli.training import run_synth

    fields: dict[str, object] = {
        "cameras": cameras,
        "people": people,
        "seconds": seconds,
        "fps": fps,
        "seed": seed,
        "difficulty": difficulty.value,
        "split": split.value,
    }
    run_synth(out, fields, annotate_every_s=annotate_every, as_json=json_)


@command(train, "fit", epilog=FIT_EPILOG)
def fit(
    data: Annotated[
        list[Path],
        typer.Option("--data", metavar="DIR", help="A folder in PRW's layout; may be repeated."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run.")],
    preset: Annotated[
        str,
        typer.Option(
            "--preset", metavar="NAME", help="paper, strong, small (the shipped engine) or tiny."
        ),
    ] = "small",
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone", metavar="NAME", help="resnet18 or resnet50.", show_default="preset"
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", metavar="N", min=1, help="How long to train.", show_default="preset"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The same seed, the same weights.")
    ] = 0,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another setting of the run, network or losses, as in lr=0.002; may be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train the network; needs the extra "train" (torch).

    Saves a checkpoint every few iterations and when it is stopped by Ctrl-C or SIGTERM;
    --resume goes on as if it had never stopped. The same settings, data, seed and number
    of threads give the same weights.
    """
    from cli.fitting import run_fit

    changes = {"backbone": backbone, "iterations": iterations, "seed": seed}
    run_fit(preset, data, out, changes, change or [], resume=resume, as_json=json_)


@command(train, "export", epilog=EXPORT_EPILOG)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: --out of fit.")],
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
        score=score or [],
        made_by=made_by,
        as_json=json_,
    )


@command(train, "eval", epilog=EVAL_EPILOG)
def evaluate(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A folder in PRW's layout.")],
    engine: EngineOption = None,
    protocol: Annotated[
        ProtocolChoice,
        typer.Option("--protocol", help="Which frames a query is looked for in."),
    ] = ProtocolChoice.CROSS_CAMERA,
    json_: JsonOption = False,
) -> None:
    """Score a compiled engine on a data set; needs no torch.

    Detection: average precision and recall. Search: mAP and top-1, top-5, top-10 over
    the frames of the other cameras, or over all frames but the query's own (the protocol
    of most published tables). A synthetic world is a data set too.

    The JSON document is {"detection": {"ap", "recall"}, "search": {"map", "top1",
    "top5", "top10", "gallery", "queries"}}.
    """
    from cli.training import run_eval

    run_eval(data, engine=engine, protocol=protocol.value, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(train, name="train", rich_help_panel="Train")
