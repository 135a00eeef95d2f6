"""``sightline engine bench``: backends side by side."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import OUTPUT_PANEL, JsonOption, command

EPILOG = """[bold]Examples[/bold]

  sightline engine bench
  sightline engine bench --backends reference,onnxruntime,openvino:bf16 --batch 1,4
  sightline engine bench my-bundle --seconds 20 --data hall.mp4 --plot speed.png --json"""


def bench(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder of the bundle; else SIGHTLINE_ENGINE, sightline.toml, the shipped one.",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            metavar="LIST",
            help="What is compared: BACKEND or BACKEND:PRECISION, with commas between.",
            show_default="all that can run here as they are",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", metavar="LIST", help="Frames a call, with commas between.")
    ] = "1,4,8",
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="S", min=0.1, help="Time for each backend at each batch size."
        ),
    ] = 5.0,
    rounds: Annotated[
        int,
        typer.Option("--rounds", metavar="N", min=1, help="Turns that the time is split into."),
    ] = 5,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="CPU threads of a call.",
            show_default="each runtime's own",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="Where reference and tensorrt compute: cpu, cuda, or the number of a GPU.",
            show_default="the processor; the first GPU",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A video, a picture or a folder of pictures to run on.",
            show_default="noise of 1920 x 1080",
        ),
    ] = None,
    graph_only: Annotated[
        bool,
        typer.Option(
            "--graph-only",
            help="Give frames that already have the input's size, so that none is scaled.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Draws the order of the turns.")
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE.png",
            help="Draw the speeds here; needs the extra train.",
            show_default=False,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Time backends side by side: frames a second, latency, memory, and the ratios.

    Each backend lives in a process of its own. In every round each gets a turn at each batch
    size, in an order drawn anew, so that noise hits all alike; ratios to eager torch
    (reference) and to onnxruntime, both fp32, are medians over the rounds. What is timed is
    the whole call on whole frames: scaling, graph, boxes back to the frame.

    Exit code 4 when a backend cannot run, dies or falls silent.
    """
    from cli.enginebench import BenchOptions, run_bench

    run_bench(
        bundle,
        BenchOptions(
            backends=backends,
            batch=batch,
            seconds=seconds,
            rounds=rounds,
            threads=threads,
            device=device,
            data=data,
            graph_only=graph_only,
            seed=seed,
        ),
        plot=plot,
        as_json=json_,
    )


def add_to(engine: typer.Typer) -> None:
    """Register the command."""
    command(engine, "bench", epilog=EPILOG)(bench)
