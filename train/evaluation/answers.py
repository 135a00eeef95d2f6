"""The best answers to a query, frame by frame, as a retrieval sheet shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.evaluation.search import Ranking, Rescore, Search


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The best detection of one gallery frame: ``frame`` is its place among the images.

    ``box`` float32 (4,) in its pixels; ``right``: it is the person who was looked for.
    """

    frame: int
    box: NDArray[np.float32]
    similarity: float
    right: bool


def best_answers(
    search: Search, numbers: Sequence[int], *, count: int = 3, rescore: Rescore | None = None
) -> list[tuple[Answer, ...]]:
    """Return the ``count`` best frames for each query number, best first.

    Of a frame only its most similar detection counts; a frame without detection is no answer.

    Raises:
        DatasetError: a query has no gallery, or one that is not of this split.
    """
    return [
        tuple(_answer(search, ranking, row) for row in _best_rows(search, ranking, count))
        for ranking in search.rankings(rescore, numbers)
    ]


def _best_rows(search: Search, ranking: Ranking, count: int) -> list[int]:
    inside = np.flatnonzero(ranking.counts)
    best_first = inside[np.argsort(-ranking.similarities[inside], kind="stable")]
    _, first = np.unique(search.pool.frame[best_first], return_index=True)
    return [int(row) for row in best_first[np.sort(first)[:count]]]


def _answer(search: Search, ranking: Ranking, row: int) -> Answer:
    return Answer(
        frame=int(search.pool.frame[row]),
        box=search.pool.boxes[row],
        similarity=float(ranking.similarities[row]),
        right=bool(np.isin(row, ranking.right)),
    )
