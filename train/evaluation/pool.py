"""All detections of a test split in one row, and which of them can be which person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import iou_matrix
from engines.values import Detections
from train.data.records import ImageRecord, QueryRecord
from train.evaluation.protocol import IouRule

Rows = NDArray[np.int64]
"""Numbers of detections in a pool."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """N detections of F frames, frame after frame; those of frame f begin at ``starts[f]``.

    ``frame`` int64 (N,), ``starts`` int64 (F + 1,), ``boxes`` float32 (N, 4), ``scores`` float64
    (N,), ``embeddings`` float64 (N, D).
    """

    frame: NDArray[np.int64]
    starts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float64]
    embeddings: NDArray[np.float64]

    @classmethod
    def of(cls, found: Sequence[Detections], score_threshold: float) -> "Pool":
        """Return the pool of what was found in each frame, scored at least the threshold."""
        keeps = [detections.scores >= score_threshold for detections in found]
        pairs = list(zip(found, keeps, strict=True))
        lengths = np.array([int(keep.sum()) for keep in keeps], np.int64)
        return cls(
            np.repeat(np.arange(len(found)), lengths),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([d.boxes[keep] for d, keep in pairs]),
            np.concatenate([d.scores[keep] for d, keep in pairs]).astype(np.float64),
            np.concatenate([d.embeddings[keep] for d, keep in pairs]).astype(np.float64),
        )

    def rows(self, frame: int) -> slice:
        """Return where the detections of a frame stand."""
        return slice(int(self.starts[frame]), int(self.starts[frame + 1]))


class Sightings:
    """Which detections of a pool overlap which person enough, frame by frame.

    A person who is annotated twice in one image is looked for in the first box.
    """

    def __init__(self, images: Sequence[ImageRecord], pool: Pool, rule: IouRule) -> None:
        self._pool, self._rule = pool, rule
        self._by_person: dict[int, list[tuple[int, Rows]]] = {}
        for number, image in enumerate(images):
            for pid, box in _persons(image):
                seen = self._by_person.setdefault(pid, [])
                seen.append((number, self._matches(number, box)))

    def of(self, query: QueryRecord, gallery: NDArray[np.int64]) -> Iterator[Rows]:
        """Yield, for each frame of a gallery that shows the person, who there may be them.

        ``gallery`` int64 (F,) counts frames; a frame that is listed twice is yielded twice. The
        query's own truth stands before the identities of the images, where it has one: then each
        listing of a frame has its own box, or none.
        """
        if query.truth is None:
            for frame, rows in self._by_person.get(query.pid, []):
                yield from [rows] * int(gallery[frame])
            return
        for frame, boxes in query.truth.items():
            yield from (self._matches(frame, box) for box in boxes[: int(gallery[frame])])

    def _matches(self, frame: int, box: NDArray[np.float32]) -> Rows:
        rows = self._pool.rows(frame)
        overlap = iou_matrix(box[None], self._pool.boxes[rows])[0]
        near = np.flatnonzero(overlap >= self._rule.threshold(box))
        return np.asarray(near + rows.start, np.int64)


def _persons(image: ImageRecord) -> Iterator[tuple[int, NDArray[np.float32]]]:
    ids, rows = np.unique(image.ids, return_index=True)
    for pid, row in zip(ids, rows, strict=True):
        if pid >= 0:
            yield int(pid), image.boxes[row]
