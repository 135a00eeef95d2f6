"""How far two answers to the same frames agree.

Persons are compared as sets: rows of nearly equal score may stand in another order. Within a
frame, pairs are matched greedily by overlap (IoU), largest first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import iou_matrix
from engines.values import Detections

MIN_IOU = 0.5
"""Boxes that overlap less are never taken for the same person."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The worst that was seen over all frames.

    ``worst_box_px`` is the largest difference of any edge of matched boxes, ``worst_score`` of
    their scores; ``worst_cosine`` is the smallest cosine of matched embeddings (1 where nothing
    was matched); ``unmatched`` counts persons on either side without a partner.
    """

    counts_equal: bool
    worst_box_px: float
    worst_cosine: float
    unmatched: int
    worst_score: float = 0.0
    matched: int = 0

    def within(self, *, box_px: float, cosine: float) -> bool:
        """Tell whether all persons are matched, to ``box_px`` and at least ``cosine``."""
        return (
            self.counts_equal
            and self.unmatched == 0
            and self.worst_box_px <= box_px
            and self.worst_cosine >= cosine
        )


def compare(a: Sequence[Detections], b: Sequence[Detections]) -> Agreement:
    """Compare two answers, frame by frame.

    Raises:
        ValueError: they are not answers to the same number of frames.
    """
    if len(a) != len(b):
        raise ValueError(f"cannot compare answers to {len(a)} and {len(b)} frames")
    counts_equal = all(len(x) == len(y) for x, y in zip(a, b, strict=True))
    box_px, score, cosine, matched = 0.0, 0.0, 1.0, 0
    for x, y in zip(a, b, strict=True):
        for i, j in _pairs(x.boxes, y.boxes):
            box_px = max(box_px, float(np.abs(x.boxes[i] - y.boxes[j]).max()))
            score = max(score, abs(float(x.scores[i] - y.scores[j])))
            cosine = min(cosine, _cosine(x.embeddings[i], y.embeddings[j]))
            matched += 1
    unmatched = sum(len(x) + len(y) for x, y in zip(a, b, strict=True)) - 2 * matched
    return Agreement(counts_equal, box_px, cosine, unmatched, score, matched)


def _pairs(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the rows of ``a`` and ``b`` that belong together, best overlap first."""
    overlap = iou_matrix(a, b)
    while overlap.size and overlap.max() >= MIN_IOU:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        yield int(i), int(j)
        overlap[i, :] = -1
        overlap[:, j] = -1


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = float(np.linalg.norm(x)) * float(np.linalg.norm(y))
    return float(x @ y) / max(lengths, 1e-12)
