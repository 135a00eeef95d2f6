"""Train a network: data in, checkpoints and a log out; stops and resumes anywhere.

A run folder holds ``config.json``, ``log.jsonl`` (a line every few iterations),
``checkpoint.safetensors``, and as many kept copies of it as are asked for. On the CPU the same
settings, data and number of threads give the same weights bit for bit, resumed or not.

Under ``torchrun`` every process calls `fit` with the same settings and trains on its share of
every batch; the first one alone writes files and reports progress.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from train.checkpoint import CHECKPOINT, kept_name
from train.config import FitConfig
from train.distributed import joined
from train.feed import prefetch
from train.optimise import Stepper
from train.reports import FitProgress, Reports
from train.run import Run, open_run

__all__ = ["FitProgress", "FitResult", "fit"]


@dataclass(frozen=True, slots=True)
class FitResult:
    """A finished run: its checkpoint, iterations, and training time over all resumes."""

    checkpoint: Path
    iterations: int
    seconds: float
    losses: dict[str, float]


def fit(
    config: FitConfig,
    *,
    resume: bool = False,
    progress: Callable[[FitProgress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train until ``config.iterations``, or until ``stop()`` says so after a saved checkpoint.

    ``stop`` is asked after every optimiser step.

    Raises:
        ConfigError: the settings do not fit the machine or the number of processes, or the run
            folder holds another run and ``resume`` is off.
        DatasetError: the data cannot be read, or no identity can be paired.
        CheckpointError: the run to resume is damaged or was made with other settings or data, or
            the disk refuses; the last checkpoint stays.
        TrainingDivergedError: a loss, a gradient or a weight is not finite; the last checkpoint
            stays.
    """
    with joined(config.device) as world:
        run = open_run(config, resume, world)
        with Reports(run, progress, time.monotonic()) as reports:
            train(run, reports, stop)
        return FitResult(config.out / CHECKPOINT, run.iteration, run.seconds, run.means)


def train(run: Run, reports: Reports, stop: Callable[[], bool]) -> None:
    """Take a run's remaining iterations; save where it is due, and at the end."""
    config, source = run.config, run.feed.source
    stepper = Stepper(config, run.learner, run.optimiser, source.pictures)
    make = partial(source.batch, part=run.part)
    ahead = prefetch(make, run.iteration, config.iterations, config.loaders)
    saved = run.iteration
    with closing(ahead):
        for batch, waited_s in ahead:
            taken = stepper.take(run.iteration, batch)
            run.iteration += 1
            run.average(taken.losses)
            reports.take(taken, time.monotonic(), waited_s)
            if taken.gradient is None:  # in the middle of a step there is nothing to resume from
                continue
            saved = _save_due(run, saved)
            if run.world.any(stop()):
                break
    if saved != run.iteration:
        run.save()


def _save_due(run: Run, saved: int) -> int:
    """Save what is due now; return the iteration that the checkpoint stands at."""
    if run.due(run.config.keep_every):
        run.save(kept_name(run.iteration))
    if not run.due(run.config.save_every):
        return saved
    run.save()
    return run.iteration
