"""Run a table of the paper: train its rows, score them, and set them beside the published figures.

Runs lie in ``runs/<key>`` of the output folder, named by all that decides what they learn. Rows
and tables with the same settings share them, and what is finished is never repeated.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from train.errors import ConfigError
from train.experiments.pool import Doing, Done, Search, Task, run_tasks
from train.experiments.report import TableReport, state_facts, write_report
from train.experiments.results import RowResult, SeedScores, TableResult
from train.experiments.runs import Variant
from train.experiments.settings import RunPlan, Setting, keeping, plan_run, unique
from train.experiments.source import open_test, open_training
from train.experiments.table import Row, Table
from train.experiments.tables import FIGURE_12, table

RUNS = "runs"


@dataclass(frozen=True, slots=True)
class TableProgress:
    """Where a table stands: number ``run`` of ``runs`` trainings, and how far it is.

    ``stage`` is ``training``, ``scoring``, ``done`` or ``kept`` (it was there already);
    ``seconds_left`` are those of the stage, nan where unknown.
    """

    run: int
    runs: int
    label: str
    seed: int
    stage: str
    done: int
    total: int
    seconds_left: float


Progress = Callable[[TableProgress], None]


def run_table(
    name: str,
    data: Sequence[Path],
    out: Path,
    *,
    preset: str = "paper",
    seeds: int = 1,
    test: Path | None = None,
    gallery: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    bundles: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TableReport:
    """Train and score all rows of a table for seeds 0 .. ``seeds`` - 1, and write it to ``out``.

    Args:
        name: of `train.experiments.tables.TABLES`.
        data: folders that are trained on.
        out: where runs and results go; one folder may serve any number of tables.
        preset: of `train.experiments.settings.SCALES`.
        seeds: trainings of each row.
        test: folder whose test split is searched; the first of ``data`` by default.
        gallery: as `train.experiments.source.open_test`.
        overrides: training settings for every row, and ``start_iterations``.
        device: auto, cpu or cuda.
        bundles: score the exported bundle of each run instead of its torch network.
        jobs: runs at the same time, each in a process of its own.
        progress: called as things move on.
        stop: when it says so, everything ends after the checkpoint of the iteration.

    Raises:
        ConfigError: no such table, preset or setting, or settings that do not fit.
        DatasetError: a data set cannot be read.
        CheckpointError: the disk refuses, or a file of a run is damaged.
        EngineError: scoring failed.
        TrainingStoppedError: ``stop()`` said so; the same command goes on from there.
    """
    chosen = table(name)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("a table runs without torchrun; --jobs trains several rows at a time")
    if seeds < 1 or jobs < 1:
        raise ValueError(f"seeds and jobs must be at least 1, got {seeds} and {jobs}")
    training = open_training(data)
    searched = test or training.folders[0]
    test_data = open_test(searched, gallery)
    setting = Setting(
        preset, training.folders, training.digest, training.identities, overrides or {}, device
    )
    grid = _plan_grid(chosen, range(seeds), setting, out / RUNS)
    tasks = _tasks(chosen, grid, Search(searched, gallery, device), bundles)
    tell = _teller(tasks, grid, progress)
    found = run_tasks(tasks, test_data, jobs=jobs, tell=tell, stop=stop)
    rows = tuple(_row_result(chosen, row, grid, found, bundles) for row in chosen.rows)
    facts = state_facts(setting, training, test_data, [(p.row, p.plan) for p in grid])
    return write_report(TableResult(chosen, rows, seeds, facts), out)


class Planned(NamedTuple):
    """A training that a row asks for."""

    row: Row
    seed: int
    plan: RunPlan


def _plan_grid(chosen: Table, seeds: range, setting: Setting, runs: Path) -> tuple[Planned, ...]:
    """Return every training of a table, row by row.

    Runs whose training curve Fig. 12 draws keep copies of their checkpoints, whichever table
    trains them first.
    """
    drawn = {
        plan_run(training, seed, setting, runs).key
        for row in FIGURE_12.rows
        if (training := row.training) is not None
        for seed in seeds
    }
    return tuple(
        Planned(row, seed, keeping(plan) if plan.key in drawn else plan)
        for row in chosen.rows
        if (training := row.training) is not None
        for seed in seeds
        for plan in [plan_run(training, seed, setting, runs)]
    )


def _tasks(
    chosen: Table, grid: Sequence[Planned], search: Search, bundles: bool
) -> tuple[Task, ...]:
    """Return each run once, starts first, with all the ways in which its rows are scored."""
    wanted: dict[str, dict[Variant, None]] = {}
    for planned in grid:
        variants = _variants(chosen, planned.row, planned.plan, bundles)
        wanted.setdefault(planned.plan.key, {}).update(dict.fromkeys(variants))
    plans = unique([planned.plan for planned in grid])
    return tuple(Task(plan, tuple(wanted.get(plan.key, {})), search) for plan in plans)


def _variants(chosen: Table, row: Row, plan: RunPlan, bundles: bool) -> tuple[Variant, ...]:
    """Return how a row is scored, the row's own figures first."""
    sizes = "gallery" in chosen.figures
    last = Variant(row.boxes, row.query, sizes=sizes, bundle=bundles)
    every = plan.config.keep_every
    if "training" not in chosen.figures or not every:
        return (last,)
    kept = range(every, plan.config.iterations, every)
    return last, *(Variant(row.boxes, row.query, iteration=at) for at in kept)


def _row_result(
    chosen: Table,
    row: Row,
    grid: Sequence[Planned],
    found: Mapping[str, Done],
    bundles: bool,
) -> RowResult:
    return RowResult(
        row,
        tuple(
            _seed_scores(
                planned, found[planned.plan.key], _variants(chosen, row, planned.plan, bundles)
            )
            for planned in grid
            if planned.row is row
        ),
    )


def _seed_scores(planned: Planned, done: Done, variants: Sequence[Variant]) -> SeedScores:
    key = planned.plan.key
    if not done.scores:
        return SeedScores(planned.seed, key, done.finished)
    last, *kept = variants
    curve = {v.iteration: done.scores[v]["report"] for v in kept if v.iteration is not None}
    if curve:
        curve[planned.plan.config.iterations] = done.scores[last]["report"]
    galleries = done.scores[last].get("galleries", ())
    report = done.scores[last]["report"]
    return SeedScores(planned.seed, key, done.finished, report, curve, galleries)


def _teller(
    tasks: Sequence[Task], grid: Sequence[Planned], progress: Progress | None
) -> Callable[[Doing], None]:
    labels = {planned.plan.key: planned.row.label for planned in reversed(grid)}

    def tell(doing: Doing) -> None:
        if progress is None:
            return
        plan = tasks[doing.number].plan
        label = labels.get(plan.key, f"start of {plan.config.network.model}")
        place = (doing.number + 1, len(tasks), label, plan.config.seed)
        progress(TableProgress(*place, *doing[1:]))

    return tell
