"""The cut of a detector's scores: low enough to miss few, high enough to be precise."""

from pathlib import Path

import numpy as np
import pytest

from engines.values import Detections
from train.calibrate import LEAST_PRECISION, best_cut, logit_shift
from train.data.records import ImageRecord

PERSON = [10.0, 10.0, 50.0, 110.0]


def image(persons: int) -> ImageRecord:
    boxes = np.array([PERSON] * persons, np.float32).reshape(-1, 4)
    return ImageRecord(Path("a.jpg"), "a", 1, boxes, np.zeros(persons, np.int64))


def found(score: float) -> Detections:
    box = np.array([PERSON], np.float32)
    embedding = np.zeros((1, 256), np.float32)
    embedding[:, 0] = 1
    return Detections(box, np.array([score], np.float32), embedding)


def test_the_cut_is_the_lowest_that_is_precise_enough() -> None:
    # right at 0.9, 0.7, 0.31 and wrong at 0.3 and below: from 0.31 up all is right
    right, wrong = [0.9, 0.7, 0.31], [0.29, 0.25, 0.2, 0.15]
    images = [image(1)] * len(right) + [image(0)] * len(wrong)
    cut = best_cut([(images, [found(score) for score in right + wrong])])
    # two wrong ones in five would be 0.6, one in four 0.75: one is let in, not two
    assert 3 / 5 < LEAST_PRECISION <= 3 / 4
    assert 0.25 < cut <= 0.29


def test_where_all_is_wrong_only_the_surest_stay() -> None:
    assert best_cut([([image(0)], [found(0.8)])]) == 0.9


def test_a_large_set_does_not_outvote_a_small_one() -> None:
    small = [image(1), *[image(0)] * 9], [found(0.8), *[found(0.4)] * 9]
    large = [image(1)] * 200, [found(0.8)] * 200
    # Of all 210 detections together 201 are right, of the small set's one in ten.
    assert best_cut([large]) == pytest.approx(0.06)
    assert best_cut([small, large]) == pytest.approx(0.42)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.8])
def test_the_shift_makes_the_cut_a_half(cut: float) -> None:
    logit = np.log(cut / (1 - cut)) + logit_shift(cut)
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(0.5)
