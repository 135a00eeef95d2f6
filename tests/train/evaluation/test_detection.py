"""Detection scoring: mutual best overlap, recall, average precision."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.values import Detections
from train.data.records import IGNORED, UNLABELLED, ImageRecord
from train.evaluation.detection import detection_curve, found_persons, score_detection


def record(boxes: Any, name: str = "a") -> ImageRecord:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return ImageRecord(Path(name), name, 1, array, np.full(len(array), -2))


def test_the_worked_example(example: Any) -> None:
    scores = score_detection(example.images, example.found)
    assert (scores.found, scores.persons) == (5, 7)
    assert scores.recall == pytest.approx(5 / 7, abs=1e-15)


def test_a_pair_is_the_best_of_both() -> None:
    persons = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], np.float32)
    between = np.array([[1, 0, 11, 10], [0, 0, 10, 10]], np.float32)
    # The second detection is the first person exactly; the first one overlaps that person best.
    assert found_persons(persons, between).tolist() == [False, True]


def test_one_person_is_found_once() -> None:
    person = np.array([[0, 0, 10, 10]], np.float32)
    twice = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [0, 0, 10, 8]], np.float32)
    assert found_persons(person, twice).tolist() == [False, True, False]


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    person = np.array([[0, 0, 10, 10]], np.float32)
    assert found_persons(person, np.array([[0, 0, 5, 10]], np.float32)).tolist() == [True]
    assert found_persons(person, np.array([[0, 0, 4.99, 10]], np.float32)).tolist() == [False]


def test_average_precision_is_scaled_by_recall(prwfolder: ModuleType) -> None:
    image = record([[0, 0, 10, 10], [50, 0, 60, 10]])
    boxes = [[80, 0, 90, 10], [0, 0, 10, 10]]
    scores = score_detection([image], [prwfolder.detections(boxes, [0, 0], [0.9, 0.8])])
    assert (scores.recall, scores.precision, scores.ap) == (0.5, 0.5, 0.25)
    np.testing.assert_allclose(scores.curve.recall, [0, 0.5])


def test_nothing_there_and_nothing_detected(prwfolder: ModuleType) -> None:
    empty = prwfolder.detections([], [])
    scores = score_detection([record([])], [empty])
    assert (scores.ap, scores.recall, scores.precision) == (0, 0, 0)
    some = score_detection([record([[0, 0, 10, 10]])], [empty])
    assert (some.ap, some.recall, some.persons, some.detections) == (0, 0, 1, 0)
    ghost = prwfolder.detections([[0, 0, 10, 10]], [0])
    assert score_detection([record([])], [ghost]).detections == 1


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_a_plain_loop(plainscore: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, found = [], []
    for name in map(str, range(12)):
        people = rng.uniform(0, 60, (int(rng.integers(0, 6)), 4))
        people[:, 2:] = people[:, :2] + 20 + people[:, 2:]
        images.append(record(people, name))
        boxes = np.repeat(images[-1].boxes, 3, axis=0)
        boxes = (boxes + rng.normal(0, 6, boxes.shape)).astype(np.float32)
        scores = np.round(rng.uniform(0.3, 1, len(boxes)), 2).astype(np.float32)
        found.append(Detections(boxes, scores, np.zeros((len(boxes), 256), np.float32)))
    ap, recall = plainscore.score_detections(images, found)
    scores = score_detection(images, found)
    assert scores.ap == pytest.approx(ap, abs=1e-12)
    assert scores.recall == pytest.approx(recall, abs=1e-12)
    assert scores.found > 0


def ignoring(boxes: Any, ids: Any) -> ImageRecord:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return ImageRecord(Path("i"), "i", 1, array, np.array(ids, np.int64))


CROWD = ignoring([[0, 0, 10, 10], [100, 0, 200, 100]], [UNLABELLED, IGNORED])


def test_a_detection_in_a_region_to_ignore_is_neither_right_nor_wrong(
    prwfolder: ModuleType,
) -> None:
    boxes = [[0, 0, 10, 10], [120, 10, 140, 60], [50, 0, 60, 10]]
    found = prwfolder.detections(boxes, [0, 0, 0], [0.9, 0.95, 0.8])
    scores = score_detection([CROWD], [found])
    assert (scores.persons, scores.detections, scores.found, scores.ignored) == (1, 2, 1, 1)
    assert (scores.recall, scores.precision, scores.ap) == (1, 0.5, 1)
    np.testing.assert_allclose(scores.curve.thresholds, [0.9, 0.8], atol=1e-7)


def test_half_inside_is_ignored_and_less_is_wrong(prwfolder: ModuleType) -> None:
    inside = prwfolder.detections([[90, 0, 110, 50]], [0])
    assert score_detection([CROWD], [inside]).ignored == 1
    outside = prwfolder.detections([[89, 0, 110, 50]], [0])
    assert score_detection([CROWD], [outside]).ignored == 0
    # Two regions that have a third each do not add up.
    third = ignoring([[0, 0, 10, 30], [20, 0, 30, 30]], [IGNORED, IGNORED])
    between = prwfolder.detections([[0, 0, 30, 30]], [0])
    assert score_detection([third], [between]).detections == 1


def test_a_person_in_a_region_to_ignore_is_still_found(prwfolder: ModuleType) -> None:
    image = ignoring([[110, 10, 130, 60], [100, 0, 200, 100]], [4, IGNORED])
    found = prwfolder.detections([[110, 10, 130, 60], [111, 10, 131, 60]], [0, 0])
    scores = score_detection([image], [found])
    # The second is no one's best and lies in the region.
    assert (scores.found, scores.detections, scores.ignored) == (1, 1, 1)


def test_a_region_is_never_found(prwfolder: ModuleType) -> None:
    found = prwfolder.detections([[100, 0, 200, 100]], [0])
    scores = score_detection([CROWD], [found])
    assert (scores.found, scores.detections, scores.ignored, scores.persons) == (0, 0, 1, 1)


def test_the_curve_is_the_score_at_every_threshold(plainscore: ModuleType) -> None:
    rng = np.random.default_rng(4)
    images, found = [], []
    for name in map(str, range(8)):
        people = rng.uniform(0, 60, (4, 4))
        people[:, 2:] = people[:, :2] + 20 + people[:, 2:]
        images.append(record(people, name))
        boxes = np.repeat(images[-1].boxes, 3, axis=0)
        boxes = (boxes + rng.normal(0, 5, boxes.shape)).astype(np.float32)
        scores = np.round(rng.uniform(0.3, 1, len(boxes)), 2).astype(np.float32)
        found.append(Detections(boxes, scores, np.zeros((len(boxes), 256), np.float32)))
    curve = detection_curve(images, found)
    assert (np.diff(curve.thresholds) < 0).all()
    for at in (0, len(curve.recall) // 2, -1):
        cut = float(curve.thresholds[at])
        _, recall = plainscore.score_detections(images, found, threshold=cut)
        assert curve.recall[at] == pytest.approx(recall, abs=1e-12)
        precision = score_detection(images, found, score_threshold=cut).precision
        assert curve.precision[at] == precision


def test_a_curve_of_very_many_scores_has_500_points(prwfolder: ModuleType) -> None:
    scores = np.linspace(0.1, 0.9, 700)
    boxes = [[0, 0, 10, 10]] + [[50, 0, 60, 10]] * 699
    curve = detection_curve(
        [record([[0, 0, 10, 10]])], [prwfolder.detections(boxes, np.zeros(700), scores)]
    )
    assert len(curve.thresholds) == 500
    np.testing.assert_allclose(curve.thresholds[[0, -1]], [0.9, 0.1], atol=1e-6)
    assert curve.recall[-1] == 1
    assert len(detection_curve([record([])], [prwfolder.detections([], [])]).recall) == 0
