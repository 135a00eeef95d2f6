"""Random test splits: noisy detections of people who look like themselves, more or less."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engines.values import EMBEDDING_DIM, Detections
from train.data.records import UNLABELLED, ImageRecord, QueryRecord

PEOPLE = 12


@dataclass(frozen=True)
class RandomScene:
    """A test split, what was detected on it, and the queries with their features (Q, 256)."""

    images: list[ImageRecord]
    found: list[Detections]
    queries: list[QueryRecord]
    features: Any


def random_scene(
    seed: int, *, ties: bool = False, frames: int = 30, sightings: int = 3
) -> RandomScene:
    """Return a scene of four cameras, each person detected some times in a frame.

    With ties, similarities take few values.
    """
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(PEOPLE, EMBEDDING_DIM)).astype(np.float32)
    images, found, queries = [], [], []
    for number in range(frames):
        ids = rng.permutation(PEOPLE)[: rng.integers(0, 6)]
        ids = np.where(rng.random(len(ids)) < 0.2, UNLABELLED, ids).astype(np.int64)
        corner = rng.uniform(0, 200, (len(ids), 2))
        size = rng.uniform(6, 60, (len(ids), 2))
        boxes = np.hstack([corner, corner + size]).astype(np.float32)
        name = f"c{number % 4}s1_{number:06d}"
        images.append(ImageRecord(Path(name), name, number % 4, boxes, ids))
        found.append(_noisy(rng, images[-1], looks, ties, sightings))
        queries += [
            QueryRecord(name, Path(name), number % 4, box, int(pid))
            for box, pid in zip(boxes, ids, strict=True)
            if pid >= 0
        ]
    features = np.stack([_feature(rng, looks[query.pid], ties) for query in queries])
    return RandomScene(images, found, queries, features)


def with_own_galleries(scene: RandomScene, seed: int, *, truth: bool) -> RandomScene:
    """Return the scene, each query with 12 random frames, some of them twice, in any order.

    ``truth``: each listing that shows the person has a box of its own, or the person is denied.
    """
    rng = np.random.default_rng(seed)
    queries = []
    for query in scene.queries:
        gallery = rng.choice(len(scene.images), 12, replace=True).astype(np.int32)
        own = _listed_truth(rng, scene.images, query, gallery) if truth else None
        queries.append(replace(query, gallery=gallery, truth=own))
    return RandomScene(scene.images, scene.found, queries, scene.features)


def _listed_truth(rng: np.random.Generator, images: Any, query: Any, gallery: Any) -> Any:
    truth: dict[int, Any] = {}
    for place in sorted(set(gallery.tolist())):
        listed = int((gallery == place).sum())
        boxes = images[place].boxes[images[place].ids == query.pid]
        shown = int(rng.integers(0, listed + 1))
        if len(boxes) and shown:
            moved = np.repeat(boxes[:1], shown, axis=0) + rng.normal(0, 3, (shown, 4))
            truth[place] = moved.astype(np.float32)
    return truth


def _feature(rng: np.random.Generator, look: Any, ties: bool) -> Any:
    if ties:  # Few exact numbers: equal similarities are equal to the last bit.
        out = np.zeros(EMBEDDING_DIM, np.float32)
        out[:3] = rng.integers(-2, 3, 3) / 4
        return out
    vector = look + rng.normal(0, 1.5, EMBEDDING_DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _noisy(
    rng: np.random.Generator, image: ImageRecord, looks: Any, ties: bool, sightings: int
) -> Detections:
    rows = rng.permutation(np.repeat(np.arange(len(image.ids)), sightings))
    sizes = image.boxes[rows, 2:] - image.boxes[rows, :2]
    noise = rng.normal(0, 0.15, (len(rows), 4)) * np.hstack([sizes, sizes])
    embeddings = [_feature(rng, looks[image.ids[row]], ties) for row in rows]
    return Detections(
        (image.boxes[rows] + noise).astype(np.float32),
        rng.choice([0.4, 0.5, 0.625, 0.75, 1.0], len(rows)).astype(np.float32)
        if ties
        else rng.uniform(0.4, 1, len(rows)).astype(np.float32),
        np.array(embeddings, np.float32).reshape(-1, EMBEDDING_DIM),
    )
