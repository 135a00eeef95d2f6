"""``sightline train table``: the tables and figures of the paper."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DeviceChoice, JsonOption, command

TABLE_EPILOG = """[bold]Examples[/bold]

  sightline train table 5 --data CUHK-SYSU --out results
  sightline train table 5 --data worlds/1 --test worlds/test --out results --preset tiny --seeds 3
  sightline train table fig12 --data PRW --out results --set iterations=40000"""


def table(
    name: Annotated[
        str, typer.Argument(metavar="TABLE", help="1, 2, 3, 4, 5, 6, 7, 8, fig12 or fig13.")
    ],
    data: Annotated[
        list[Path],
        typer.Option("--data", metavar="DIR", help="A data set to train on; may be repeated."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the runs and results.")
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            metavar="DIR",
            help="The data set to search in.",
            show_default="the first --data",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="paper, strong, small or tiny.")
    ] = "paper",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Trainings of each row.")
    ] = 1,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "--gallery",
            metavar="NAME",
            help="As of train eval.",
            show_default="the data set's own, else all",
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of every run, as in iterations=2000; may be repeated.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        DeviceChoice, typer.Option("--device", help="Where torch computes.")
    ] = DeviceChoice.AUTO,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, max=64, help="Trainings at the same time.")
    ] = 1,
    bundles: Annotated[
        bool, typer.Option("--bundles", help="Score exported bundles, not the networks in torch.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Run a table or figure of the DC-I-Net paper, beside the published figures.

    Trains every row that can be trained, once for each seed, scores it, and writes
    Markdown, CSV and the pictures into --out. Stopped anywhere, the same command goes on;
    tables share the runs that they have in common. Needs the extra "train" (torch).
    """
    from cli.tabling import run_paper_table

    run_paper_table(
        name,
        data,
        out,
        change or [],
        test=test,
        preset=preset,
        seeds=seeds,
        gallery=protocol,
        device=device.value,
        jobs=jobs,
        bundles=bundles,
        as_json=json_,
    )


def add_to(train: typer.Typer) -> None:
    """Register the command."""
    command(train, "table", epilog=TABLE_EPILOG)(table)
