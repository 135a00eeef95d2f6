"""Which looks at a tracklet become sightings: the best ones, spread over its life.

While a tracklet lives, its best look since the last one is handed out on a growing schedule
(after 2, 6 and 14 s), so that a live search sees people at once; one more comes at its end. A
person who stays gets one more every ``renew_s``: a search of the last minutes finds them too.
A tracklet of a single weak hit is nobody. All times are times of capture, so that a recording
gives the same shots every time.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.values import Frame
from gallery.values import Box
from streamer.quality import look_quality
from streamer.tracker import Track


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How many looks, and how far apart."""

    shots: int = 4
    """Most shots of a tracklet, apart from renewals of one that stays."""
    first_s: float = 2.0
    """When the first shot of a living tracklet is due; later ones after 3x, 7x, ..."""
    gap_s: float = 1.0
    renew_s: float = 30.0
    min_score: float = 0.0
    """Less sure looks carry a tracklet on but never become a shot."""
    strong_score: float = 0.75
    """A single hit at least this sure is somebody."""
    last_over_best: float = 0.5
    """The closing shot must reach this part of the best quality that was handed out."""
    crop_margin: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One good look: box in source pixels, crop RGB ``(h, w, 3)`` with a margin around it."""

    camera: str
    tracklet: str
    captured_at_ms: int
    box: Box
    score: float
    quality: float
    embedding: NDArray[np.float32]
    crop: NDArray[np.uint8]
    frame_wh: tuple[int, int]


class Look(NamedTuple):
    """One row of the detections: box (4,) in source pixels, score, embedding (256,)."""

    box: NDArray[np.float32]
    score: float
    embedding: NDArray[np.float32]


@dataclass(slots=True)
class _Life:
    """What is known of one open tracklet."""

    first_ms: int
    best: Shot | None = None
    given_ms: list[int] = field(default_factory=list)
    top_quality: float = 0.0
    scheduled: int = 0


class Sampler:
    """Shots of one camera's tracklets."""

    def __init__(self, settings: SamplerSettings | None = None) -> None:
        self._settings = settings or SamplerSettings()
        self._lives: dict[str, _Life] = {}
        self.tracklets = 0
        """Tracklets of which at least one shot was handed out."""

    def observe(
        self, track: Track, frame: Frame, look: Look, others: NDArray[np.float32]
    ) -> list[Shot]:
        """Take a look at a track; ``others`` (N, 4) are the frame's other boxes.

        Returns the shots that are due now.
        """
        at_ms = frame.captured_at_ms
        life = self._lives.setdefault(track.id, _Life(track.first_ms))
        if self._may_be_shot(life, look, at_ms):
            quality = look_quality(frame.pixels, look.box, look.score, others)
            if quality > (life.best.quality if life.best else 0.0):
                life.best = self._shot(track, frame, look, quality)
        if not self._is_somebody(track) or at_ms < self._due_ms(life):
            return []
        life.scheduled += 1
        return self._give(life)

    def end(self, track: Track) -> list[Shot]:
        """Return the closing shot of a tracklet, if it is worth one."""
        life = self._lives.pop(track.id, None)
        if life is None or life.best is None or not self._is_somebody(track):
            return []
        if life.best.quality < self._settings.last_over_best * life.top_quality:
            return []
        return self._give(life)

    def pending_since_ms(self) -> int | None:
        """Return the first time of an open tracklet of which nothing was handed out yet."""
        return min((life.first_ms for life in self._lives.values() if not life.given_ms),
                   default=None)  # fmt: skip

    def _may_be_shot(self, life: _Life, look: Look, at_ms: int) -> bool:
        apart = not life.given_ms or at_ms - life.given_ms[-1] >= self._settings.gap_s * 1000
        return apart and look.score >= self._settings.min_score

    def _is_somebody(self, track: Track) -> bool:
        return track.hits > 1 or track.top_score >= self._settings.strong_score

    def _due_ms(self, life: _Life) -> float:
        """Return when the next shot of a living tracklet is due."""
        s = self._settings
        places = s.shots - 1
        doubling = min(life.scheduled + 1, places)
        due_s = s.first_s * ((1 << doubling) - 1)
        renewals = max(0, life.scheduled + 1 - places)
        return life.first_ms + 1000 * (due_s + renewals * s.renew_s)

    def _give(self, life: _Life) -> list[Shot]:
        shot, life.best = life.best, None
        if shot is None:
            return []
        self.tracklets += not life.given_ms
        life.given_ms.append(shot.captured_at_ms)
        life.top_quality = max(life.top_quality, shot.quality)
        return [shot]

    def _shot(self, track: Track, frame: Frame, look: Look, quality: float) -> Shot:
        height, width = frame.pixels.shape[:2]
        x1, y1, x2, y2 = (float(v) for v in look.box)
        return Shot(
            camera=frame.camera,
            tracklet=track.id,
            captured_at_ms=frame.captured_at_ms,
            box=(x1, y1, x2, y2),
            score=look.score,
            quality=quality,
            embedding=look.embedding.copy(),
            crop=crop_with_margin(frame.pixels, (x1, y1, x2, y2), self._settings.crop_margin),
            frame_wh=(width, height),
        )


def crop_with_margin(pixels: NDArray[np.uint8], box: Box, margin: float) -> NDArray[np.uint8]:
    """Return a copy of the box's pixels with ``margin`` of its size added on each side."""
    height, width = pixels.shape[:2]
    dx, dy = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    x1 = min(width - 1, max(0, int(np.floor(box[0] - dx))))
    y1 = min(height - 1, max(0, int(np.floor(box[1] - dy))))
    x2 = max(x1 + 1, min(width, int(np.ceil(box[2] + dx))))
    y2 = max(y1 + 1, min(height, int(np.ceil(box[3] + dy))))
    return pixels[y1:y2, x1:x2].copy()
