"""``sightline engine build``, ``sightline engine plans`` and ``sightline engine forget``."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BackendChoice, JsonOption, PrecisionChoice, command

BUILD_EPILOG = """[bold]Examples[/bold]

  sightline engine build --backend onnxruntime --precision int8 --data hall.mp4
  sightline engine build my-bundle --backend openvino --precision int8 --data PRW --frames 100
  sightline engine build --backend tensorrt --precision fp16 --batch 1,4,16 --workspace 8"""
PLANS_EPILOG = """[bold]Examples[/bold]

  sightline engine plans
  sightline engine plans --json"""
FORGET_EPILOG = """[bold]Examples[/bold]

  sightline engine forget 0f1e2d3c4b5a-onnxruntime-int8-01234567
  sightline engine forget --all"""
FROM_PANEL = "What int8 is calibrated on"
COMPILE_PANEL = "How TensorRT compiles"


def build(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder of the bundle; else SIGHTLINE_ENGINE, sightline.toml, the shipped one.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        BackendChoice, typer.Option("--backend", help="What is to run it.", show_default=False)
    ] = BackendChoice.ONNXRUNTIME,
    precision: Annotated[
        PrecisionChoice, typer.Option("--precision", help="What it is to compute in.")
    ] = PrecisionChoice.INT8,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A data set, a folder of pictures, or a video of your cameras.",
            show_default="a small world, rendered on the spot",
            rich_help_panel=FROM_PANEL,
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(
            "--frames",
            metavar="N",
            min=1,
            max=2000,
            help="At most so many frames, evenly spread.",
            rich_help_panel=FROM_PANEL,
        ),
    ] = 64,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="NODE",
            help="A layer that stays in float; may be repeated.",
            show_default=False,
            rich_help_panel=FROM_PANEL,
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            "--batch",
            metavar="MIN,OPT,MAX",
            help="Frames at once: fewest, most often, most.",
            rich_help_panel=COMPILE_PANEL,
        ),
    ] = "1,4,8",
    workspace: Annotated[
        float,
        typer.Option(
            "--workspace",
            metavar="GB",
            min=0.1,
            max=1000,
            help="GPU memory that a layer may take.",
            rich_help_panel=COMPILE_PANEL,
        ),
    ] = 4.0,
    force: Annotated[
        bool, typer.Option("--force", help="Make it again although it is there.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Make the plan of a backend and precision for this machine, and keep it.

    A plan is what runs in place of the bundle's own graphs: lowered to fp16 or int8, or
    compiled by TensorRT for the GPU that is here. It is compared with fp32 on a few
    frames and kept in this user's cache, never in the bundle. What is there already is
    not made again. A plan becomes a default only once engine verify has allowed it.

    Exit code 4 when it cannot be made, or computes something else than the bundle.
    """
    from cli.enginebuild import BuildOptions, run_build

    run_build(
        bundle,
        BuildOptions(
            backend=backend.value,
            precision=precision.value,
            data=data,
            frames=frames,
            exclude=tuple(exclude or ()),
            batch=batch,
            workspace_gb=workspace,
            force=force,
        ),
        as_json=json_,
    )


def plans(json_: JsonOption = False) -> None:
    """List the plans that were made on this machine, and whether they were verified.

    A plan that was made for another runtime version or other hardware is never used; it
    is listed so that it can be forgotten.
    """
    from cli.engineplans import run_plans

    run_plans(as_json=json_)


def forget(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A plan, as engine plans lists it."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All plans, what was set aside, what compilers measured.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Delete a plan, or all of them.

    Nothing is lost but the time to make it again; what runs on it now goes on.
    """
    from cli.engineplans import run_forget

    run_forget(name, everything=everything, as_json=json_)


def add_to(engine: typer.Typer) -> None:
    """Register the commands."""
    command(engine, "build", epilog=BUILD_EPILOG)(build)
    command(engine, "plans", epilog=PLANS_EPILOG)(plans)
    command(engine, "forget", epilog=FORGET_EPILOG)(forget)
