"""Run an engine over a test split: what it finds in each frame, and its query embeddings.

The gallery holds one of three kinds of boxes: ``"detections"`` of the engine's search graph,
the annotated boxes (``"truth"``, as if detection were perfect), or one box around each whole
frame (``"frame"``, search without detection). A query is its annotated box on its whole frame
(``"box"``) or that frame as a whole (``"frame"``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine
from engines.errors import PictureError
from engines.pictures import read_picture
from engines.values import EMBEDDING_DIM, Detections
from train.data.records import IGNORED, ImageRecord, PersonSearchSet, QueryRecord
from train.errors import ConfigError, DatasetError
from train.evaluation.cbgm import Context, persons_beside
from train.evaluation.protocol import DETECTION_THRESHOLD

BOXES = ("detections", "truth", "frame")
QUERIES = ("box", "frame")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EvalProgress:
    """How far an evaluation is: ``stage`` is ``"frames"`` or ``"queries"``."""

    stage: str
    done: int
    total: int


Progress = Callable[[EvalProgress], None]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSet:
    """A test split as an engine sees it: ``found`` in each image, ``features`` (Q, 256).

    ``contexts`` are the persons beside each query; empty where they were not asked for.
    ``model`` is the hash of the engine; ``boxes`` and ``query`` tell what was embedded.
    """

    data: PersonSearchSet
    found: tuple[Detections, ...]
    features: NDArray[np.float32]
    contexts: tuple[Context, ...]
    model: str
    boxes: str
    query: str
    score_threshold: float


def embed_set(
    data: PersonSearchSet,
    engine: Engine,
    *,
    boxes: str = "detections",
    query: str = "box",
    contexts: bool = False,
    score_threshold: float = DETECTION_THRESHOLD,
    batch: int = 8,
    progress: Progress | None = None,
) -> EmbeddedSet:
    """Return a split as the engine sees it; ``batch`` frames are read and given at a time.

    Raises:
        ConfigError: ``boxes`` or ``query`` is unknown, or contexts of whole frames are wanted.
        DatasetError: the split has no queries, an image cannot be read, or a box lies outside.
        EngineError: the engine failed.
    """
    _check_choices(boxes, query, contexts)
    if not data.queries:
        raise DatasetError(f"{data.root}: the {data.split} split has no queries")
    if boxes == "detections":
        found = find_persons(engine, data.images, score_threshold, batch, progress)
    else:
        found = embed_images(engine, data.images, batch, progress, whole=boxes == "frame")
    features = embed_queries(engine, data.queries, batch, progress, whole=query == "frame")
    beside = find_contexts(engine, data, found, score_threshold, batch) if contexts else ()
    return EmbeddedSet(
        data, tuple(found), features, beside, engine.info.model, boxes, query, score_threshold
    )


def _check_choices(boxes: str, query: str, contexts: bool) -> None:
    for field, value, choices in (("boxes", boxes, BOXES), ("query", query, QUERIES)):
        if value not in choices:
            raise ConfigError(f"no {field} {value!r}: choose from {', '.join(choices)}")
    if contexts and boxes == "frame":
        raise ConfigError("boxes 'frame' have no persons to match contexts by")


def find_persons(
    engine: Engine,
    images: Sequence[ImageRecord],
    score_threshold: float,
    batch: int,
    progress: Progress | None = None,
) -> list[Detections]:
    """Return what the engine detects in each image, scored at least ``score_threshold``.

    Raises:
        DatasetError: an image cannot be read.
    """
    found: list[Detections] = []
    for part in batches(images, batch):
        frames = [read_frame(image.path) for image in part]
        found += engine.detect(frames, min_score=score_threshold)
        if progress is not None:
            progress(EvalProgress("frames", len(found), len(images)))
    return found


def embed_images(
    engine: Engine,
    images: Sequence[ImageRecord],
    batch: int,
    progress: Progress | None = None,
    *,
    whole: bool = False,
) -> list[Detections]:
    """Return the annotated persons of each image, or its ``whole`` frame, as if detected.

    Every score is 1; regions to ignore are left out.

    Raises:
        DatasetError: an image cannot be read, or a box lies outside its image.
    """
    found: list[Detections] = []
    for part in batches(images, batch):
        frames = [read_frame(image.path) for image in part]
        boxes = [
            _whole(frame) if whole else _truth(image, frame)
            for image, frame in zip(part, frames, strict=True)
        ]
        embedded = engine.embed(frames, boxes)
        found += [_certain(b, e) for b, e in zip(boxes, embedded, strict=True)]
        if progress is not None:
            progress(EvalProgress("frames", len(found), len(images)))
    return found


def _certain(boxes: NDArray[np.float32], embeddings: NDArray[np.float32]) -> Detections:
    return Detections(boxes, np.ones(len(boxes), np.float32), embeddings.reshape(-1, EMBEDDING_DIM))


def _truth(image: ImageRecord, frame: Pixels) -> NDArray[np.float32]:
    boxes: NDArray[np.float32] = image.boxes[image.ids != IGNORED]
    for box in boxes:
        _check_inside(box, frame, f"image {image.name}", image.path)
    return boxes


def embed_queries(
    engine: Engine,
    queries: Sequence[QueryRecord],
    batch: int,
    progress: Progress | None = None,
    *,
    whole: bool = False,
) -> NDArray[np.float32]:
    """Return the engine's embedding of each query's box on its whole frame, (Q, 256).

    ``whole``: of the frame instead of the box.

    Raises:
        DatasetError: an image cannot be read, or a query lies outside its image.
    """
    features = np.zeros((len(queries), EMBEDDING_DIM), np.float32)
    done = 0
    for part in batches(_by_frame(queries), batch):
        frames = [read_frame(queries[rows[0]].path) for rows in part]
        boxes = [
            np.concatenate([_query_box(queries[row], frame, whole) for row in rows])
            for rows, frame in zip(part, frames, strict=True)
        ]
        for rows, embedded in zip(part, engine.embed(frames, boxes), strict=True):
            features[rows] = embedded
            done += len(rows)
        if progress is not None:
            progress(EvalProgress("queries", done, len(queries)))
    return features


def _by_frame(queries: Sequence[QueryRecord]) -> list[list[int]]:
    """Return the numbers of the queries, those on one frame together."""
    order = sorted(range(len(queries)), key=lambda row: queries[row].name)
    return [list(rows) for _, rows in groupby(order, key=lambda row: queries[row].name)]


def _query_box(query: QueryRecord, frame: Pixels, whole: bool) -> NDArray[np.float32]:
    if whole:
        return _whole(frame)
    _check_inside(query.box, frame, f"query of person {query.pid}", query.path)
    return query.box[None]


def find_contexts(
    engine: Engine,
    data: PersonSearchSet,
    found: Sequence[Detections],
    score_threshold: float,
    batch: int,
) -> tuple[Context, ...]:
    """Return the embeddings of the persons beside each query, best detected first.

    Frames that are not among the images of the split are searched by the engine here.

    Raises:
        DatasetError: an image cannot be read.
    """
    known = {image.name: f for image, f in zip(data.images, found, strict=True)}
    strange = list({q.name: _as_image(q) for q in data.queries if q.name not in known}.values())
    searched = find_persons(engine, strange, score_threshold, batch)
    known |= {image.name: f for image, f in zip(strange, searched, strict=True)}
    return tuple(persons_beside(query, known[query.name]) for query in data.queries)


def _as_image(query: QueryRecord) -> ImageRecord:
    ids = np.array([query.pid], np.int64)
    return ImageRecord(query.path, query.name, query.camera, query.box[None], ids)


def _whole(frame: Pixels) -> NDArray[np.float32]:
    height, width = frame.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)


def _check_inside(box: NDArray[np.float32], frame: Pixels, whose: str, path: Path) -> None:
    height, width = frame.shape[:2]
    if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
        edges = ", ".join(f"{edge:g}" for edge in box)
        raise DatasetError(
            f"{whose}: box x1 y1 x2 y2 = ({edges}) lies outside {path} of {width} x {height} pixels"
        )


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield the items in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read_frame(path: Path) -> Pixels:
    """Return a picture, RGB uint8 (H, W, 3).

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return read_picture(path)
    except PictureError as error:
        raise DatasetError(str(error)) from error
