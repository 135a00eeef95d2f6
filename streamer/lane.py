"""What happens to one camera's frames after the engine: zones, tracker, sampler, coverage.

A lane belongs to the thread that runs the engine; nothing here waits or reads a clock.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from engines.values import Detections, Frame
from gallery.values import CameraState, CoverageSpan
from streamer.coverage import CoverageLog, Totals
from streamer.regions import foot_points, inside_any
from streamer.sampler import Look, Sampler, SamplerSettings, Shot
from streamer.settings import CameraSettings
from streamer.tracker import Track, Tracker, tracking_at


class Lane:
    """One camera's way from detections to shots and coverage."""

    def __init__(self, settings: CameraSettings, model: str, high_score: float) -> None:
        interval_s = 1.0 / settings.detect_fps
        sampling = SamplerSettings(
            min_score=high_score, strong_score=high_score + 0.5 * (1 - high_score)
        )
        self.settings = settings
        self.coverage = CoverageLog(settings.name, model, interval_s)
        self._tracker = Tracker(settings.name, tracking_at(settings.detect_fps, high_score))
        self._sampler = Sampler(sampling)
        self._last_ms: int | None = None
        self.searched = 0
        self.sightings = 0
        self.outside_zones = 0
        self.crowded = 0
        """Frames in which the engine's slots were all used: somebody may have been cut."""

    @property
    def tracklets(self) -> int:
        """Tracklets that became sightings."""
        return self._sampler.tracklets

    def accept(self, frame: Frame, detections: Detections) -> list[Shot]:
        """Take one searched frame; return the shots that it made due."""
        at_ms = frame.captured_at_ms
        shots = self.interrupt() if self._last_ms is not None and at_ms <= self._last_ms else []
        self._last_ms = at_ms
        self.searched += 1
        self.crowded += detections.full
        self.coverage.searched(at_ms)
        shots += self._track(frame, self._inside_zones(frame, detections))
        self.sightings += len(shots)
        return shots

    def interrupt(self) -> list[Shot]:
        """End every tracklet (the camera is gone, or its time jumped); return their last shots."""
        return self._close(self._tracker.close())

    def close(self) -> list[Shot]:
        """No more frames come; return the shots that were still held."""
        shots = self.interrupt()
        self.sightings += len(shots)
        return shots

    def advance(self, frames: int, dropped: dict[str, int]) -> None:
        """Let the watched span grow; call it when all shots handed out were delivered."""
        totals = Totals(frames, self.searched, dropped)
        self.coverage.advance(totals, self._sampler.pending_since_ms())

    def missed(self, state: CameraState, now_ms: int, reason: str) -> None:
        """Note that the camera is not watched now."""
        self.coverage.missed(state, now_ms, reason)

    def take_coverage(self) -> list[CoverageSpan]:
        """Return the coverage spans that changed."""
        return self.coverage.take()

    def _track(self, frame: Frame, detections: Detections) -> list[Shot]:
        step = self._tracker.step(detections, frame.captured_at_ms)
        shots = self._close(step.ended)
        for track, row in step.matches:
            score = float(detections.scores[row])
            look = Look(detections.boxes[row], score, detections.embeddings[row])
            others = np.delete(detections.boxes, row, axis=0)
            shots += self._sampler.observe(track, frame, look, others)
        return shots

    def _close(self, tracks: Iterable[Track]) -> list[Shot]:
        return [shot for track in tracks for shot in self._sampler.end(track)]

    def _inside_zones(self, frame: Frame, detections: Detections) -> Detections:
        """Return the persons whose feet stand in a zone; all of them if there are no zones."""
        zones = self.settings.zones
        if not zones or not len(detections):
            return detections
        height, width = frame.pixels.shape[:2]
        keep = inside_any(zones, foot_points(detections.boxes, (height, width)))
        self.outside_zones += int((~keep).sum())
        return Detections(
            detections.boxes[keep],
            detections.scores[keep],
            detections.embeddings[keep],
            detections.full,
        )


def deal(
    frames: Sequence[Frame], found: Sequence[Detections], lanes: dict[str, Lane]
) -> list[Shot]:
    """Give each frame's detections to its camera's lane; return all shots that became due."""
    shots: list[Shot] = []
    for frame, detections in zip(frames, found, strict=True):
        shots += lanes[frame.camera].accept(frame, detections)
    return shots
