"""Measure scoring: all queries at once, and side by side with a loop over queries and frames.

The loop is what public evaluators of person search do: for each query and each frame of its
gallery one small product, one sort, one box after the other. Both give the same scores.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.values import EMBEDDING_DIM, Detections
from train.data.records import UNLABELLED, ImageRecord, QueryRecord
from train.errors import ConfigError
from train.evaluation.galleries import sub_galleries
from train.evaluation.protocol import GALLERIES, FrameLayout, SearchProtocol
from train.evaluation.search import score_search

_SIGHTINGS = 4
"""Frames that show each person, the query's among them."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomSplit:
    """Detections and queries of people who do not exist."""

    images: tuple[ImageRecord, ...]
    found: tuple[Detections, ...]
    queries: tuple[QueryRecord, ...]
    features: NDArray[np.float32]


def time_scoring(
    *,
    queries: int = 2900,
    frames: int = 6978,
    gallery: int = 4000,
    persons: int = 5,
    looped: int = 50,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return how long scoring takes on random data, in seconds.

    ``all_s``: all queries. ``vectorised_s`` and ``loop_s``: the first ``looped`` queries by this
    package and by the loop, ``ratio`` between them (what all queries share is prepared inside
    ``vectorised_s`` too), ``difference`` the largest of any query's average precision.
    ``loop_all_s``: all queries by the loop, extrapolated.

    Raises:
        ConfigError: sizes that cannot be.
    """
    if min(queries, frames, gallery, persons, looped) < 1 or looped > queries:
        raise ConfigError("sizes are 1 or more, and the loop has no more queries than there are")
    split = random_split(queries, frames, gallery, persons, seed)
    protocol = SearchProtocol(GALLERIES["own"])
    part, features = split.queries[:looped], split.features[:looped]
    ticks = [clock()]
    score_search(split.images, split.found, split.queries, split.features, protocol)
    ticks.append(clock())
    scores = score_search(split.images, split.found, part, features, protocol)
    ticks.append(clock())
    aps = loop_scores(split.images, split.found, part, features, protocol)
    ticks.append(clock())
    all_s, vectorised_s, loop_s = np.diff(ticks).tolist()
    apart = [abs(score.ap - ap) for score, ap in zip(scores.queries, aps, strict=True)]
    return {
        "queries": queries,
        "frames": frames,
        "gallery": gallery,
        "detections": sum(map(len, split.found)),
        "all_s": all_s,
        "looped": looped,
        "vectorised_s": vectorised_s,
        "loop_s": loop_s,
        "ratio": loop_s / vectorised_s,
        "loop_all_s": loop_s / looped * queries,
        "difference": max(apart),
    }


def random_split(queries: int, frames: int, gallery: int, persons: int, seed: int) -> RandomSplit:
    """Return a split of ``persons`` people a frame, each query's person in a few frames."""
    rng = np.random.default_rng(seed)
    ids = np.full((frames, persons), UNLABELLED, np.int64)
    for person in range(queries):
        seen = rng.choice(frames, min(_SIGHTINGS, frames), replace=False)
        ids[seen, rng.integers(0, persons, len(seen))] = person
    images = tuple(_image(rng, number, row) for number, row in enumerate(ids))
    looks = rng.normal(size=(queries, EMBEDDING_DIM))
    found = tuple(_detections(rng, image, looks) for image in images)
    asked = [_query(images, ids, person) for person in range(queries)]
    features = _unit(looks + rng.normal(size=looks.shape))
    return RandomSplit(images, found, sub_galleries(images, asked, gallery, seed=seed), features)


def _image(rng: np.random.Generator, number: int, ids: NDArray[np.int64]) -> ImageRecord:
    corner, size = rng.uniform(0, 800, (len(ids), 2)), rng.uniform(20, 200, (len(ids), 2))
    boxes = np.hstack([corner, corner + size]).astype(np.float32)
    name = f"{number:06d}"
    return ImageRecord(Path(name), name, number % 6, boxes, ids)


def _detections(
    rng: np.random.Generator, image: ImageRecord, looks: NDArray[np.float64]
) -> Detections:
    noise = rng.normal(size=(len(image.ids), EMBEDDING_DIM))
    known = image.ids >= 0
    noise[known] += looks[image.ids[known]]
    boxes = (image.boxes + rng.normal(0, 4, image.boxes.shape)).astype(np.float32)
    scores = rng.uniform(0.4, 1, len(boxes)).astype(np.float32)
    return Detections(boxes, scores, _unit(noise))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def _query(images: Sequence[ImageRecord], ids: NDArray[np.int64], person: int) -> QueryRecord:
    places = np.argwhere(ids == person)
    if not len(places):  # Later people took all of this one's places.
        return QueryRecord("nowhere", Path("nowhere"), 0, np.ones(4, np.float32), person)
    frame, row = places[0]
    image = images[frame]
    return QueryRecord(image.name, image.path, image.camera, image.boxes[row], person)


def loop_scores(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    queries: Sequence[QueryRecord],
    features: NDArray[np.float32],
    protocol: SearchProtocol,
) -> list[float]:
    """Return the average precision of each query, one frame after the other."""
    layout = FrameLayout.of(images)
    return [
        _loop_query(images, found, query, feature.astype(np.float64), protocol, layout)
        for query, feature in zip(queries, features, strict=True)
    ]


def _loop_query(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    query: QueryRecord,
    feature: NDArray[np.float64],
    protocol: SearchProtocol,
    layout: FrameLayout,
) -> float:
    scores: list[float] = []
    labels: list[bool] = []
    answers = 0
    counts = protocol.gallery.frames(query, layout)
    for frame in np.repeat(np.arange(len(images)), counts).tolist():
        truth = images[frame].boxes[images[frame].ids == query.pid]
        answers += len(truth) > 0
        keep = found[frame].scores >= protocol.score_threshold
        similarities = found[frame].embeddings[keep].astype(np.float64) @ feature
        order = np.argsort(-similarities, kind="stable")
        boxes = found[frame].boxes[keep][order]
        scores += similarities[order].tolist()
        labels += _loop_frame(boxes, truth, protocol)
    return _loop_average(np.array(labels, bool), np.array(scores), answers)


def _loop_frame(
    boxes: NDArray[np.float32], truth: NDArray[np.float32], protocol: SearchProtocol
) -> list[bool]:
    labels = [False] * len(boxes)
    if len(truth):
        least = protocol.iou.threshold(truth[0])
        for place, box in enumerate(boxes):
            if _loop_iou(box, truth[0]) >= least:
                labels[place] = True
                break
    return labels


def _loop_iou(box: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    ax, ay, bx, by = (float(edge) for edge in box)
    cx, cy, dx, dy = (float(edge) for edge in other)
    shared = max(0.0, min(bx, dx) - max(ax, cx)) * max(0.0, min(by, dy) - max(ay, cy))
    return shared / ((bx - ax) * (by - ay) + (dx - cx) * (dy - cy) - shared)


def _loop_average(labels: NDArray[np.bool_], scores: NDArray[np.float64], answers: int) -> float:
    """Return average precision times recall, ties grouped."""
    if not labels.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    right = np.cumsum(labels)[last_of_tie]
    precision = right / (last_of_tie + 1)
    return float(np.sum(np.diff(right, prepend=0) * precision)) / answers
