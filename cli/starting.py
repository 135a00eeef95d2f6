"""Make an engine from published weights."""

import shlex
import sys
from pathlib import Path

from cli.output import facts, show, show_json
from cli.progress import downloading
from engines.bundle import open_bundle
from engines.runtimes import require


def run_init(
    out: Path,
    *,
    weights: str,
    backbone: str | None,
    input_hw: tuple[int, int] | None,
    file: Path | None,
    run: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write the bundle and say what it is."""
    require("torch", "train")
    from train.initial import init_engine

    with downloading("fetching weights") as tick:
        init_engine(
            out,
            weights=weights,
            backbone=backbone,
            input_hw=input_hw,
            seed=seed,
            file=file,
            run=run,
            command=shlex.join(["sightline", *sys.argv[1:]]),
            tick=tick,
        )
    manifest = open_bundle(out).manifest
    if as_json:
        show_json({
            "bundle": str(out.absolute()),
            "model": manifest.model,
            "run": None if run is None else str(run.absolute()),
        })  # fmt: skip
        return
    rows: list[tuple[str, object]] = [
        ("bundle", out),
        ("model", manifest.model),
        ("finds", "persons, as torchvision's COCO detector does"),
        ("tells apart", "nothing reliably: its embedding is untrained"),
    ]
    if run is not None:
        rows.append(("run", run))
    show(facts(rows))
