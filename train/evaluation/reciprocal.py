"""k-reciprocal re-ranking: two people are alike whose nearest neighbours are the same.

Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR
2017), as in the authors' program: neighbours are sought among all queries and all detections of
the split together; distances are 2 - 2 cos, divided by the largest of their row; an expansion
needs MORE than two thirds. The result ``1 - d*`` is in 0..1.

Memory grows with the number M of queries and detections, time with its square: M = 15,000 took
3 s and M = 30,000 took 25 s and 0.5 GB on one core; from M = 100,000 on expect minutes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from train.evaluation.search import Similarities

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ReciprocalSizes:
    """Neighbours ``k1`` to encode with, ``k2`` to average over; ``weight`` of plain distance."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3


PUBLISHED = ReciprocalSizes()


class KReciprocal:
    """Re-scores queries by the neighbours that they share with gallery detections."""

    def __init__(
        self,
        features: NDArray[np.float64],
        embeddings: NDArray[np.float64],
        sizes: ReciprocalSizes = PUBLISHED,
    ) -> None:
        """Encode queries (Q, D) and detections (N, D), all of unit length."""
        everyone = np.concatenate([features, embeddings])
        self._sizes, self._total = sizes, len(everyone)
        neighbours, self._largest = nearest(everyone, max(sizes.k1 + 1, sizes.k2))
        encoded = _encoded(everyone, neighbours, self._largest, sizes)
        self._queries = encoded[: len(features)]
        self._by_neighbour = csr_array(encoded[len(features) :].T)

    @property
    def how(self) -> str:
        """What a result file states."""
        k1, k2, weight = self._sizes.k1, self._sizes.k2, self._sizes.weight
        return (
            f"k-reciprocal, k1={k1}, k2={k2}, lambda={weight:g}, "
            f"neighbours among all {self._total} queries and detections of the split"
        )

    def __call__(
        self, number: int, similarities: Similarities, counts: NDArray[np.int64]
    ) -> Similarities:
        """Return 1 - d* of a query to each detection; d* of the paper's section 3.5."""
        plain = (2 - 2 * similarities) / self._largest[number]
        weight = self._sizes.weight
        final: Similarities = (1 - weight) * self._jaccard(number) + weight * plain
        return 1 - final

    def _jaccard(self, number: int) -> NDArray[np.float64]:
        """Return the Jaccard distance (N,) of a query's encoding to the others, section 3.3."""
        mine: csr_array = self._queries[[number]]
        shared = self._by_neighbour[mine.indices]
        least = np.minimum(shared.data, np.repeat(mine.data, np.diff(shared.indptr)))
        overlap = np.bincount(shared.indices, least, minlength=shared.shape[1])
        distance: NDArray[np.float64] = 1 - overlap / (2 - overlap)
        return distance


def nearest(
    features: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ``count`` nearest (M, count) of each row, itself first, and its largest distance.

    Where there are fewer rows than ``count``, all rows are returned.
    """
    total = len(features)
    count = min(count, total)
    near, largest = np.zeros((total, count), np.int64), np.zeros(total)
    for start in range(0, total, _ROWS_AT_ONCE):
        rows = np.arange(start, min(total, start + _ROWS_AT_ONCE))
        distance = 2 - 2 * (features[rows] @ features.T)
        largest[rows] = np.maximum(distance.max(axis=1), np.finfo(np.float64).tiny)
        distance[np.arange(len(rows)), rows] = -np.inf
        near[rows] = _smallest(distance, count)
    return near, largest


def _smallest(distance: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the columns of the ``count`` smallest of each row, ascending."""
    chosen = np.argpartition(distance, count - 1, axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(distance, chosen, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(chosen, order, axis=1), np.int64)


def _encoded(
    features: NDArray[np.float64],
    neighbours: NDArray[np.int64],
    largest: NDArray[np.float64],
    sizes: ReciprocalSizes,
) -> csr_array:
    """Return the encodings (M, M), rows adding up to 1: sections 3.3 and 3.4."""
    near = _expanded(neighbours, sizes.k1)
    rows = np.repeat(np.arange(len(features)), np.diff(near.indptr))
    weights = np.exp(-_distances(features, rows, near.indices) / largest[rows])
    weights /= np.bincount(rows, weights, minlength=len(features))[rows]
    encoded = csr_array((weights, near.indices, near.indptr), shape=near.shape)
    k2 = min(sizes.k2, neighbours.shape[1])
    mean = csr_array(_membership(neighbours[:, :k2], np.ones((len(features), k2), bool)) / k2)
    return csr_array(mean @ encoded)


def _distances(
    features: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int32]
) -> NDArray[np.float64]:
    out = np.zeros(len(rows))
    for start in range(0, len(rows), 64 * _ROWS_AT_ONCE):
        part = slice(start, start + 64 * _ROWS_AT_ONCE)
        out[part] = np.einsum("ij,ij->i", features[rows[part]], features[columns[part]])
    return 2 - 2 * out


def _expanded(neighbours: NDArray[np.int64], k1: int) -> csr_array:
    """Return bool (M, M), row p: the robust set R*(p, k1) of section 3.2."""
    mutual = _reciprocal(neighbours, k1)
    half = _reciprocal(neighbours, round(k1 / 2))
    shared = csr_array((mutual @ half.T).multiply(mutual))
    sizes = np.asarray(half.sum(axis=1)).ravel()
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.float64)
    shared.eliminate_zeros()
    union = csr_array(mutual + shared @ half)
    union.sum_duplicates()
    return union


def _reciprocal(neighbours: NDArray[np.int64], k: int) -> csr_array:
    """Return (M, M) of 0 and 1, row p: R(p, k) of section 3.2; each row is its own neighbour."""
    near = neighbours[:, : k + 1]
    mutual = np.zeros(near.shape, bool)
    for start in range(0, len(near), _ROWS_AT_ONCE):
        rows = np.arange(start, min(len(near), start + _ROWS_AT_ONCE))
        mutual[rows] = (near[near[rows]] == rows[:, None, None]).any(axis=2)
    return _membership(near, mutual)


def _membership(columns: NDArray[np.int64], chosen: NDArray[np.bool_]) -> csr_array:
    """Return (M, M) with 1.0 at each chosen column (M, k) of a row."""
    starts = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
    data = np.ones(int(starts[-1]))
    return csr_array((data, columns[chosen], starts), shape=(len(columns),) * 2)
