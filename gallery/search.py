"""Who looks like this, where and when: the question, the answer, and the exact ranking.

The score of a sighting is its greatest cosine to any embedding of the query, computed here in
float64 from the stored vectors, so that it is the same from every store. Equal scores are ordered
by time, then by id.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gallery.checks import vector_fault
from gallery.coverage import Coverage
from gallery.errors import InvalidQueryError
from gallery.limits import SIGHTING_ID, Limits, check_interval
from gallery.store import MOST_HITS, VectorStore
from gallery.values import Sighting

MOST_TOP = 10_000
MOST_EXCLUDED = 10_000
DECIMALS = 9
"""Cosines are rounded so that equal vectors score equal whatever they were computed beside."""
STORE_ROUNDING = 1e-5
"""Cosines that a store computes in float32 may be off by this, so may their order."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchQuery:
    """Find sightings like any of ``embeddings`` (Q, 256), in some cameras, at some time.

    ``cameras`` are names or globs ("" = all); the time is ``since_ms <= t < until_ms``, either
    end open; ``exclude`` are ids of sightings that shall not come back.

    Raises:
        InvalidQueryError: it cannot be asked.
    """

    embeddings: NDArray[np.float32]
    cameras: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    top: int = 20
    exclude: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or not len(self.embeddings):
            raise InvalidQueryError(
                f"a query holds one or more embeddings (Q, 256), got {self.embeddings.shape}"
            )
        for vector in self.embeddings:
            fault = vector_fault(vector)
            if fault:
                raise InvalidQueryError(f"query: {fault}")
        if not 1 <= self.top <= MOST_TOP:
            raise InvalidQueryError(f"top is {self.top}, want 1 to {MOST_TOP}")
        if len(self.exclude) > MOST_EXCLUDED:
            raise InvalidQueryError(f"{len(self.exclude)} sightings excluded, at most 10000 may be")
        for name in self.exclude:
            if not SIGHTING_ID.fullmatch(name):
                raise InvalidQueryError(f"{name!r} is not the id of a sighting")
        check_interval(self.since_ms, self.until_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A sighting and how like the query it is, -1..1."""

    sighting: Sighting
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class SearchAnswer:
    """The best sightings, best first, and what the answer covers.

    ``exhaustive``: every stored sighting within the limits was compared; ``note`` says it, or why
    not. No result does not mean not there: see ``coverage``.
    """

    results: tuple[Hit, ...]
    coverage: Coverage
    exhaustive: bool
    note: str


def best_hits(store: VectorStore, query: SearchQuery, limits: Limits) -> tuple[Hit, ...]:
    """Return the ``query.top`` best sightings within the limits, exactly.

    The store ranks by rounded cosines and breaks ties as it likes; so one more is asked for than
    wanted, and twice as many as long as the last one could still belong to the first.

    Raises:
        StoreError
    """
    exclude, want = sorted(query.exclude), min(query.top + 1, MOST_HITS)
    while True:
        lists = store.search(query.embeddings, limits, want, exclude=exclude)
        found = {sighting.id: sighting for hits in lists for sighting, _ in hits}
        hits = ranked(found.values(), query.embeddings)
        lasts = [hits_of[-1][1] for hits_of in lists if len(hits_of) >= want]
        if not lasts or want >= MOST_HITS:
            break
        if len(hits) >= query.top and max(lasts) < hits[query.top - 1].score - STORE_ROUNDING:
            break
        want = min(2 * want, MOST_HITS)
    return hits[: query.top]


def ranked(sightings: Iterable[Sighting], embeddings: NDArray[np.float32]) -> tuple[Hit, ...]:
    """Return hits with their scores, best first, equal ones by time and id."""
    listed = list(sightings)
    if not listed:
        return ()
    scores = cosines(np.stack([one.embedding for one in listed]), embeddings).max(axis=1)
    hits = [Hit(one, float(score)) for one, score in zip(listed, scores, strict=True)]
    hits.sort(key=lambda hit: (-hit.score, hit.sighting.captured_at_ms, hit.sighting.id))
    return tuple(hits)


def cosines(rows: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosines (N, Q) of vectors (N, D) to vectors (Q, D), rounded."""
    scores: NDArray[np.float64] = np.round(unit(rows) @ unit(queries).T, DECIMALS)
    return scores


def unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return vectors (N, D) scaled to length 1; a zero vector stays zero."""
    wide = rows.astype(np.float64)
    lengths: NDArray[np.float64] = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(lengths, 1e-12)
