"""Context bipartite graph matching: who stands beside the person tells who the person is.

Li and Miao, "Sequential End-to-end Network for Efficient Person Search" (SeqNet, AAAI 2021).
The query and the persons on its frame are matched one to one with the persons of a gallery
frame so that the cosines add up to the most; the person who is matched to the query takes the
largest cosine of that matching. As in the authors' program, only frames that hold one of the
``k1`` most similar detections are matched, with the query and the ``k2 - 1`` best detected
persons beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engines.overlap import iou_matrix
from engines.values import Detections
from train.data.records import QueryRecord
from train.evaluation.pool import Pool
from train.evaluation.search import Similarities

SAME_PERSON = 0.4
"""A detection that overlaps the query's box by more than this is the query (the NMS of tests)."""

Context: TypeAlias = NDArray[np.float32]
"""Embeddings (P, D) of the persons beside a query, best detected first, without the query."""


@dataclass(frozen=True, slots=True)
class CbgmSizes:
    """``k1`` detections choose the frames, ``k2`` persons of the query's frame are matched."""

    k1: int
    k2: int

    def __str__(self) -> str:
        return f"context bipartite graph matching, k1={self.k1}, k2={self.k2}"


CUHK_SYSU = CbgmSizes(10, 3)
PRW = CbgmSizes(30, 4)


def persons_beside(query: QueryRecord, found: Detections) -> Context:
    """Return the embeddings of the persons on a query's frame, the query left out."""
    overlap = iou_matrix(query.box[None], found.boxes)[0]
    others = np.flatnonzero(overlap <= SAME_PERSON)
    best_first = np.argsort(-found.scores[others], kind="stable")
    return found.embeddings[others[best_first]]


class ContextMatching:
    """Re-scores queries by the persons beside them."""

    def __init__(
        self,
        pool: Pool,
        features: NDArray[np.float64],
        contexts: Sequence[Context],
        sizes: CbgmSizes,
        *,
        weighted: bool = False,
    ) -> None:
        """Keep what is to be matched; ``features`` (Q, D) are the queries'.

        ``weighted``: gallery embeddings count as much as they were detected surely (CWS).

        Raises:
            ValueError: contexts and queries differ in number.
        """
        if len(contexts) != len(features):
            raise ValueError(f"{len(features)} queries with {len(contexts)} contexts")
        self._pool, self._sizes = pool, sizes
        self._features, self._contexts = features, contexts
        self._weights = pool.scores if weighted else np.ones_like(pool.scores)

    def __call__(
        self, number: int, similarities: Similarities, counts: NDArray[np.int64]
    ) -> Similarities:
        """Return the similarities of a query after matching, those of other frames unchanged."""
        out = similarities * self._weights
        beside = self._contexts[number][: self._sizes.k2 - 1].astype(np.float64)
        persons = np.vstack([self._features[number][None], beside])
        for frame in self._frames(out, counts):
            rows = self._pool.rows(frame)
            edges = persons @ self._pool.embeddings[rows].T * self._weights[rows]
            left, right = linear_sum_assignment(edges, maximize=True)
            if left[0] == 0:
                out[rows.start + right[0]] = edges[left, right].max()
        return out

    def _frames(self, similarities: Similarities, counts: NDArray[np.int64]) -> list[int]:
        """Return the gallery frames that hold the k1 most similar detections."""
        inside = np.flatnonzero(counts)
        if len(inside) > self._sizes.k1:
            best = np.argpartition(-similarities[inside], self._sizes.k1 - 1)[: self._sizes.k1]
            inside = inside[best]
        return [int(frame) for frame in np.unique(self._pool.frame[inside])]
