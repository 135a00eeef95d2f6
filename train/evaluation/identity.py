"""Score identities of multi-camera tracking: IDF1 with one accumulator over all cameras.

Each true identity is given at most one predicted identity, over all cameras and frames at
once, so that most boxes agree. A person whose identity changes from one camera to the next is
thereby punished; a mean of scores per camera would not notice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engines.overlap import Boxes, iou_matrix
from train.errors import DatasetError
from train.evaluation.mot import TrackedBox

Moment = tuple[int, int]
"""Camera and frame number."""


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
    real, guessed = _by_moment(truth, "truth"), _by_moment(predicted, "predicted")
    shared = _shared_boxes(real, guessed, min_iou)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    matched = int(shared[rows, columns].sum())
    n_truth = sum(map(len, real.values()))
    n_predicted = sum(map(len, guessed.values()))
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


def _by_moment(boxes: Iterable[TrackedBox], side: str) -> dict[Moment, list[TrackedBox]]:
    moments: dict[Moment, list[TrackedBox]] = defaultdict(list)
    seen: set[tuple[int, int, int]] = set()
    for box in boxes:
        key = (box.camera, box.frame, box.track)
        if key in seen:
            raise DatasetError(
                f"{side}: identity {box.track} has two boxes in frame {box.frame} "
                f"of camera {box.camera}"
            )
        seen.add(key)
        moments[box.camera, box.frame].append(box)
    return moments


def _shared_boxes(
    real: dict[Moment, list[TrackedBox]], guessed: dict[Moment, list[TrackedBox]], min_iou: float
) -> NDArray[np.int64]:
    """Return in how many boxes each true identity (rows) agrees with each predicted one."""
    true_ids, guessed_ids = _numbering(real), _numbering(guessed)
    shared = np.zeros((len(true_ids), len(guessed_ids)), np.int64)
    for moment in real.keys() & guessed.keys():
        overlap = iou_matrix(_boxes(real[moment]), _boxes(guessed[moment]))
        for row, column in np.argwhere(overlap >= min_iou):
            identity = true_ids[real[moment][row].track]
            shared[identity, guessed_ids[guessed[moment][column].track]] += 1
    return shared


def _numbering(moments: dict[Moment, list[TrackedBox]]) -> dict[int, int]:
    tracks = sorted({box.track for boxes in moments.values() for box in boxes})
    return {track: number for number, track in enumerate(tracks)}


def _boxes(boxes: Sequence[TrackedBox]) -> NDArray[np.float64]:
    return np.array([box.xyxy for box in boxes], np.float64)
