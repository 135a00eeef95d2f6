"""``sightline bench``: measure, side by side with something known."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DeviceChoice, EngineOption, JsonOption, command

TRAIN_EPILOG = """[bold]Examples[/bold]

  sightline bench train
  sightline bench train --size 608 1088 --frames 4 --device cuda --json"""
SCORING_EPILOG = """[bold]Examples[/bold]

  sightline bench scoring
  sightline bench scoring --queries 200 --frames 600 --gallery-frames 500 --json"""
TRACKS_EPILOG = """[bold]Examples[/bold]

  sightline bench tracks worlds/1
  sightline bench tracks MOT17/train --fps 10 --json"""

bench = typer.Typer(
    help="Measure training, scoring and tracking, against something known.", no_args_is_help=True
)


@command(bench, "train", epilog=TRAIN_EPILOG)
def bench_train(
    size: Annotated[
        tuple[int, int],
        typer.Option("--size", metavar="H W", help="Input height and width, multiples of 32."),
    ] = (320, 544),
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=2, help="Frames a step, an even number.")
    ] = 2,
    rois: Annotated[
        int, typer.Option("--rois", metavar="N", min=8, help="Proposals and RoIs a frame.")
    ] = 128,
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", min=1, help="Steps of each that are timed.")
    ] = 5,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", metavar="N", min=1, help="Threads of torch.", show_default="torch's own"
        ),
    ] = None,
    device: Annotated[
        DeviceChoice, typer.Option("--device", help="Where torch computes.")
    ] = DeviceChoice.CPU,
    json_: JsonOption = False,
) -> None:
    """Time a training step against torchvision's Faster R-CNN with an embedding head.

    DC-I-Net and its like from torchvision's parts, both on ResNet-50, see the same frames
    in turns; the ratio is the median over the turns. Needs the extra "train" (torch).
    """
    from cli.benching import run_bench_train

    run_bench_train(
        input_hw=size,
        frames=frames,
        rois=rois,
        repeats=repeats,
        threads=threads,
        device=device.value,
        as_json=json_,
    )


@command(bench, "scoring", epilog=SCORING_EPILOG)
def bench_scoring(
    queries: Annotated[
        int, typer.Option("--queries", metavar="N", min=1, help="Persons to look for.")
    ] = 2900,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=2, help="Frames of the test split.")
    ] = 6978,
    gallery: Annotated[
        int,
        typer.Option(
            "--gallery-frames", metavar="N", min=1, help="Frames a query is looked for in."
        ),
    ] = 4000,
    persons: Annotated[
        int, typer.Option("--persons", metavar="N", min=1, help="Persons a frame.")
    ] = 5,
    looped: Annotated[
        int, typer.Option("--looped", metavar="N", min=1, help="Queries that the loop is timed on.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Draws the data.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Time search scoring against a plain loop over queries and frames.

    Data of CUHK-SYSU's size is drawn at random; both must find the same average
    precision. Needs no torch.
    """
    from cli.benching import run_bench_scoring

    run_bench_scoring(
        queries=queries,
        frames=frames,
        gallery=gallery,
        persons=persons,
        looped=looped,
        seed=seed,
        as_json=json_,
    )


@command(bench, "tracks", epilog=TRACKS_EPILOG)
def bench_tracks(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A rendered world, or a folder as of MOTChallenge."),
    ],
    fps: Annotated[
        float,
        typer.Option("--fps", metavar="F", min=0.1, max=60.0, help="Frames searched a second."),
    ] = 5.0,
    engine: EngineOption = None,
    json_: JsonOption = False,
) -> None:
    """Score the tracker of an ingest on recordings whose tracks are known.

    Engine, thresholds and tracker are those of an ingest. HOTA and IDF1, each camera for
    itself and all together, as TrackEval counts them; people whom the truth does not count
    cost nothing and bring nothing.
    """
    from cli.trackbench import run_bench_tracks

    run_bench_tracks(data, fps=fps, engine=engine, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(bench, name="bench", rich_help_panel="Train")
