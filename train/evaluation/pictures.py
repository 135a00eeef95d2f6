"""Score detection alone: on real pictures without identities, or annotated frames of a video."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engines.engine import Engine
from engines.values import Detections
from train.data.records import ImageRecord
from train.errors import DatasetError
from train.evaluation.average import Curve, recall_at
from train.evaluation.detection import MIN_IOU, DetectionScores, detection_curve, score_detection
from train.evaluation.embed import EvalProgress, Pixels, Progress, read_frame
from train.evaluation.protocol import DETECTION_THRESHOLD

LOWEST = 0.05
"""Least score of a detection that the curve goes down to."""
PRECISIONS = (0.5, 0.8, 0.9, 0.95)
"""Precisions at which the report states the most recall."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionReport:
    """``scores`` at the threshold that people cut at, and ``curve`` down to a low one.

    ``lowest``: the scores with everything down to `LOWEST` counted.
    """

    scores: DetectionScores
    lowest: DetectionScores
    curve: Curve
    score_threshold: float
    model: str
    pictures: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; scores are fractions of 1."""
        best = {f"{p:g}": recall_at(self.curve, p) for p in PRECISIONS}
        return {
            "detection": _scores(self.scores),
            "down_to_lowest": _scores(self.lowest),
            "recall_at_precision": {
                p: {"recall": recall, "det_thresh": cut} for p, (recall, cut) in best.items()
            },
            "protocol": {
                "det_thresh": self.score_threshold,
                "lowest": LOWEST,
                "iou_rule": f"{MIN_IOU:g}, each the other's best",
                "ignored": "detections for half or more inside a region to ignore",
                "model": self.model,
            },
            "pictures": self.pictures,
            "seconds": round(self.seconds, 3),
        }


def _scores(scores: DetectionScores) -> dict[str, float]:
    names = ("ap", "recall", "precision", "persons", "detections", "found", "ignored")
    return {name: getattr(scores, name) for name in names}


def evaluate_detection(
    engine: Engine,
    images: Sequence[ImageRecord],
    *,
    pictures: Iterable[Pixels] | None = None,
    score_threshold: float = DETECTION_THRESHOLD,
    batch: int = 8,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> DetectionReport:
    """Score an engine's detections on pictures; identities play no part.

    ``pictures`` are those of the images, in their order (`Clip.pictures`); by default each is
    read from its path.

    Raises:
        DatasetError: there are no pictures, or one cannot be read.
        EngineError: the engine failed.
    """
    if not images:
        raise DatasetError("no pictures to score detections on")
    started = clock()
    frames = map(read_frame, (i.path for i in images)) if pictures is None else iter(pictures)
    lowest = min(LOWEST, score_threshold)
    found = _detect(engine, frames, lowest, batch, len(images), progress)
    return DetectionReport(
        scores=score_detection(images, found, score_threshold=score_threshold),
        lowest=score_detection(images, found, score_threshold=lowest),
        curve=detection_curve(images, found),
        score_threshold=score_threshold,
        model=engine.info.model,
        pictures=len(images),
        seconds=clock() - started,
    )


def _detect(
    engine: Engine,
    frames: Iterator[Pixels],
    lowest: float,
    batch: int,
    total: int,
    progress: Progress | None,
) -> list[Detections]:
    found: list[Detections] = []
    while part := list(islice(frames, batch)):
        found += engine.detect(part, min_score=lowest)
        if progress is not None:
            progress(EvalProgress("frames", len(found), total))
    return found
