"""Score person search: one query embedding against every detection of a gallery of frames.

In each gallery frame that shows the person, the most similar detection that overlaps the
person's box enough is right; every other detection, of this frame and of all others, is wrong.
A frame where the person was not detected counts as an answer that was missed. A frame that
stands twice in a gallery counts twice. Equal similarities stand in the order of the split, and
of two listings of one detection a right one stands first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.values import Detections
from train.data.records import ImageRecord, QueryRecord
from train.evaluation.average import Curve, counts_at, curve_at, precision_sum
from train.evaluation.pool import Pool, Rows, Sightings
from train.evaluation.protocol import TOP_RANKS, FrameLayout, SearchProtocol

CURVE_THRESHOLDS = np.linspace(1.0, -1.0, 2001)
"""Similarities at which the pooled precision-recall curve is taken."""

_QUERIES_AT_ONCE = 64

Similarities = NDArray[np.float64]
"""How similar a query is to each of the N detections of a pool, (N,); more is better."""

Rescore = Callable[[int, Similarities, NDArray[np.int64]], Similarities]
"""Changes the similarities of a query (by number), given how often each detection is in its
gallery, int64 (N,). The array that comes in must stay as it is."""


@dataclass(frozen=True, slots=True)
class QueryScore:
    """One query: ``ap`` in 0..1, ``rank`` of the first right detection (0 is best).

    ``rank`` is None when none was found; ``answers`` frames of the gallery show the person, in
    ``found`` of them the person was detected.
    """

    ap: float
    rank: int | None
    answers: int
    found: int


@dataclass(frozen=True, slots=True, eq=False)
class SearchScores:
    """``mean_ap`` and ``top[k]`` in 0..1 over ``queries``, searched by ``protocol``.

    A query whose gallery does not show the person at all scores 0, as in the published
    evaluators; ``unanswerable`` tells how many there are.
    """

    protocol: SearchProtocol
    mean_ap: float
    top: Mapping[int, float]
    queries: tuple[QueryScore, ...]
    curve: Curve

    @property
    def unanswerable(self) -> int:
        """Queries whose gallery holds no frame with the person."""
        return sum(query.answers == 0 for query in self.queries)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """One query's search: ``similarities`` (N,) to all detections of the pool.

    ``counts`` int64 (N,) tells how often each is in the gallery, ``right`` names the right
    ones, twice where two listings are right; ``answers`` frames of the gallery show the person.
    """

    similarities: Similarities
    counts: NDArray[np.int64]
    right: Rows
    answers: int


class Search:
    """Queries and the detections they are searched in: to be scored, re-scored and shown."""

    def __init__(
        self,
        images: Sequence[ImageRecord],
        found: Sequence[Detections],
        queries: Sequence[QueryRecord],
        features: NDArray[np.float32],
        protocol: SearchProtocol,
    ) -> None:
        """Put the detections of each image in one row; ``features`` (Q, D) are the queries'.

        Raises:
            ValueError: no query, or features and queries differ in number.
        """
        if not queries or len(features) != len(queries):
            raise ValueError(f"{len(queries)} queries with {len(features)} features")
        self.queries = tuple(queries)
        self.features = features.astype(np.float64)
        self.protocol = protocol
        self.pool = Pool.of(found, protocol.score_threshold)
        self._sightings = Sightings(images, self.pool, protocol.iou)
        self._layout = FrameLayout.of(images)

    def score(self, rescore: Rescore | None = None) -> SearchScores:
        """Return the scores of all queries.

        Raises:
            DatasetError: a query has no gallery, or one that is not of this split.
        """
        scores, answered, right = [], *np.zeros((2, len(CURVE_THRESHOLDS)), np.int64)
        for ranking in self.rankings(rescore):
            ascending, hits = _answers(ranking)
            scores.append(_query_score(ranking, ascending, hits))
            counts = counts_at(CURVE_THRESHOLDS, ascending, hits)
            answered, right = answered + counts[0], right + counts[1]
        curve = curve_at(CURVE_THRESHOLDS, answered, right, sum(s.answers for s in scores))
        return _summary(tuple(scores), self.protocol, curve)

    def rankings(
        self, rescore: Rescore | None = None, numbers: Sequence[int] | None = None
    ) -> Iterator[Ranking]:
        """Yield the ranking of each query, or of the queries with these numbers."""
        chosen = range(len(self.queries)) if numbers is None else numbers
        for number, similarities in self._similarities(chosen):
            yield self._rank(number, similarities, rescore)

    def _similarities(self, numbers: Sequence[int]) -> Iterator[tuple[int, Similarities]]:
        """Yield the cosine similarity of each query with all detections of the pool."""
        for start in range(0, len(numbers), _QUERIES_AT_ONCE):
            part = list(numbers[start : start + _QUERIES_AT_ONCE])
            yield from zip(part, self.features[part] @ self.pool.embeddings.T, strict=True)

    def _rank(self, number: int, similarities: Similarities, rescore: Rescore | None) -> Ranking:
        query = self.queries[number]
        gallery = self.protocol.gallery.frames(query, self._layout)
        counts = gallery[self.pool.frame]
        if rescore is not None:
            similarities = rescore(number, similarities, counts)
        seen = list(self._sightings.of(query, gallery))
        right = [rows[similarities[rows].argmax()] for rows in seen if len(rows)]
        return Ranking(similarities, counts, np.array(right, np.int64), len(seen))


def score_search(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    queries: Sequence[QueryRecord],
    features: NDArray[np.float32],
    protocol: SearchProtocol,
) -> SearchScores:
    """Score queries with ``features`` (Q, D) against the detections of each image.

    Raises:
        ValueError: no query, or features and queries differ in number.
        DatasetError: a query has no gallery, or one that is not of this split.
    """
    return Search(images, found, queries, features, protocol).score()


def _answers(ranking: Ranking) -> tuple[Similarities, Similarities]:
    """Return the similarities of all answers, ascending, and those of the right ones."""
    ascending = np.sort(np.repeat(ranking.similarities, ranking.counts))
    return ascending, ranking.similarities[ranking.right]


def _query_score(ranking: Ranking, ascending: Similarities, hits: Similarities) -> QueryScore:
    ap = precision_sum(ascending, hits) / ranking.answers if len(hits) else 0.0
    return QueryScore(ap, _first_rank(ranking, ascending), ranking.answers, len(hits))


def _first_rank(ranking: Ranking, ascending: Similarities) -> int | None:
    """Return the rank of the best right detection; ties stand in the order of the pool."""
    if not len(ranking.right):
        return None
    similarities = ranking.similarities
    right = np.sort(ranking.right)
    best = int(right[similarities[right].argmax()])
    above = len(ascending) - int(np.searchsorted(ascending, similarities[best], side="right"))
    tied = similarities[:best] == similarities[best]
    return above + int(ranking.counts[:best][tied].sum())


def _summary(
    scores: tuple[QueryScore, ...], protocol: SearchProtocol, curve: Curve
) -> SearchScores:
    mean_ap = float(np.mean([score.ap for score in scores]))
    top = {
        k: float(np.mean([score.rank is not None and score.rank < k for score in scores]))
        for k in TOP_RANKS
    }
    return SearchScores(protocol, mean_ap, top, scores, curve)
