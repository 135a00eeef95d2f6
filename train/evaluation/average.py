"""Average precision as a sum of steps, and precision-recall curves.

Precision is taken at each distinct score, so that the order within a tie is without effect
(scikit-learn's ``average_precision_score``). Multiplied by recall it is the average precision
of person search: what was never detected counts as missed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall (K,) of everything scored at least ``thresholds`` (K,), descending."""

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def average_precision(hits: NDArray[np.bool_], scores: Floats) -> float:
    """Return the average precision of N scored answers, right where ``hits``; 0 without a hit."""
    if not hits.any():
        return 0.0
    return precision_sum(np.sort(scores), scores[hits]) / int(hits.sum())


def precision_sum(ascending: Floats, hit_scores: Floats) -> float:
    """Return the sum over hits of the precision at each hit's own score.

    ``ascending`` holds the scores of all answers, hits included, sorted. Divided by the number
    of hits this is average precision; by the number of right answers that exist, average
    precision times recall.
    """
    hits = np.sort(hit_scores)
    at_least = len(ascending) - np.searchsorted(ascending, hits, side="left")
    right = len(hits) - np.searchsorted(hits, hits, side="left")
    return float(np.sum(right / at_least)) if len(hits) else 0.0


def precision_recall(hits: NDArray[np.bool_], scores: Floats, total: int) -> Curve:
    """Return the curve over each distinct score; ``total`` right answers exist."""
    thresholds = np.unique(scores)[::-1].astype(np.float64)
    return curve_at(thresholds, *counts_at(thresholds, np.sort(scores), scores[hits]), total)


def counts_at(
    thresholds: NDArray[np.float64], ascending: Floats, hit_scores: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each threshold, how many answers and how many hits score at least that."""
    answers = len(ascending) - np.searchsorted(ascending, thresholds, side="left")
    hits = len(hit_scores) - np.searchsorted(np.sort(hit_scores), thresholds, side="left")
    return answers.astype(np.int64), hits.astype(np.int64)


def curve_at(
    thresholds: NDArray[np.float64],
    answers: NDArray[np.int64],
    hits: NDArray[np.int64],
    total: int,
) -> Curve:
    """Return the curve of counted answers and hits; precision is 1 where nothing is answered."""
    precision = np.divide(hits, answers, out=np.ones(len(hits)), where=answers > 0)
    return Curve(thresholds, precision, hits / max(1, total))


def recall_at(curve: Curve, least_precision: float) -> tuple[float, float | None]:
    """Return the most recall that a curve has at a precision, and the threshold to cut at.

    Where no threshold is precise enough: recall 0 and None. Of equal recalls the highest
    threshold is returned.
    """
    precise = np.flatnonzero((curve.precision >= least_precision) & (curve.recall > 0))
    if not len(precise):
        return 0.0, None
    best = precise[curve.recall[precise].argmax()]
    return float(curve.recall[best]), float(curve.thresholds[best])
