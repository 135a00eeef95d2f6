"""Average precision and curves, ties included."""

from types import ModuleType

import numpy as np
import pytest

from train.evaluation.average import (
    Curve,
    average_precision,
    precision_recall,
    precision_sum,
    recall_at,
)


def test_order_within_a_tie_has_no_effect() -> None:
    scores = np.array([0.5, 0.5, 0.4, 0.3])
    first = average_precision(np.array([True, False, True, False]), scores)
    second = average_precision(np.array([False, True, True, False]), scores)
    assert first == second == pytest.approx((0.5 + 2 / 3) / 2, abs=1e-12)
    assert round(first, 4) == 0.5833


def test_without_a_hit_it_is_0() -> None:
    assert average_precision(np.zeros(3, bool), np.arange(3.0)) == 0
    assert average_precision(np.zeros(0, bool), np.zeros(0)) == 0
    assert precision_sum(np.arange(3.0), np.zeros(0)) == 0


def test_all_right_is_1() -> None:
    assert average_precision(np.ones(4, bool), np.array([0.1, 0.4, 0.4, 0.9])) == 1


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_a_plain_loop(plainscore: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    scores = np.round(rng.random(n), int(rng.integers(1, 4)))
    hits = rng.random(n) < 0.3
    hits[rng.integers(n)] = True
    expected = plainscore.step_average_precision(hits.tolist(), scores.tolist())
    assert average_precision(hits, scores) == pytest.approx(expected, abs=1e-12)


def test_the_curve_has_a_point_for_each_distinct_score() -> None:
    hits = np.array([True, False, True, False])
    curve = precision_recall(hits, np.array([0.9, 0.8, 0.8, 0.1]), total=4)
    np.testing.assert_array_equal(curve.thresholds, [0.9, 0.8, 0.1])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 2 / 4])
    np.testing.assert_allclose(curve.recall, [1 / 4, 2 / 4, 2 / 4])


def test_the_area_under_the_steps_is_ap_times_recall() -> None:
    rng = np.random.default_rng(3)
    hits, scores = rng.random(50) < 0.4, np.round(rng.random(50), 2)
    total = int(hits.sum()) + 7
    curve = precision_recall(hits, scores, total)
    steps = np.diff(curve.recall, prepend=0.0)
    area = float(np.sum(steps * curve.precision))
    assert area == pytest.approx(average_precision(hits, scores) * hits.sum() / total, abs=1e-12)


def test_the_most_recall_at_a_precision() -> None:
    thresholds, precision = np.array([0.9, 0.8, 0.6, 0.4]), np.array([1.0, 0.5, 0.8, 0.2])
    curve = Curve(thresholds, precision, np.array([0.1, 0.2, 0.7, 0.7]))
    assert recall_at(curve, 0.8) == (0.7, 0.6)
    assert recall_at(curve, 0.1) == (0.7, 0.6)
    assert recall_at(curve, 0.9) == (0.1, 0.9)
    assert recall_at(Curve(thresholds, precision / 2, precision), 0.6) == (0.0, None)
    none = np.zeros(0)
    assert recall_at(Curve(none, none, none), 0.5) == (0.0, None)
