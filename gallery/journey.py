"""Follow one person across cameras, from a query to an ordered list of visits.

1. The sightings most like the query are gathered with all shots of their tracklets, within the
   query's limits of camera and time (``top`` does not limit a journey).
2. A tracklet scores by the cosine of its mean embedding to the query, the greatest over several
   embeddings. Those that score ``strong`` are anchors.
3. Dynamic programming picks, among tracklets that score ``accept``, the chain with the greatest
   total that one person can have walked (see ``gallery.chain``); anchors outweigh the rest.
4. ``rounds`` times: the mean of the query and the chain's anchors becomes a further example, more
   tracklets are gathered with it, and likeness to it is mixed into every score. The person's
   other side, seen by one camera, so finds them in the next.
5. Neighbouring tracklets of one camera become one visit. What scored ``consider`` and was not
   taken comes back with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gallery.chain import best_chain, why_not
from gallery.coverage import Coverage
from gallery.gallery import Gallery
from gallery.journey_settings import JourneySettings
from gallery.search import Hit, SearchQuery, ranked
from gallery.topology import Topology
from gallery.tracklets import Tracklet, likeness, mean_embedding, tracklets_of
from gallery.values import Sighting

__all__ = ["JourneyAnswer", "JourneySettings", "RejectedVisit", "Visit", "track"]

_LEAST = 1e-6
"""Weight of a tracklet that scores exactly what is needed: it is still taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """The person in one camera: begin of the first tracklet to the last shot of the last.

    ``score`` is that of its best tracklet; ``sightings`` are in order of time, scored each
    against the query.
    """

    camera: str
    enter_ms: int
    leave_ms: int
    score: float
    sightings: tuple[Hit, ...]
    tracklets: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RejectedVisit:
    """A tracklet that looks like the person and was not taken, and why."""

    camera: str
    enter_ms: int
    leave_ms: int
    score: float
    reason: str
    sightings: tuple[Hit, ...]
    tracklet: str


@dataclass(frozen=True, slots=True, eq=False)
class JourneyAnswer:
    """Visits in order of time, rejected candidates by score, and what the answer covers.

    ``exhaustive``: every stored sighting within the limits was compared; ``note`` says it, or why
    not.
    """

    journey: tuple[Visit, ...]
    rejected: tuple[RejectedVisit, ...]
    coverage: Coverage
    exhaustive: bool
    note: str


@dataclass(slots=True, eq=False)
class _Pool:
    """All tracklets gathered so far, in order of time, with their scores (N,)."""

    tracklets: list[Tracklet]
    scores: NDArray[np.float64]
    exhaustive: bool = True


def track(
    gallery: Gallery, query: SearchQuery, *, settings: JourneySettings | None = None
) -> JourneyAnswer:
    """Return the way of the person in the query across the cameras of a gallery.

    Raises:
        InvalidQueryError: no camera matches, or the gallery holds no sightings.
        StoreError
    """
    chosen = settings or JourneySettings()
    gallery.require_sightings()
    topology = Topology(gallery.links)
    examples = query.embeddings
    pool = _gather(gallery, query, examples, _Pool([], np.zeros(0)), chosen)
    chain = _chain(pool, topology, chosen)
    for _ in range(chosen.rounds):
        anchors = [pool.tracklets[i].mean for i in chain if pool.scores[i] >= chosen.strong]
        if not anchors:
            break
        centre = mean_embedding(np.stack([mean_embedding(query.embeddings), *anchors]))
        examples = np.concatenate([query.embeddings, centre[None]])
        pool = _gather(gallery, query, examples, pool, chosen)
        pool.scores = _mixed(pool.tracklets, query.embeddings, centre, chosen.expansion)
        chain = _chain(pool, topology, chosen)
    return JourneyAnswer(
        journey=_visits(pool, chain, query.embeddings, chosen),
        rejected=_rejected(pool, chain, query.embeddings, topology, chosen),
        coverage=gallery.coverage_for(query),
        exhaustive=pool.exhaustive,
        note=_note(pool, chosen),
    )


