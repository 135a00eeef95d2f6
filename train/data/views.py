"""Queries for test sets that name none: the best view of each person at each camera."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.data.records import ImageRecord, QueryRecord


def largest_views(images: Sequence[ImageRecord]) -> tuple[QueryRecord, ...]:
    """Return the largest box of each identity at each camera, by identity and camera.

    Identities in one picture only are left out: nobody could find them again.
    """
    views: dict[int, dict[int, tuple[float, ImageRecord, int]]] = defaultdict(dict)
    pictures: dict[int, set[str]] = defaultdict(set)
    for image in images:
        areas = _areas(image.boxes)
        for row, (pid, area) in enumerate(zip(image.ids.tolist(), areas.tolist(), strict=True)):
            best = views[pid].get(image.camera)
            if best is None or area > best[0]:
                views[pid][image.camera] = area, image, row
            pictures[pid].add(image.name)
    return tuple(
        query_of(image, row)
        for pid in sorted(views)
        if pid >= 0 and len(pictures[pid]) > 1
        for _, (_, image, row) in sorted(views[pid].items(), key=lambda item: item[0])
    )


def query_of(image: ImageRecord, row: int) -> QueryRecord:
    """Return the query for one person of a picture; the scoring chooses its gallery."""
    return QueryRecord(image.name, image.path, image.camera, image.boxes[row], int(image.ids[row]))


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    return np.asarray(sides.prod(axis=1), np.float64)
