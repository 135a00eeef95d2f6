"""Tracklets of a gallery as candidates for a journey: when, where, and their mean embedding.

The gallery holds a tracklet's best shots, not its whole life. Its name tells when it began
(``<camera>/<first shot, ms>-<n>``); when it ended is only known to be after its last shot.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gallery.search import cosines, unit
from gallery.values import Sighting

_BEGAN = re.compile(r".*/(\d{1,15})-\d+")
MOST_BEFORE_MS = 120_000
"""A name that tells an earlier beginning than this before the first shot is not believed."""
LEAST_WEIGHT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Tracklet:
    """One person's unbroken path in one camera, as far as the gallery shows it.

    ``mean`` float32 (256,) of unit length: the shots' embeddings, weighted by their quality.
    """

    name: str
    camera: str
    enter_ms: int
    leave_ms: int
    shots: tuple[Sighting, ...]
    mean: NDArray[np.float32] = field(repr=False)


def tracklets_of(sightings: Iterable[Sighting]) -> list[Tracklet]:
    """Group sightings by tracklet; in order of time."""
    groups: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for one in sightings:
        groups[one.camera, one.tracklet].append(one)
    made = [_tracklet(shots) for shots in groups.values()]
    return sorted(made, key=lambda one: (one.enter_ms, one.leave_ms, one.name))


def likeness(tracklets: list[Tracklet], embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the greatest cosine (N,) of each tracklet's mean to any of embeddings (Q, 256)."""
    if not tracklets:
        return np.zeros(0)
    best: NDArray[np.float64] = cosines(np.stack([one.mean for one in tracklets]), embeddings).max(
        axis=1
    )
    return best


def mean_embedding(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of embeddings (N, 256), scaled to length 1."""
    centre: NDArray[np.float32] = unit(_mean(unit(embeddings)))[0].astype(np.float32)
    return centre


def _tracklet(shots: list[Sighting]) -> Tracklet:
    shots.sort(key=lambda one: (one.captured_at_ms, one.id))
    weights = np.array([max(one.quality, LEAST_WEIGHT) for one in shots])
    rows = np.stack([one.embedding for one in shots])
    mixed = _mean(weights[:, None] * unit(rows))
    return Tracklet(
        name=shots[0].tracklet,
        camera=shots[0].camera,
        enter_ms=_began_ms(shots[0]),
        leave_ms=shots[-1].captured_at_ms,
        shots=tuple(shots),
        mean=unit(mixed)[0].astype(np.float32),
    )


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = rows.mean(axis=0, keepdims=True).astype(np.float32)
    return mean


def _began_ms(first: Sighting) -> int:
    found = _BEGAN.fullmatch(first.tracklet)
    began = int(found[1]) if found else first.captured_at_ms
    early = first.captured_at_ms - began
    return began if 0 <= early <= MOST_BEFORE_MS else first.captured_at_ms