def _gather(
    gallery: Gallery,
    query: SearchQuery,
    examples: NDArray[np.float32],
    pool: _Pool,
    settings: JourneySettings,
) -> _Pool:
    """Return the pool with all tracklets that have a shot near enough to an example."""
    top = min(settings.candidates, settings.most_candidates)
    while True:
        hits = gallery.hits(replace(query, embeddings=examples, top=top))
        done = len(hits) < top or hits[-1].score < settings.shot_floor
        if done or top >= settings.most_candidates:
            break
        top = min(2 * top, settings.most_candidates)
    near = {hit.sighting.tracklet for hit in hits if hit.score >= settings.shot_floor}
    fresh = near - {one.name for one in pool.tracklets}
    shots = gallery.tracklets(sorted(fresh), query)
    found = tracklets_of(one for one in shots if one.id not in query.exclude)
    merged = sorted(pool.tracklets + found, key=lambda one: (one.enter_ms, one.leave_ms, one.name))
    return _Pool(merged, likeness(merged, query.embeddings), pool.exhaustive and done)


def _mixed(
    tracklets: list[Tracklet],
    query: NDArray[np.float32],
    centre: NDArray[np.float32],
    weight: float,
) -> NDArray[np.float64]:
    near, wide = likeness(tracklets, query), likeness(tracklets, centre[None])
    mixed: NDArray[np.float64] = (1 - weight) * near + weight * wide
    return mixed


def _chain(pool: _Pool, topology: Topology, settings: JourneySettings) -> list[int]:
    """Return the indices of the pool's tracklets that make the journey."""
    able = [i for i, score in enumerate(pool.scores) if score >= settings.accept]
    weights = [
        float(pool.scores[i]) - settings.accept + _LEAST
        + settings.anchor_bonus * (pool.scores[i] >= settings.strong)
        for i in able
    ]  # fmt: skip
    chain = best_chain([pool.tracklets[i] for i in able], weights, topology, settings)
    return [able[i] for i in chain]


def _visits(
    pool: _Pool, chain: Sequence[int], query: NDArray[np.float32], settings: JourneySettings
) -> tuple[Visit, ...]:
    groups: list[list[int]] = []
    for index in chain:
        one = pool.tracklets[index]
        last = pool.tracklets[groups[-1][-1]] if groups else None
        close = last is not None and (
            one.camera == last.camera
            and one.enter_ms - last.leave_ms <= 1000 * settings.visit_gap_s
        )
        if close:
            groups[-1].append(index)
        else:
            groups.append([index])
    return tuple(_visit(pool, group, query) for group in groups)


def _visit(pool: _Pool, group: Sequence[int], query: NDArray[np.float32]) -> Visit:
    members = [pool.tracklets[index] for index in group]
    return Visit(
        camera=members[0].camera,
        enter_ms=min(one.enter_ms for one in members),
        leave_ms=max(one.leave_ms for one in members),
        score=max(float(pool.scores[index]) for index in group),
        sightings=_hits([shot for one in members for shot in one.shots], query),
        tracklets=tuple(one.name for one in members),
    )


def _rejected(
    pool: _Pool,
    chain: Sequence[int],
    query: NDArray[np.float32],
    topology: Topology,
    settings: JourneySettings,
) -> tuple[RejectedVisit, ...]:
    taken = [pool.tracklets[index] for index in chain]
    order = np.argsort(-pool.scores, kind="stable")
    left = [i for i in order if i not in set(chain) and pool.scores[i] >= settings.consider]
    rejected = []
    for index in left[: settings.most_rejected]:
        one, score = pool.tracklets[index], float(pool.scores[index])
        if score < settings.accept:
            reason = f"score {score:.2f} is under the {settings.accept:.2f} needed"
        else:
            reason = why_not(one, taken, topology, settings)
        hits = _hits(one.shots, query)
        rejected.append(
            RejectedVisit(one.camera, one.enter_ms, one.leave_ms, score, reason, hits, one.name)
        )
    return tuple(rejected)


def _hits(shots: Sequence[Sighting], query: NDArray[np.float32]) -> tuple[Hit, ...]:
    return tuple(sorted(ranked(shots, query), key=lambda hit: hit.sighting.captured_at_ms))


def _note(pool: _Pool, settings: JourneySettings) -> str:
    if pool.exhaustive:
        return "every stored sighting within the limits was compared"
    return (
        f"only the {settings.most_candidates} sightings most like the query were looked at; "
        "narrow the time or the cameras to look at all"
    )
