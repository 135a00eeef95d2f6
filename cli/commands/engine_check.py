"""``sightline engine verify`` and ``sightline engine lint``."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, PrecisionChoice, command

VERIFY_EPILOG = """[bold]Examples[/bold]

  sightline engine verify
  sightline engine verify --data PRW --backends onnxruntime,openvino --build
  sightline engine verify my-bundle --data hall.mp4 --precisions fp32,bf16 --json"""
LINT_EPILOG = """[bold]Examples[/bold]

  sightline engine lint
  sightline engine lint my-bundle --precision fp16
  sightline engine lint search.onnx --json"""


def verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder of the bundle; else SIGHTLINE_ENGINE, sightline.toml, the shipped one.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A data set with queries; or a video or folder of pictures, without labels.",
            show_default="a small world, rendered on the spot",
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            metavar="LIST",
            help="BACKEND or BACKEND:PRECISION, with commas between.",
            show_default="all that are installed, without the reference",
        ),
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            "--precisions",
            metavar="LIST",
            help="Only these, with commas between.",
            show_default="all that a backend knows",
        ),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="What all are compared with, in fp32: onnxruntime or reference (torch).",
        ),
    ] = "onnxruntime",
    frames: Annotated[
        int,
        typer.Option("--frames", metavar="N", min=1, help="At most so many frames and queries."),
    ] = 200,
    build: Annotated[
        bool, typer.Option("--build", help="Make the plans that are missing.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="PATH",
            help="A video or folder of pictures to calibrate int8 on.",
            show_default="a part of the data that is not scored",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", min=0.1, help="Time to measure each one's speed."),
    ] = 4.0,
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
    json_: JsonOption = False,
) -> None:
    """Compare backends and precisions with the fp32 reference, and keep what was found.

    Persons matched, box edges, cosine of embeddings, speed; on labelled data search mAP and
    detection AP by the rules of "train eval". A precision that costs more than half a point
    of either is refused as a default, and without labels every reduced one is. What passes is
    what "--backend auto" may take on this machine, until a version, plan or driver changes.

    Exit code 4 when something named could not be verified; a refusal is no error.
    """
    from cli.engineverify import VerifyOptions, run_verify

    run_verify(
        bundle,
        VerifyOptions(
            data=data,
            backends=backends,
            precisions=precisions,
            reference=reference,
            frames=frames,
            build=build,
            calibrate=calibrate,
            seconds=seconds,
            threads=threads,
        ),
        as_json=json_,
    )


def lint(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE|GRAPH",
            help="Folder of a bundle, or one .onnx file; else SIGHTLINE_ENGINE, sightline.toml, "
            "the shipped one.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        PrecisionChoice,
        typer.Option("--precision", help="Hold it to the rules of a graph of this precision."),
    ] = PrecisionChoice.FP32,
    json_: JsonOption = False,
) -> None:
    """Hold graphs to the rules that every runtime's compiler needs; print each one broken.

    Static sizes but for the batch, allowed operators, fixed K, weights inside the file,
    inputs and outputs of a bundle. Exit code 4 when a rule is broken. Needs the package onnx.
    """
    from cli.enginelint import run_lint

    run_lint(path, precision=precision.value, as_json=json_)


def add_to(engine: typer.Typer) -> None:
    """Register the commands."""
    command(engine, "verify", epilog=VERIFY_EPILOG)(verify)
    command(engine, "lint", epilog=LINT_EPILOG)(lint)
