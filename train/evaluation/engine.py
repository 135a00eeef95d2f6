"""Score an engine on a PRW-layout folder: what is deployed is what is scored.

Every frame of the test split goes through the engine's search graph, every query box through
its query graph on the whole frame; then the rules of `train.evaluation.protocol` apply.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine
from engines.errors import PictureError
from engines.pictures import read_picture
from engines.values import EMBEDDING_DIM, Detections
from train.data.prw import load_prw
from train.data.records import ImageRecord, PersonSearchSet, QueryRecord
from train.errors import DatasetError
from train.evaluation.detection import DetectionScores, score_detection
from train.evaluation.protocol import DETECTION_THRESHOLD, SearchProtocol, gallery_rule
from train.evaluation.search import SearchScores, score_search


@dataclass(frozen=True, slots=True)
class EvalProgress:
    """How far an evaluation is: ``stage`` is ``"frames"`` or ``"queries"``."""

    stage: str
    done: int
    total: int


Progress = Callable[[EvalProgress], None]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, eq=False)
class EvalReport:
    """What an engine scored on a data set, and by which rules; ``seconds`` is wall time."""

    data: Path
    model: str
    detection: DetectionScores
    search: SearchScores
    frames: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; scores are fractions of 1."""
        return {
            "detection": {"ap": self.detection.ap, "recall": self.detection.recall},
            "search": self._search(),
            "protocol": self._protocol(),
            "data": str(self.data),
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
        }

    def _search(self) -> dict[str, Any]:
        return {
            "map": self.search.mean_ap,
            **{f"top{k}": share for k, share in self.search.top.items()},
            "gallery": self.search.protocol.gallery.name,
            "queries": len(self.search.queries),
        }

    def _protocol(self) -> dict[str, Any]:
        return {
            "det_thresh": self.search.protocol.score_threshold,
            "iou_rule": str(self.search.protocol.iou),
            "query_feature": "query graph, annotated box on its whole frame",
            "re_scoring": "none",
            "model": self.model,
            "unanswerable_queries": self.search.unanswerable,
        }


def evaluate_engine(
    data: Path,
    engine: Engine,
    *,
    gallery: str = "cross-camera",
    score_threshold: float = DETECTION_THRESHOLD,
    progress: Progress | None = None,
    batch: int = 8,
    clock: Callable[[], float] = time.perf_counter,
) -> EvalReport:
    """Run an engine over the test split of a PRW-layout folder and score it.

    ``batch`` frames are read and given to the engine at a time.

    Raises:
        DatasetError: the data set is damaged, or has no test frames or queries.
        ConfigError: no such gallery rule.
        EngineError: the engine failed.
    """
    started = clock()
    protocol = SearchProtocol(gallery_rule(gallery), score_threshold)
    test = load_prw(data, "test")
    if not test.queries:
        raise DatasetError(f"{data}: the test split has no queries")
    found = find_persons(engine, test.images, score_threshold, batch, progress)
    features = embed_queries(engine, test.queries, batch, progress)
    return _report(test, engine, protocol, found, features, lambda: clock() - started)


def _report(
    test: PersonSearchSet,
    engine: Engine,
    protocol: SearchProtocol,
    found: Sequence[Detections],
    features: NDArray[np.float32],
    elapsed: Callable[[], float],
) -> EvalReport:
    threshold = protocol.score_threshold
    return EvalReport(
        data=test.root,
        model=engine.info.model,
        detection=score_detection(test.images, found, score_threshold=threshold),
        search=score_search(test.images, found, test.queries, features, protocol),
        frames=len(test.images),
        seconds=elapsed(),
    )


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
    for part in _batches(images, batch):
        frames = [_picture(image.path) for image in part]
        found += engine.detect(frames, min_score=score_threshold)
        if progress is not None:
            progress(EvalProgress("frames", len(found), len(images)))
    return found


def embed_queries(
    engine: Engine,
    queries: Sequence[QueryRecord],
    batch: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the engine's embedding of each query's box on its whole frame, (Q, 256).

    Raises:
        DatasetError: an image cannot be read, or a query lies outside its image.
    """
    features = np.zeros((len(queries), EMBEDDING_DIM), np.float32)
    done = 0
    for part in _batches(_by_frame(queries), batch):
        frames = [_picture(queries[rows[0]].path) for rows in part]
        boxes = [
            np.stack([_inside(queries[row], frame) for row in rows])
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


def _inside(query: QueryRecord, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = frame.shape[:2]
    if query.box[0] >= width or query.box[1] >= height:
        edges = ", ".join(f"{edge:g}" for edge in query.box)
        raise DatasetError(
            f"query of person {query.pid}: box x1 y1 x2 y2 = ({edges}) lies outside "
            f"{query.path} of {width} x {height} pixels"
        )
    return query.box


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _picture(path: Path) -> NDArray[np.uint8]:
    try:
        return read_picture(path)
    except PictureError as error:
        raise DatasetError(str(error)) from error
