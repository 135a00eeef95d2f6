"""How far two answers to the same frames agree.

Persons are compared as sets: rows of nearly equal score may stand in another order. Within a
frame, pairs are matched greedily by overlap (IoU), largest first. :func:`compare` tells the
worst that was seen; :func:`agree`, or :class:`AgreementStats` batch by batch, tells shares and
percentiles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
    _same_number(a, b)
    counts_equal = all(len(x) == len(y) for x, y in zip(a, b, strict=True))
    pairs = [
        _differences(x, i, y, j)
        for x, y in zip(a, b, strict=True)
        for i, j in _pairs(x.boxes, y.boxes)
    ]
    unmatched = sum(len(x) + len(y) for x, y in zip(a, b, strict=True)) - 2 * len(pairs)
    return Agreement(
        counts_equal=counts_equal,
        worst_box_px=max((box_px for box_px, _, _ in pairs), default=0.0),
        worst_cosine=min((cosine for _, _, cosine in pairs), default=1.0),
        unmatched=unmatched,
        worst_score=max((score for _, score, _ in pairs), default=0.0),
        matched=len(pairs),
    )


@dataclass(frozen=True, slots=True)
class Stats:
    """How far an answer agrees with the reference's, over all frames.

    ``persons`` counts those of the reference. ``matched`` is the share, of the persons of both
    answers, that have a partner in the other (1 where nobody is in either): a person too many
    lowers it as one too few does. The rest speaks of matched pairs: the largest difference of
    any edge in source pixels, the cosine of the embeddings, the difference of the scores; 0, 1
    and 0 where nothing was matched. ``p99`` is the 99th percentile, ``p01`` the first.
    """

    frames: int
    persons: int
    matched: float
    box_px_p99: float
    cosine_p01: float
    cosine_median: float
    score_p99: float


@dataclass(slots=True)
class AgreementStats:
    """Gathers the agreement of two engines batch by batch; holds four numbers a pair.

    Engines that are asked for weak persons too can be compared at a threshold without its edge
    counting as a difference: with ``min_score`` a person below it is not counted, yet may be
    the partner of one that is.
    """

    min_score: float = 0.0
    _frames: int = 0
    _persons: int = 0
    _others: int = 0
    _partners: int = 0
    _pairs: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, reference: Sequence[Detections], other: Sequence[Detections]) -> None:
        """Take two answers to the same frames into account.

        Raises:
            ValueError: they are not answers to the same number of frames.
        """
        _same_number(reference, other)
        for x, y in zip(reference, other, strict=True):
            self._add_frame(x, y)

    def _add_frame(self, x: Detections, y: Detections) -> None:
        self._frames += 1
        self._persons += int((x.scores >= self.min_score).sum())
        self._others += int((y.scores >= self.min_score).sum())
        for i, j in _pairs(x.boxes, y.boxes):
            counted = int(x.scores[i] >= self.min_score) + int(y.scores[j] >= self.min_score)
            self._partners += counted
            if counted:
                self._pairs.append(_differences(x, i, y, j))

    def stats(self) -> Stats:
        """Return the agreement over everything that was added."""
        both = self._persons + self._others
        pairs = np.array(self._pairs or [(0.0, 0.0, 1.0)])
        low, median = np.percentile(pairs[:, 2], (1, 50))
        return Stats(
            frames=self._frames,
            persons=self._persons,
            matched=self._partners / both if both else 1.0,
            box_px_p99=float(np.percentile(pairs[:, 0], 99)),
            cosine_p01=float(low),
            cosine_median=float(median),
            score_p99=float(np.percentile(pairs[:, 1], 99)),
        )


def agree(
    reference: Sequence[Detections], other: Sequence[Detections], *, min_score: float = 0.0
) -> Stats:
    """Return how far two answers agree (see :class:`AgreementStats`).

    Raises:
        ValueError: they are not answers to the same number of frames.
    """
    gathered = AgreementStats(min_score)
    gathered.add(reference, other)
    return gathered.stats()


def _same_number(a: Sequence[Detections], b: Sequence[Detections]) -> None:
    if len(a) != len(b):
        raise ValueError(f"cannot compare answers to {len(a)} and {len(b)} frames")


def _differences(x: Detections, i: int, y: Detections, j: int) -> tuple[float, float, float]:
    """Return largest edge difference in pixels, difference of scores, and cosine of a pair."""
    box_px = float(np.abs(x.boxes[i] - y.boxes[j]).max())
    score = abs(float(x.scores[i] - y.scores[j]))
    return box_px, score, _cosine(x.embeddings[i], y.embeddings[j])


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
