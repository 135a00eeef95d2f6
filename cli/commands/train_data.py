"""``sightline train synth`` and ``train check``: make a data set, check one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, command

SYNTH_EPILOG = """[bold]Example[/bold]

  sightline train synth world --cameras 4 --people 24 --seconds 60 --fps 10 --seed 7
  sightline ingest world/site.yaml --gallery world-gallery
  sightline train eval --data world"""
CHECK_EPILOG = """[bold]Examples[/bold]

  sightline train check PRW
  sightline train check CUHK-SYSU --pixels --json"""


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
    width: Annotated[
        int, typer.Option("--width", metavar="PX", min=128, max=3840, help="Of a picture; even.")
    ] = 960,
    height: Annotated[
        int, typer.Option("--height", metavar="PX", min=96, max=2160, help="Of a picture; even.")
    ] = 540,
    json_: JsonOption = False,
) -> None:
    """Render a synthetic site with known truth.

    Writes one H.264 file per camera with a wall-clock start, a site.yaml to ingest, and
    the truth in the layouts of PRW, MOTChallenge and AI City. Needs no torch.
    """
    from cli.worlds import run_synth

    fields: dict[str, object] = {
        "cameras": cameras,
        "width": width,
        "height": height,
        "people": people,
        "seconds": seconds,
        "fps": fps,
        "seed": seed,
        "difficulty": difficulty.value,
        "split": split.value,
    }
    run_synth(out, fields, annotate_every_s=annotate_every, as_json=json_)


def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the data set.")],
    pixels: Annotated[
        bool,
        typer.Option("--pixels", help="Decode every picture whole, not its header alone; slow."),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Check a data set: counts, all faults, differences from the published counts.

    Knows CUHK-SYSU, PRW, WebTattoo as CSV, COCO json, MOTChallenge and pictures of people
    without identities, by what lies in the folder. Each fault is told with its file and
    row. Exit code 2 when there are faults; notes alone are no fault.
    """
    from cli.checking import run_check_set

    run_check_set(data, pixels=pixels, as_json=json_)


def add_to(train: typer.Typer) -> None:
    """Register the commands."""
    command(train, "synth", epilog=SYNTH_EPILOG)(synth)
    command(train, "check", epilog=CHECK_EPILOG)(check)
