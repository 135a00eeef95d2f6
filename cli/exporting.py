"""Turn a run into an engine bundle, scored on what it is asked to be scored on."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cli.output import facts, show, show_json
from cli.progress import counter
from cli.scored import checkpoint_path
from engines.backends import DEFAULT
from engines.bundle import check_target, open_bundle
from engines.engine import open_engine
from engines.runtimes import require
from train.calibrate import cut_on
from train.evaluation.engine import EvalProgress, evaluate_engine


def run_export(
    run: Path,
    out: Path,
    *,
    name: str | None,
    input_hw: tuple[int, int] | None,
    calibrate: Sequence[Path],
    calibrate_people: Sequence[Path],
    score: Sequence[Path],
    made_by: str,
    as_json: bool,
) -> None:
    """Write the bundle of a run and say what it is; its scores stand in the manifest."""
    require("torch", "train")
    check_target(out, overwrite=False)
    from train.export import export_bundle

    write = partial(
        export_bundle, checkpoint_path(run), command=made_by, name=name, input_hw=input_hw
    )
    with tempfile.TemporaryDirectory(prefix="sightline-export-") as folder:
        draft = Path(folder) / "bundle"
        if calibrate or calibrate_people:
            cut = _cut(write(draft), calibrate, calibrate_people)
            names = [data.name for data in (*calibrate, *calibrate_people)]
            write = partial(write, cut=cut, calibrated_on=names)
        metrics = {}
        if score:
            write(draft, overwrite=True)
            metrics = {data.name: _score(draft, data) for data in score}
    write(out, metrics=metrics)
    manifest = open_bundle(out).manifest
    if as_json:
        show_json({"bundle": str(out.absolute()), "model": manifest.model, "metrics": metrics})
        return
    rows: list[tuple[str, object]] = [("bundle", out), ("model", manifest.model)]
    rows += [(data, _in_words(scores)) for data, scores in metrics.items()]
    show(facts(rows))


def _cut(bundle: Path, data: Sequence[Path], people: Sequence[Path]) -> float:
    with open_engine(bundle, backend=DEFAULT) as engine:
        return cut_on(engine, data, people)


def _score(bundle: Path, data: Path) -> dict[str, Any]:
    with (
        open_engine(bundle, backend=DEFAULT) as engine,
        counter(f"scoring {data.name}", "frames") as tick,
    ):

        def progress(now: EvalProgress) -> None:
            tick(now.done, now.total)

        report = evaluate_engine(data, engine, progress=progress).as_json()
    return {kind: _rounded(report[kind]) for kind in ("detection", "search")}


def _rounded(scores: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in scores.items()}


def _in_words(scores: dict[str, Any]) -> str:
    search = scores["search"]
    return (
        f"detection AP {scores['detection']['ap']:.1%}, search mAP {search['map']:.1%}, "
        f"top-1 {search['top1']:.1%}"
    )
