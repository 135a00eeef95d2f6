"""Scoring side by side with the loop."""

import numpy as np
import pytest

from train.errors import ConfigError
from train.evaluation.protocol import GALLERIES, SearchProtocol
from train.evaluation.search import score_search
from train.evaluation.speed import loop_scores, random_split, time_scoring


def test_both_give_the_same_scores_and_the_loop_is_slower() -> None:
    times = time_scoring(queries=40, frames=400, gallery=200, looped=40)
    assert times["difference"] < 1e-12
    assert times["ratio"] > 3
    assert (times["queries"], times["frames"], times["detections"]) == (40, 400, 2000)


def test_times_come_from_the_clock() -> None:
    ticks = iter([10.0, 13.0, 13.5, 23.5])
    times = time_scoring(queries=9, frames=40, gallery=20, looped=3, clock=lambda: next(ticks))
    assert (times["all_s"], times["vectorised_s"], times["loop_s"]) == (3, 0.5, 10)
    assert (times["ratio"], times["loop_all_s"]) == (20, 30)


@pytest.mark.parametrize("gallery", ["all", "cross-camera", "own"])
def test_the_loop_follows_the_rules(gallery: str) -> None:
    split = random_split(12, 60, 30, 4, 1)
    protocol = SearchProtocol(GALLERIES[gallery])
    arguments = (split.images, split.found, split.queries, split.features, protocol)
    aps = [score.ap for score in score_search(*arguments).queries]
    np.testing.assert_allclose(loop_scores(*arguments), aps, atol=1e-12)
    assert 0 < np.mean(aps) < 1


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="sizes are 1 or more"):
        time_scoring(queries=3, looped=4)
