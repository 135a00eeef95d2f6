"""Score person search: one query embedding against every detection of a gallery of frames.

In each gallery frame that shows the person, the most similar detection that overlaps the
person's box enough is right; every other detection, of this frame and of all others, is wrong.
A frame where the person was not detected counts as an answer that was missed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import iou_matrix
from engines.values import Detections
from train.data.records import ImageRecord, QueryRecord
from train.evaluation.average import Curve, counts_at, curve_at, precision_sum
from train.evaluation.protocol import TOP_RANKS, FrameLayout, IouRule, SearchProtocol

CURVE_THRESHOLDS = np.linspace(1.0, -1.0, 2001)
"""Similarities at which the pooled precision-recall curve is taken."""

_QUERIES_AT_ONCE = 64


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
    """
    if not queries or len(features) != len(queries):
        raise ValueError(f"{len(queries)} queries with {len(features)} features")
    pool = _Pool(images, found, protocol)
    layout = FrameLayout.of(images)
    scores, answered, right = [], *np.zeros((2, len(CURVE_THRESHOLDS)), np.int64)
    for query, similarities in zip(queries, _similarities(features, pool), strict=True):
        ranking = pool.rank(query.pid, similarities, protocol.gallery.frames(query, layout))
        scores.append(ranking.score())
        counts = counts_at(CURVE_THRESHOLDS, ranking.ascending, ranking.hits)
        answered, right = answered + counts[0], right + counts[1]
    curve = curve_at(CURVE_THRESHOLDS, answered, right, sum(s.answers for s in scores))
    return _summary(tuple(scores), protocol, curve)


def _similarities(features: NDArray[np.float32], pool: "_Pool") -> Iterator[NDArray[np.float64]]:
    """Yield the cosine similarity (N,) of each query with all detections of the pool."""
    for start in range(0, len(features), _QUERIES_AT_ONCE):
        part = features[start : start + _QUERIES_AT_ONCE].astype(np.float64)
        yield from part @ pool.embeddings.T


def _summary(
    scores: tuple[QueryScore, ...], protocol: SearchProtocol, curve: Curve
) -> SearchScores:
    mean_ap = float(np.mean([score.ap for score in scores]))
    top = {
        k: float(np.mean([score.rank is not None and score.rank < k for score in scores]))
        for k in TOP_RANKS
    }
    return SearchScores(protocol, mean_ap, top, scores, curve)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """One query's answers: all similarities ``ascending``, those of the ``hits``, the counts."""

    ascending: NDArray[np.float64]
    hits: NDArray[np.float64]
    answers: int
    first: int | None

    def score(self) -> QueryScore:
        ap = precision_sum(self.ascending, self.hits) / self.answers if len(self.hits) else 0.0
        return QueryScore(ap, self.first, self.answers, len(self.hits))


class _Pool:
    """All detections of a split in one row, and which of them can be which person."""

    def __init__(
        self,
        images: Sequence[ImageRecord],
        found: Sequence[Detections],
        protocol: SearchProtocol,
    ) -> None:
        keeps = [detections.scores >= protocol.score_threshold for detections in found]
        lengths = [int(keep.sum()) for keep in keeps]
        self.frame = np.repeat(np.arange(len(images)), lengths)
        self.embeddings = np.concatenate(
            [d.embeddings[keep] for d, keep in zip(found, keeps, strict=True)]
        ).astype(np.float64)
        self._sightings: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
        starts = np.cumsum([0, *lengths])
        for number, image in enumerate(images):
            boxes = found[number].boxes[keeps[number]]
            for pid, matches in _matches(image, boxes, protocol.iou):
                self._sightings.setdefault(pid, []).append((number, starts[number] + matches))

    def rank(
        self, pid: int, similarities: NDArray[np.float64], gallery: NDArray[np.int64]
    ) -> _Ranking:
        """Rank all detections of a gallery (frame counts (F,)) for the person ``pid``."""
        sightings = [(f, m) for f, m in self._sightings.get(pid, []) if gallery[f]]
        right = np.array(
            [matches[similarities[matches].argmax()] for _, matches in sightings if len(matches)],
            np.int64,
        )
        counts = gallery[self.frame]
        ascending = np.sort(np.repeat(similarities, counts))
        return _Ranking(
            ascending,
            np.repeat(similarities[right], counts[right]),
            int(sum(gallery[frame] for frame, _ in sightings)),
            _first_rank(similarities, counts, ascending, right),
        )


def _first_rank(
    similarities: NDArray[np.float64],
    counts: NDArray[np.int64],
    ascending: NDArray[np.float64],
    right: NDArray[np.int64],
) -> int | None:
    """Return the rank of the best right detection; ties stand in the order of the gallery."""
    if not len(right):
        return None
    best = int(right[similarities[right].argmax()])
    above = len(ascending) - int(np.searchsorted(ascending, similarities[best], side="right"))
    tied = similarities[:best] == similarities[best]
    return above + int(counts[:best][tied].sum())


def _matches(
    image: ImageRecord, boxes: NDArray[np.float32], rule: IouRule
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each identified person of an image with the detections that overlap enough.

    A person who is annotated twice in one image is looked for in the first box.
    """
    overlap = iou_matrix(image.boxes, boxes)
    ids, rows = np.unique(image.ids, return_index=True)
    for pid, row in zip(ids, rows, strict=True):
        if pid >= 0:
            enough = overlap[row] >= rule.threshold(image.boxes[row])
            yield int(pid), np.flatnonzero(enough)
