"""One training run of an experiment: trained once, scored once for each way of scoring it.

A run folder holds what `train.fit` writes, ``finished.json`` once it is trained, and a file in
``scores`` for each way that it was scored. Every file appears whole; whatever is there is not
done again, and a run that was broken off anywhere goes on from its last checkpoint.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engines.engine import Engine, open_engine
from train.checkpoint import CHECKPOINT, kept_name, load_checkpoint, load_network
from train.errors import CheckpointError, TrainError, TrainingDivergedError
from train.evaluation.embed import EmbeddedSet, embed_set
from train.evaluation.engine import score_embedded
from train.evaluation.galleries import gallery_curve
from train.evaluation.network import NetworkEngine
from train.experiments.settings import RunPlan
from train.experiments.source import TestData, described, sized_galleries
from train.export import export_bundle
from train.fit import FitProgress, fit

FINISHED = "finished.json"
SCORES = "scores"
BUNDLE = "bundle"
_LOCK_POLL_S = 1.0

Report = Callable[[str, int, int, float], None]
"""Called with the stage, what is done, the total, and the seconds left (nan if unknown)."""
Stop = Callable[[], bool]


class TrainingStoppedError(TrainError):
    """Someone asked to stop; the same command goes on from there."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to score a run: what is embedded, at which iteration (None: the last), with what.

    ``sizes`` also scores galleries of growing size. ``bundle`` scores the exported graphs.
    """

    boxes: str = "detections"
    query: str = "box"
    iteration: int | None = None
    sizes: bool = False
    bundle: bool = False

    def file(self, test: TestData) -> str:
        """Return the name of the file that holds these scores."""
        parts = [test.digest, test.rule.name, self.boxes, self.query]
        if self.iteration is not None:
            parts.append(f"at{self.iteration}")
        parts += [name for name in ("sizes", "bundle") if getattr(self, name)]
        return "-".join(parts) + ".json"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file under a temporary name, then rename it.

    Raises:
        CheckpointError: the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}; delete it to do it again") from error
    return values


def train_run(plan: RunPlan, report: Report, stop: Stop) -> dict[str, Any]:
    """Train a run to its end, or go on with it; return ``finished.json``.

    A run whose loss stops being finite is finished too: ``diverged`` says why.

    Raises:
        TrainingStoppedError: ``stop()`` said so.
        TrainError: the run cannot be trained; see `train.fit.fit`.
    """
    path = plan.config.out / FINISHED
    if path.exists():
        return read_json(path)
    report("training", 0, plan.config.iterations, float("nan"))
    with _alone(plan.config.out, stop):
        if not path.exists():
            write_json(path, _train(plan, report, stop))
    return read_json(path)


def _train(plan: RunPlan, report: Report, stop: Stop) -> dict[str, Any]:
    def tell(at: FitProgress) -> None:
        report("training", at.iteration, at.iterations, at.seconds_left)

    try:
        result = fit(plan.config, resume=True, progress=tell, stop=stop)
    except TrainingDivergedError as error:
        return {"diverged": str(error)}
    if result.iterations < plan.config.iterations:
        raise TrainingStoppedError(
            f"stopped at iteration {result.iterations} of {plan.config.iterations} of run "
            f"{plan.key}; the same command goes on from there"
        )
    return {
        "iterations": result.iterations,
        "seconds": round(result.seconds, 1),
        "losses": result.losses,
    }


@contextmanager
def _alone(folder: Path, stop: Stop) -> Iterator[None]:
    """Hold a run folder; a lock falls with its process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CheckpointError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        while not _locked(file):
            if stop():
                raise TrainingStoppedError(f"stopped while another process trains {folder}")
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def score_run(
    plan: RunPlan, variant: Variant, test: TestData, report: Report, device: str
) -> dict[str, Any]:
    """Return the scores of a trained run, from its folder where they are known.

    Raises:
        TrainError: the test split or the checkpoint cannot be read.
        EngineError: the engine failed.
    """
    path = plan.config.out / SCORES / variant.file(test)
    if path.exists():
        return read_json(path)
    with _engine(plan, variant, device) as engine:
        embedded = embed_set(
            test.data,
            engine,
            boxes=variant.boxes,
            query=variant.query,
            progress=lambda at: report("scoring", at.done, at.total, float("nan")),
        )
    write_json(path, _scores(embedded, variant, test))
    return read_json(path)


def _scores(embedded: EmbeddedSet, variant: Variant, test: TestData) -> dict[str, Any]:
    report = score_embedded(embedded, test.rule).as_json()
    scores: dict[str, Any] = {"report": report, "searched": dict(described(test))}
    if variant.sizes:
        images, queries = test.data.images, sized_galleries(test)
        points = gallery_curve(images, embedded.found, embedded.features, queries)
        scores["galleries"] = [point.as_json() for point in points]
    return scores


def _engine(plan: RunPlan, variant: Variant, device: str) -> Engine:
    name = CHECKPOINT if variant.iteration is None else kept_name(variant.iteration)
    path = plan.config.out / name
    if variant.bundle:
        return open_engine(_bundle(plan.config.out, path))
    net = load_network(load_checkpoint(path))
    return NetworkEngine(net, name=plan.key, device=_device(device), path=path)


def _bundle(folder: Path, checkpoint: Path) -> Path:
    """Return the bundle of a checkpoint; a folder that is there is whole."""
    out = folder / BUNDLE / checkpoint.stem
    if not out.exists():
        out.parent.mkdir(exist_ok=True)
        export_bundle(checkpoint, out)
    return out


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
