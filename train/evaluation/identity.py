"""Score identities of multi-camera tracking: IDF1 with one accumulator over all cameras.

Each true identity is given at most one predicted identity, over all cameras and frames at
once, so that most boxes agree. A person whose identity changes from one camera to the next is
thereby punished; a mean of scores per camera would not notice.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from engines.overlap import Boxes, iou_matrix
from train.evaluation.moments import Meetings
from train.evaluation.mot import TrackedBox


@dataclass(frozen=True, slots=True)
class IdScores:
    """IDF1, precision and recall of identities in 0..1, and the box counts behind them."""

    idf1: float
    idp: float
    idr: float
    matched: int
    truth: int
    predicted: int


def idf1(
    truth: Iterable[TrackedBox], predicted: Iterable[TrackedBox], *, min_iou: float = 0.5
) -> IdScores:
    """Score predicted tracks; ``track`` is an identity that all cameras share.

    Raises:
        DatasetError: one identity has two boxes in one frame of one camera.
    """
    meetings = Meetings(truth, predicted)
    shared = np.zeros(meetings.identities, np.int64)
    for meeting in meetings:
        for row, column in np.argwhere(meeting.overlap >= min_iou):
            shared[meeting.truth[row], meeting.predicted[column]] += 1
    rows, columns = linear_sum_assignment(shared, maximize=True)
    matched = int(shared[rows, columns].sum())
    n_truth, n_predicted = meetings.boxes
    return IdScores(
        idf1=2 * matched / max(1, n_truth + n_predicted),
        idp=matched / max(1, n_predicted),
        idr=matched / max(1, n_truth),
        matched=matched,
        truth=n_truth,
        predicted=n_predicted,
    )


def match_boxes(truth: Boxes, predicted: Boxes, *, min_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pair boxes (N, 4) and (M, 4) of one frame one to one: most pairs, then most overlap.

    Only boxes that overlap by at least ``min_iou`` can be a pair; returns row numbers.
    """
    overlap = iou_matrix(truth, predicted)
    allowed = overlap >= min_iou
    # A pair more outweighs any sum of overlaps, each at most 1.
    weight = np.where(allowed, overlap + min(overlap.shape) + 1, 0.0)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]
