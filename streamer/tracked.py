"""The tracker alone, on pictures that are there already: what it is scored on.

Detection, its two thresholds and the tracker are those of an ingest; nothing is stored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine
from engines.values import Frame
from streamer.ingest import Pace
from streamer.tracker import Tracker, tracking_at


@dataclass(frozen=True, slots=True, eq=False)
class TrackedPerson:
    """One person in one picture: number of the picture, tracklet, box (4,) xyxy in its pixels."""

    index: int
    tracklet: str
    box: NDArray[np.float32]
    score: float


def track_frames(
    frames: Iterable[Frame], engine: Engine, *, camera: str, detect_fps: float, batch: int = 4
) -> Iterator[tuple[Frame, list[TrackedPerson]]]:
    """Yield each frame of one camera with the persons that the tracker holds in it.

    Raises:
        InferenceError: the engine failed.
    """
    pace, threshold = Pace(), engine.info.score_threshold
    weak = pace.weak_score(threshold)
    tracker = Tracker(camera, tracking_at(detect_fps, pace.sure_score(threshold)))
    for group in _batches(frames, batch):
        found = engine.detect([frame.pixels for frame in group], min_score=weak)
        for frame, detections in zip(group, found, strict=True):
            step = tracker.step(detections, frame.captured_at_ms)
            yield (
                frame,
                [
                    TrackedPerson(
                        frame.index, track.id, detections.boxes[row], float(detections.scores[row])
                    )
                    for track, row in step.matches
                ],
            )


def _batches(frames: Iterable[Frame], size: int) -> Iterator[tuple[Frame, ...]]:
    rest = iter(frames)
    while group := tuple(islice(rest, size)):
        yield group
