"""``sightline train eval``: score an engine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    OUTPUT_PANEL,
    BackendOption,
    DeviceChoice,
    EngineChoice,
    EngineOption,
    JsonOption,
    PrecisionOption,
    command,
)

EVAL_EPILOG = """[bold]Examples[/bold]

  sightline train eval --data world
  sightline train eval --data PRW --engine my-bundle --protocol all --rescore cws --json
  sightline train eval --data CUHK-SYSU --run runs/first --protocol 4000 --sizes --plots plots
  sightline train eval --clip hall.mp4 --annotations hall.json"""
WHAT_PANEL = "What is scored"
HOW_PANEL = "How it is searched"


class BoxesChoice(StrEnum):
    """What stands in the gallery."""

    DETECTIONS = "detections"
    TRUTH = "truth"
    FRAME = "frame"


class QueryChoice(StrEnum):
    """What is looked for."""

    BOX = "box"
    FRAME = "frame"


class RescoreChoice(StrEnum):
    """Ways to re-score, each reported apart."""

    NONE = "none"
    CWS = "cws"
    CBGM = "cbgm"
    CWS_CBGM = "cws+cbgm"
    K_RECIPROCAL = "k-reciprocal"


def evaluate(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A data set with queries.",
            show_default=False,
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            metavar="DIR",
            help="Pictures without identities (COCO json): detection alone.",
            show_default=False,
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(
            "--clip",
            metavar="VIDEO",
            help="A video of which some frames are annotated: detection alone.",
            show_default=False,
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="JSON",
            help="The annotated frames of --clip.",
            show_default=False,
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="A run or checkpoint instead of a bundle, computed by torch.",
            show_default=False,
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    device: Annotated[
        DeviceChoice,
        typer.Option("--device", help="Where --run computes.", rich_help_panel=WHAT_PANEL),
    ] = DeviceChoice.AUTO,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "--gallery",
            metavar="NAME",
            help="The frames a query is looked for in: cross-camera, all or own; of CUHK-SYSU "
            "50, 100, 500, 1000, 2000, 4000, all, occlusion or resolution.",
            show_default="the data set's own, else cross-camera",
            rich_help_panel=HOW_PANEL,
        ),
    ] = None,
    boxes: Annotated[
        BoxesChoice,
        typer.Option(
            "--boxes",
            help="What stands in the gallery: detections, annotated boxes, whole frames.",
            rich_help_panel=HOW_PANEL,
        ),
    ] = BoxesChoice.DETECTIONS,
    query: Annotated[
        QueryChoice,
        typer.Option(
            "--query",
            help="A query is its box on its frame, or the frame.",
            rich_help_panel=HOW_PANEL,
        ),
    ] = QueryChoice.BOX,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            metavar="F",
            min=0,
            max=1,
            help="Detections below it do not count.",
            rich_help_panel=HOW_PANEL,
        ),
    ] = 0.5,
    rescore: Annotated[
        list[RescoreChoice] | None,
        typer.Option(
            "--rescore",
            help="Also score so, beside the plain scores; may be repeated.",
            show_default=False,
            rich_help_panel=HOW_PANEL,
        ),
    ] = None,
    sizes: Annotated[
        bool,
        typer.Option(
            "--sizes",
            help="Also score galleries of growing size.",
            rich_help_panel=HOW_PANEL,
        ),
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option(
            "--plots",
            metavar="DIR",
            help="Write curves and a sheet of the best answers here; needs the extra train.",
            show_default=False,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Score a compiled engine on a data set; a bundle needs no torch.

    Detection: average precision and recall. Search: mAP and top-1, top-5, top-10 over
    the gallery of each query. A synthetic world is a data set too. With --people or
    --clip: detection recall and precision, over all thresholds.

    The JSON document is {"detection": {"ap", "recall"}, "search": {"map", "top1",
    "top5", "top10", "gallery", "queries"}, "rescored", "protocol", …}.
    """
    from cli.scoring import HowSearched, Scored, run_eval

    run_eval(
        Scored(data, people, clip, annotations),
        HowSearched(
            gallery=protocol,
            boxes=boxes.value,
            query=query.value,
            rescoring=tuple(name.value for name in rescore or ()),
            sizes=sizes,
            min_score=min_score,
        ),
        engine=EngineChoice(engine, backend, precision),
        run=run,
        device=device.value,
        plots=plots,
        as_json=json_,
    )


def add_to(train: typer.Typer) -> None:
    """Register the command."""
    command(train, "eval", epilog=EVAL_EPILOG)(evaluate)
