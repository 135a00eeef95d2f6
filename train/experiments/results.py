"""What a table found: scores of each row over its seeds, their mean and spread.

The spread is the sample standard deviation over the seeds (n - 1 in the divisor); one seed has
none. Scores are fractions of 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from train.experiments.table import Row, Table


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of a row over its seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean; nan without values."""
        return fmean(self.values) if self.values else math.nan

    @property
    def spread(self) -> float:
        """The sample standard deviation; 0 below two values."""
        return stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class SeedScores:
    """One training of a row: which run, its scores, and what ``finished.json`` says of it.

    ``report`` and ``curve`` are empty for a run that diverged. ``curve`` has the reports of kept
    iterations, ``galleries`` the points of galleries of growing size.
    """

    seed: int
    run: str
    finished: Mapping[str, Any]
    report: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    galleries: Sequence[Mapping[str, Any]] = ()

    @property
    def diverged(self) -> bool:
        """Whether the training ended with a loss that is not finite."""
        return "diverged" in self.finished


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row and what its seeds scored; none where it is only published."""

    row: Row
    seeds: tuple[SeedScores, ...] = ()

    @property
    def diverged(self) -> int:
        """How many of the seeds diverged."""
        return sum(scores.diverged for scores in self.seeds)

    def cell(self, metric: str) -> Cell:
        """Return a search metric (``map``, ``top1``, …) over the seeds that did not diverge."""
        return Cell(tuple(search_score(s.report, metric) for s in self.seeds if s.report))

    def detection(self, metric: str) -> Cell:
        """Return a detection metric, ``ap`` or ``recall``, over the same seeds."""
        return Cell(tuple(float(s.report["detection"][metric]) for s in self.seeds if s.report))

    @property
    def seconds(self) -> float:
        """Mean time of a training in seconds; nan where nothing was trained."""
        times = [float(s.finished["seconds"]) for s in self.seeds if not s.diverged]
        return fmean(times) if times else math.nan


@dataclass(frozen=True, slots=True)
class TableResult:
    """All rows of a table; ``facts`` are printed below it: preset, data, iterations."""

    table: Table
    rows: tuple[RowResult, ...]
    seeds: int
    facts: Mapping[str, str]


def search_score(report: Mapping[str, Any], metric: str) -> float:
    """Return a metric of a report's search, a fraction of 1."""
    return float(report["search"][metric])
