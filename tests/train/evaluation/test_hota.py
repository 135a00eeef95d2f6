"""HOTA: worked cases, a plain loop over its definition, and figures of TrackEval itself."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from engines.overlap import iou_matrix
from train.errors import DatasetError
from train.evaluation.hota import THRESHOLDS, hota
from train.evaluation.mot import TrackedBox


def walk(camera: int, track: int, frames: range, x: float = 0.0) -> list[TrackedBox]:
    return [TrackedBox(camera, frame, track, x + frame, 0, 10, 20) for frame in frames]


def test_the_truth_itself_is_perfect() -> None:
    truth = walk(1, 5, range(1, 11)) + walk(2, 5, range(1, 6))
    renamed = walk(1, 1, range(1, 11)) + walk(2, 1, range(1, 6))
    scores = hota(truth, renamed)
    assert (scores.hota, scores.deta, scores.assa, scores.loca) == (1, 1, 1, 1)


def test_a_new_identity_in_the_second_camera_costs_association_alone() -> None:
    truth = walk(1, 5, range(1, 11)) + walk(2, 5, range(1, 6))
    broken = walk(1, 1, range(1, 11)) + walk(2, 2, range(1, 6))
    scores = hota(truth, broken)
    # Eq. 4-6: ten boxes share 10 of 15 with their truth, five share 5 of 15.
    assert scores.deta == 1
    assert scores.assa == pytest.approx((10 * 10 / 15 + 5 * 5 / 15) / 15)
    assert scores.hota == pytest.approx(scores.assa**0.5)
    assert (scores.assre, scores.asspr) == (pytest.approx(scores.assa), 1)


def test_missed_and_false_people_cost_detection_alone() -> None:
    truth = walk(1, 5, range(1, 11)) + walk(1, 6, range(1, 11), x=200)
    found = walk(1, 1, range(1, 11)) + walk(1, 2, range(1, 6), x=500)
    scores = hota(truth, found)
    assert scores.assa == 1
    assert scores.deta == pytest.approx(10 / (20 + 15 - 10))
    assert (scores.detre, scores.detpr) == (pytest.approx(10 / 20), pytest.approx(10 / 15))


def test_loose_boxes_count_up_to_their_overlap() -> None:
    truth = [TrackedBox(1, 1, 1, 0, 0, 10, 20)]
    loose = [TrackedBox(1, 1, 7, 0, 0, 10, 12)]  # IoU 0.6
    scores = hota(truth, loose)
    assert scores.hota == pytest.approx(12 / 19)  # 0.05 to 0.60 of 19 thresholds
    assert scores.loca == pytest.approx((12 * 0.6 + 7) / 19)


def test_nothing_on_either_side() -> None:
    assert hota([], []).hota == 0
    assert hota(walk(1, 1, range(1, 4)), []).hota == 0
    assert hota([], walk(1, 1, range(1, 4))).hota == 0


def test_two_boxes_of_one_identity_in_a_frame_are_refused() -> None:
    fault = "truth: identity 5 has two boxes in frame 3 of camera 1"
    with pytest.raises(DatasetError, match=fault):
        hota(walk(1, 5, range(3, 4)) * 2, [])


def scene(step: int) -> tuple[list[TrackedBox], list[TrackedBox]]:
    """Four people at two cameras; boxes lean, one is missed now and then, two swap names."""
    truth, found = [], []
    for camera in (1, 2):
        for frame in range(1, 13):
            for person in range(4):
                x = 22.0 * person + frame * (person - 1)
                truth.append(TrackedBox(camera, frame, person, x, 0, 25, 50))
                if (frame * 7 + person * step) % 5 == 0:
                    continue
                swapped = frame + camera * step > 12 and person < 2
                name = (1 - person if swapped else person) + 10
                lean = ((frame * 3 + person * step) % 7 - 3) * 1.5
                found.append(TrackedBox(camera, frame, name, x + lean, lean, 25, 50))
    return truth, found


@pytest.mark.parametrize("step", [1, 2, 3])
def test_agrees_with_a_plain_loop_over_the_definition(step: int) -> None:
    truth, found = scene(step)
    assert hota(truth, found).hota == pytest.approx(plain_hota(truth, found), abs=1e-12)


@pytest.mark.parametrize(
    ("step", "published"),
    [
        (
            1,
            (
                0.5510001211576151,
                0.5825071624590328,
                0.5214908916608748,
                0.5720409235429773,
                0.7219127673994422,
                0.8325429529332591,
            ),
        ),
        (
            2,
            (
                0.5245844057474786,
                0.6010283060592659,
                0.458214445341602,
                0.52191079926537,
                0.6450648027495494,
                0.8318550087475631,
            ),
        ),
        (
            3,
            (
                0.492366334036351,
                0.582625681851688,
                0.4162941507814728,
                0.47900251359392615,
                0.6039436920761944,
                0.826919105356862,
            ),
        ),
    ],
)
def test_agrees_with_trackeval(step: int, published: tuple[float, ...]) -> None:
    """TrackEval 1.3.0 on the same boxes: HOTA, DetA, AssA, AssRe, AssPr, LocA."""
    scores = hota(*scene(step))
    ours = scores.hota, scores.deta, scores.assa, scores.assre, scores.asspr, scores.loca
    assert ours == pytest.approx(published, abs=1e-12)


def plain_hota(truth: Sequence[TrackedBox], found: Sequence[TrackedBox]) -> float:
    """HOTA from its definition: pairs tried one by one, counts kept in dictionaries."""
    moments = sorted({(box.camera, box.frame) for box in (*truth, *found)})
    sides = [
        (
            [b for b in truth if (b.camera, b.frame) == m],
            [b for b in found if (b.camera, b.frame) == m],
        )
        for m in moments
    ]
    real, guessed = Counter(b.track for b in truth), Counter(b.track for b in found)
    together: Counter[tuple[int, int]] = Counter()
    for left, right in sides:
        overlap = overlaps(left, right)
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                union = overlap[i].sum() + overlap[:, j].sum() - overlap[i, j]
                together[a.track, b.track] += overlap[i, j] / union if union > 0 else 0
    along = {
        (a, b): together[a, b] / (real[a] + guessed[b] - together[a, b])
        for a in real
        for b in guessed
    }
    total = 0.0
    for threshold in THRESHOLDS:
        pairs: Counter[tuple[int, int]] = Counter()
        for left, right in sides:
            pairs.update(best_pairs(left, right, along, float(threshold)))
        matched = sum(pairs.values())
        assa = sum(n * n / (real[a] + guessed[b] - n) for (a, b), n in pairs.items()) / max(
            1, matched
        )
        total += (matched / (len(truth) + len(found) - matched) * assa) ** 0.5
    return total / len(THRESHOLDS)


def best_pairs(
    left: Sequence[TrackedBox],
    right: Sequence[TrackedBox],
    along: dict[tuple[int, int], float],
    threshold: float,
) -> list[tuple[int, int]]:
    """The assignment of greatest worth, found by trying all; only pairs above the threshold."""
    overlap = overlaps(left, right)
    few, many = sorted((len(left), len(right)))
    best, worth = [], -1.0
    for chosen in permutations(range(many), few):
        pairs = [(n, c) if len(left) == few else (c, n) for n, c in enumerate(chosen)]
        value = sum(along[left[i].track, right[j].track] * overlap[i, j] for i, j in pairs)
        if value > worth + 1e-15:
            best, worth = pairs, value
    return [(left[i].track, right[j].track) for i, j in best if overlap[i, j] >= threshold - 1e-12]


def overlaps(left: Sequence[TrackedBox], right: Sequence[TrackedBox]) -> np.ndarray:
    return np.asarray(
        iou_matrix(
            np.array([b.xyxy for b in left]).reshape(-1, 4),
            np.array([b.xyxy for b in right]).reshape(-1, 4),
        ),
        np.float64,
    )
