"""Agreement of two answers, as sets."""

import numpy as np
import pytest

from engines.compare import AgreementStats, agree, compare
from engines.overlap import iou_matrix
from engines.values import Detections


def persons(*boxes: tuple[float, float, float, float], turn: float = 0.0) -> Detections:
    """Persons whose embeddings are unit vectors, each turned by ``turn`` radians."""
    embeddings = np.zeros((len(boxes), 256), np.float32)
    for row in range(len(boxes)):
        embeddings[row, row], embeddings[row, 255] = np.cos(turn), np.sin(turn)
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, embeddings)


def reordered(found: Detections, order: list[int]) -> Detections:
    return Detections(found.boxes[order], found.scores[order], found.embeddings[order])


A, B, C = (0, 0, 10, 20), (50, 0, 60, 20), (53, 0, 63, 20)


def test_the_same_answers_agree_in_any_order() -> None:
    found = persons(A, B, C)
    agreement = compare([found, persons()], [reordered(found, [2, 0, 1]), persons()])
    assert agreement.counts_equal
    assert (agreement.matched, agreement.unmatched) == (3, 0)
    assert agreement.worst_box_px == 0
    assert agreement.worst_cosine == pytest.approx(1)
    assert agreement.within(box_px=0, cosine=0.9999)


def test_the_worst_edge_and_cosine_are_told() -> None:
    agreement = compare([persons(A, B)], [persons(A, (50, 0, 60.5, 20), turn=0.1)])
    assert agreement.worst_box_px == pytest.approx(0.5)
    assert agreement.worst_cosine == pytest.approx(np.cos(0.1))
    assert not agreement.within(box_px=0.4, cosine=0.9)
    assert not agreement.within(box_px=1, cosine=0.999)
    assert agreement.within(box_px=1, cosine=0.99)


def test_a_person_too_many_or_elsewhere_is_unmatched() -> None:
    one_more = compare([persons(A)], [persons(A, B)])
    assert (one_more.counts_equal, one_more.matched, one_more.unmatched) == (False, 1, 1)
    elsewhere = compare([persons(A)], [persons(B)])
    assert (elsewhere.counts_equal, elsewhere.matched, elsewhere.unmatched) == (True, 0, 2)
    assert not elsewhere.within(box_px=1000, cosine=-1)


def test_persons_of_another_frame_do_not_match() -> None:
    assert compare([persons(A), persons(B)], [persons(B), persons(A)]).matched == 0


def test_the_best_overlap_is_matched_first() -> None:
    # C overlaps B by more than half: taken in order, B would be given away.
    agreement = compare([persons(C, B)], [persons(B, C)])
    assert agreement.worst_box_px == 0
    assert agreement.unmatched == 0


def test_nobody_is_matched_twice() -> None:
    twice = compare([persons(A)], [persons(A, (0, 1, 10, 20))])
    assert (twice.counts_equal, twice.matched, twice.unmatched) == (False, 1, 1)
    assert compare([persons(A, (0, 1, 10, 20))], [persons(A)]).unmatched == 1


def test_answers_to_different_numbers_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="answers to 1 and 2 frames"):
        compare([persons(A)], [persons(A), persons()])


def test_no_frames_agree() -> None:
    assert compare([], []).within(box_px=0, cosine=1)


def test_overlap_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    expected = [[1, 1 / 3, 0, 0], [1 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(iou_matrix(boxes, boxes), expected)
    assert iou_matrix(boxes, boxes[:0]).shape == (4, 0)


def test_shares_and_percentiles_by_hand() -> None:
    far = (200, 0, 210, 20)
    reference = [persons(A, B), persons(A)]
    other = [persons(A, (50, 0, 61, 20), turn=0.1), persons(far)]
    stats = agree(reference, other)
    assert (stats.frames, stats.persons) == (2, 3)
    assert stats.matched == pytest.approx(4 / 6)
    assert stats.box_px_p99 == pytest.approx(np.percentile([0, 1], 99))
    assert stats.cosine_median == pytest.approx(np.cos(0.1))
    assert stats.cosine_p01 == pytest.approx(np.cos(0.1))
    assert stats.score_p99 == 0


def test_a_person_too_many_lowers_the_share_as_one_too_few() -> None:
    more, fewer = agree([persons(A)], [persons(A, B)]), agree([persons(A, B)], [persons(A)])
    assert more.matched == fewer.matched == pytest.approx(2 / 3)
    assert (more.persons, fewer.persons) == (1, 2)


def test_one_percent_of_bad_pairs_shows_in_the_first_percentile() -> None:
    gathered = AgreementStats()
    for frame in range(100):
        gathered.add([persons(A)], [persons(A, turn=1.0 if frame < 3 else 0.0)])
    stats = gathered.stats()
    assert stats.cosine_median == pytest.approx(1)
    assert stats.cosine_p01 == pytest.approx(np.cos(1.0))


def test_batches_add_up_to_the_whole() -> None:
    reference = [persons(A), persons(A, B, C), persons(), persons(B)]
    other = [persons(A, turn=0.2), persons(B, A), persons(C), persons((51, 0, 61, 20))]
    gathered = AgreementStats()
    for frame in range(4):
        gathered.add(reference[frame : frame + 1], other[frame : frame + 1])
    gathered.add([], [])
    assert gathered.stats() == agree(reference, other)


def test_nobody_on_either_side_agrees() -> None:
    stats = agree([persons()], [persons()])
    assert (stats.frames, stats.persons, stats.matched) == (1, 0, 1.0)
    assert (stats.box_px_p99, stats.cosine_p01, stats.cosine_median) == (0, 1, 1)
    assert agree([persons(A)], [persons()]).matched == 0


def test_the_edge_of_a_threshold_is_no_difference() -> None:
    # B scores 0.5 here; in the other answer it fell below the threshold, yet it is there.
    here, there = persons(A, B), persons(A, B)
    there.scores[1] = 0.4
    assert agree([here], [there], min_score=0.45).matched == 1
    assert agree([here], [there], min_score=0.45).score_p99 > 0.09
    assert agree([here], [persons(A)], min_score=0.45).matched == pytest.approx(2 / 3)
    both_weak = agree([here], [persons(A)], min_score=0.6)
    assert (both_weak.persons, both_weak.matched) == (1, 1)


def test_stats_of_different_numbers_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="answers to 1 and 2 frames"):
        agree([persons(A)], [persons(A), persons()])
