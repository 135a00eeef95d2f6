"""Do runs one after the other, or several at once in processes of their own.

A start is trained before the runs that begin from it. A process that is asked to stop saves
first; one whose parent is gone ends at once, and its run goes on from the last checkpoint.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import torch

from train.experiments.runs import (
    Report,
    Stop,
    TrainingStoppedError,
    Variant,
    score_run,
    train_run,
)
from train.experiments.settings import RunPlan
from train.experiments.source import TestData, open_test

_POLL_S = 0.2


class Search(NamedTuple):
    """What is searched, and on what device."""

    folder: Path
    gallery: str | None
    device: str


@dataclass(frozen=True, slots=True)
class Task:
    """A run to train, and the ways to score it; a start has none."""

    plan: RunPlan
    variants: tuple[Variant, ...]
    search: Search


class Done(NamedTuple):
    """A finished task: ``finished.json`` and the scores of each variant.

    ``stage`` is ``done``, or ``kept`` where all of it was there already.
    """

    finished: Mapping[str, Any]
    scores: Mapping[Variant, Mapping[str, Any]]
    stage: str


class Doing(NamedTuple):
    """How far the task with number ``number`` is; see `train.experiments.runner.TableProgress`."""

    number: int
    stage: str
    done: int
    total: int
    seconds_left: float


Teller = Callable[[Doing], None]


def run_tasks(
    tasks: Sequence[Task], test: TestData, *, jobs: int, tell: Teller, stop: Stop
) -> dict[str, Done]:
    """Return what became of each task, by the key of its run.

    Processes of their own read the test split anew; ``test`` serves this one.

    Raises:
        TrainingStoppedError: ``stop()`` said so.
        TrainError, EngineError: the first failure; nothing new is begun after it.
    """
    if jobs > 1:
        return _run_parallel(tasks, jobs, tell, stop)
    done: dict[str, Done] = {}
    for number, task in enumerate(tasks):
        done[task.plan.key] = _do(task, lambda: test, _reporter(number, tell), stop)
        tell(Doing(number, done[task.plan.key].stage, 1, 1, 0.0))
    return done


def _reporter(number: int, tell: Teller) -> Report:
    return lambda stage, done, total, left: tell(Doing(number, stage, done, total, left))


def _do(task: Task, test: Callable[[], TestData], report: Report, stop: Stop) -> Done:
    """Train and score a run, as far as that is still to be done."""
    if stop():
        raise TrainingStoppedError("stopped between two runs; the same command goes on from there")
    stages: set[str] = set()

    def noted(stage: str, done: int, total: int, left: float) -> None:
        stages.add(stage)
        report(stage, done, total, left)

    finished = train_run(task.plan, noted, stop)
    variants = () if "diverged" in finished else task.variants
    device = task.search.device
    scores = {v: score_run(task.plan, v, test(), noted, device) for v in variants}
    return Done(finished, scores, "done" if stages else "kept")


def _run_parallel(tasks: Sequence[Task], jobs: int, tell: Teller, stop: Stop) -> dict[str, Done]:
    context = multiprocessing.get_context("spawn")
    called_off = context.Event()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    done: dict[str, Done] = {}
    with ProcessPoolExecutor(jobs, context, _start_worker, (called_off, threads)) as pool:
        try:
            for wave in _waves(tasks):
                begun = {pool.submit(_work, tasks[number]): number for number in wave}
                done |= _collect(begun, tasks, tell, stop)
        except BaseException:
            called_off.set()
            pool.shutdown(cancel_futures=True)
            raise
    return done


def _waves(tasks: Sequence[Task]) -> Iterable[list[int]]:
    """Return the numbers of the tasks: those that begin from nothing, then the others."""
    yield [number for number, task in enumerate(tasks) if task.plan.start is None]
    yield [number for number, task in enumerate(tasks) if task.plan.start is not None]


def _collect(
    begun: Mapping[Future[Done], int], tasks: Sequence[Task], tell: Teller, stop: Stop
) -> dict[str, Done]:
    done: dict[str, Done] = {}
    pending = set(begun)
    while pending:
        ready, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
        for job in ready:
            found = done[tasks[begun[job]].plan.key] = job.result()
            tell(Doing(begun[job], found.stage, 1, 1, 0.0))
        if stop():
            raise TrainingStoppedError("stopped; the same command goes on from there")
    return done


_called_off: Event | None = None
"""Set when the parent wants a worker to stop."""


def _start_worker(called_off: Event, threads: int) -> None:
    global _called_off  # noqa: PLW0603  a spawned process receives its event only here
    _called_off = called_off
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Done:
    """Do a task in a worker."""
    assert _called_off is not None
    search = task.search
    return _do(task, lambda: _test(search.folder, search.gallery), _ignore, _called_off.is_set)


@lru_cache(maxsize=1)
def _test(folder: Path, gallery: str | None) -> TestData:
    return open_test(folder, gallery)


def _ignore(stage: str, done: int, total: int, left: float) -> None:
    """A worker tells nothing but its end."""
