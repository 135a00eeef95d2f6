"""Identity scores over all cameras at once."""

from types import ModuleType

import numpy as np
import pytest

from train.errors import DatasetError
from train.evaluation.identity import idf1, match_boxes
from train.evaluation.mot import TrackedBox


def walk(camera: int, track: int, frames: range, x: float = 0.0) -> list[TrackedBox]:
    return [TrackedBox(camera, frame, track, x + frame, 0, 10, 20) for frame in frames]


def test_the_truth_itself_is_perfect() -> None:
    truth = walk(1, 5, range(1, 11)) + walk(2, 5, range(1, 6))
    renamed = walk(1, 1, range(1, 11)) + walk(2, 1, range(1, 6))
    scores = idf1(truth, renamed)
    assert (scores.idf1, scores.idp, scores.idr, scores.matched) == (1, 1, 1, 15)


def test_a_new_identity_in_the_second_camera_costs_that_camera() -> None:
    truth = walk(1, 5, range(1, 11)) + walk(2, 5, range(1, 6))
    broken = walk(1, 1, range(1, 11)) + walk(2, 2, range(1, 6))
    scores = idf1(truth, broken)
    assert scores.matched == 10
    assert scores.idf1 == pytest.approx(10 / 15)


def test_two_people_swapped_between_cameras() -> None:
    truth = [
        *walk(1, 1, range(1, 11)), *walk(1, 2, range(1, 11), x=200),
        *walk(2, 1, range(1, 11)), *walk(2, 2, range(1, 11), x=200),
    ]  # fmt: skip
    swapped = [
        *walk(1, 1, range(1, 11)), *walk(1, 2, range(1, 11), x=200),
        *walk(2, 2, range(1, 11)), *walk(2, 1, range(1, 11), x=200),
    ]  # fmt: skip
    # Each camera alone is perfect; over both, half of the boxes bear a wrong name.
    assert idf1(truth, swapped).idf1 == pytest.approx(0.5)


def test_missed_and_false_boxes() -> None:
    truth = walk(1, 5, range(1, 11))
    predicted = walk(1, 1, range(1, 7)) + walk(1, 2, range(1, 5), x=500)
    scores = idf1(truth, predicted)
    assert (scores.idp, scores.idr) == (6 / 10, 6 / 10)
    assert (scores.matched, scores.truth, scores.predicted) == (6, 10, 10)


def test_the_same_frame_number_of_another_camera_is_another_moment() -> None:
    assert idf1(walk(1, 5, range(1, 5)), walk(2, 5, range(1, 5))).matched == 0


def test_nothing_on_either_side() -> None:
    assert idf1([], []).idf1 == 0
    assert idf1(walk(1, 1, range(1, 4)), []).idr == 0
    assert idf1([], walk(1, 1, range(1, 4))).idp == 0


def test_two_boxes_of_one_identity_in_a_frame_are_refused() -> None:
    twice = walk(1, 5, range(3, 4)) * 2
    fault = "predicted: identity 5 has two boxes in frame 3 of camera 1"
    with pytest.raises(DatasetError, match=fault):
        idf1([], twice)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_trying_every_assignment(plainscore: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for camera in (1, 2):
        for frame in range(1, 7):
            for track in range(4):
                x = 8.0 * track
                truth.append(TrackedBox(camera, frame, track, x, 0, 10, 20))
                if rng.random() < 0.8:
                    shift = float(rng.normal(0, 3))
                    name = track if rng.random() < 0.6 else track + 10
                    predicted.append(TrackedBox(camera, frame, name, x + shift, 0, 10, 20))
    scores = idf1(truth, predicted)
    matched = plainscore.matching_identities(truth, predicted)
    assert scores.matched == matched > 0
    assert scores.idf1 == pytest.approx(2 * matched / (len(truth) + len(predicted)), abs=1e-12)


def test_boxes_of_a_frame_are_paired_one_to_one_most_pairs_first() -> None:
    truth = np.array([[0, 0, 10, 10], [3, 0, 13, 10]], np.float64)
    predicted = np.array([[2, 0, 12, 10], [6, 0, 16, 10], [90, 0, 99, 9]], np.float64)
    # The best single overlap (1, 0) would leave person 0 without a pair.
    assert match_boxes(truth, predicted) == [(0, 0), (1, 1)]
    assert match_boxes(truth, predicted, min_iou=0.7) == [(1, 0)]


def test_no_boxes_give_no_pairs() -> None:
    none = np.zeros((0, 4))
    assert match_boxes(none, np.array([[0, 0, 1, 1.0]])) == []
    assert match_boxes(none, none) == []
