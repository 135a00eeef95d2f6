"""The values that the gallery stores and returns.

Boxes are ``(x1, y1, x2, y2)`` in pixels of the source frame. Times are UTC in whole
milliseconds since 1970. Embeddings are float32 ``(256,)`` of unit length.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a camera may be called: it names folders and stands in filters of the store."""

LAST_MS = 253_402_300_800_000
"""The end of the year 9999: no time of ours lies at or beyond it."""


def day_of(moment_ms: int) -> str:
    """Return the UTC day of a moment as ``YYYYMMDD``."""
    return datetime.fromtimestamp(moment_ms // 1000, UTC).strftime("%Y%m%d")


def sighting_id(camera: str, tracklet: str, shot_ms: int) -> str:
    """Return the deterministic id (32 hex digits) of one shot of one tracklet.

    The same camera, tracklet and capture time give the same id, so that a sighting that is
    delivered twice is stored once.
    """
    key = "\0".join((camera, tracklet, str(shot_ms))).encode()
    return hashlib.blake2b(key, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One good look at one person: where, when, the embedding and the crop."""

    id: str
    camera: str
    captured_at_ms: int
    tracklet: str
    box: Box
    score: float
    quality: float
    embedding: NDArray[np.float32] = field(repr=False)
    crop: str
    """Path of the crop, relative to the gallery folder, with forward slashes; "" = none."""
    model: str
    frame_wh: tuple[int, int] = (0, 0)


class CameraState(StrEnum):
    """What a camera was doing during a coverage interval."""

    WATCHED = "watched"
    """Frames were decoded and searched for persons."""
    DOWN = "down"
    """The camera could not be read."""
    STALLED = "stalled"
    """Connected, but no frames came."""
    DISABLED = "disabled"
    """Switched off in the settings."""


@dataclass(frozen=True, slots=True)
class CoverageSpan:
    """One camera's state over [start_ms, end_ms): frames seen, searched, and lost by cause."""

    camera: str
    state: CameraState
    start_ms: int
    end_ms: int
    frames: int = 0
    searched: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """People walk from one camera to another in min_s..max_s seconds (leave to enter)."""

    source: str
    target: str
    min_s: float
    max_s: float
