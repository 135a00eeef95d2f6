"""Frames of all cameras become batches: full or late, and fair.

A recording loses nothing: its thread waits while its line is full. A live camera keeps only its
newest frame (one that comes in bursts, a few of them); older ones are dropped and counted.
``poll`` holds all the logic and takes the time as an argument; ``get`` only waits around it.
"""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from engines.values import Frame

LATE = "late"
"""Cause of a drop: a newer frame of the same live camera came before the engine was free."""
STOPPED = "stopped"
"""Cause of a drop: it was waiting when ingest was told to stop."""


@dataclass(slots=True)
class _Line:
    """What waits of one camera."""

    lossless: bool
    depth: int
    frames: deque[Frame] = field(default_factory=deque)
    ended: bool = False
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        return len(self.frames) >= self.depth

    @property
    def settled(self) -> bool:
        """Nothing more can come before something is taken."""
        return self.full or self.ended


class Batcher:
    """A bounded place to wait for frames of many cameras; cameras put, the engine's thread gets.

    ``window_s`` is how long the first waiting frame waits for company.
    """

    def __init__(self, batch: int = 4, window_s: float = 0.1) -> None:
        if batch < 1 or not 0 <= window_s <= 1:
            raise ValueError(f"batcher needs batch >= 1 and window 0..1 s, got {batch}, {window_s}")
        self._batch = batch
        self._window_s = window_s
        self._lines: dict[str, _Line] = {}
        self._turn: deque[str] = deque()
        self._waiting_since_s: float | None = None
        self._closed = False
        self._changed = threading.Condition()

    def add(self, camera: str, *, lossless: bool, depth: int = 1) -> None:
        """Make room for ``depth`` frames of a camera; more of them wait, or push out the oldest."""
        with self._changed:
            self._lines[camera] = _Line(lossless, max(1, depth))
            self._turn.append(camera)

    def keep(self, camera: str, *, lossless: bool, depth: int) -> None:
        """Say what a source has proved to be once it was opened; see ``add``."""
        with self._changed:
            line = self._lines[camera]
            line.lossless, line.depth = lossless, max(1, depth)

    def put(self, frame: Frame) -> bool:
        """Hand in a frame; waits for room if nothing may be lost.

        Returns False if the batcher was closed, so that the camera stops.
        """
        with self._changed:
            line = self._lines[frame.camera]
            while line.lossless and line.full and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._admit(line, frame)
            self._changed.notify_all()
            return True

    def _admit(self, line: _Line, frame: Frame) -> None:
        if line.full:
            line.frames.popleft()
            line.dropped[LATE] += 1
        line.frames.append(frame)
        if self._waiting_since_s is None:
            self._waiting_since_s = frame.arrived_s

    def end(self, camera: str) -> None:
        """Say that no more frames of this camera will come."""
        with self._changed:
            self._lines[camera].ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let every waiting camera go, refuse what comes later, drop what waits."""
        with self._changed:
            self._closed = True
            for line in self._lines.values():
                line.dropped[STOPPED] += len(line.frames)
                line.frames.clear()
            self._changed.notify_all()

    def waiting(self, camera: str) -> int:
        """Return how many frames of a camera have not been taken."""
        with self._changed:
            return len(self._lines[camera].frames)

    def dropped(self, camera: str) -> dict[str, int]:
        """Return how many frames of a camera were lost here, by cause."""
        with self._changed:
            return dict(self._lines[camera].dropped)

    @property
    def finished(self) -> bool:
        """All cameras have ended and nothing waits."""
        with self._changed:
            return self._finished()

    def _finished(self) -> bool:
        return all(line.ended and not line.frames for line in self._lines.values())

    def poll(self, now_s: float) -> list[Frame]:
        """Return a batch if one is due at ``now_s`` (monotonic), else nothing."""
        with self._changed:
            if not self._due(now_s):
                return []
            frames = self._take()
            self._waiting_since_s = now_s if self._count() else None
            self._changed.notify_all()
            return frames

    def _count(self) -> int:
        return sum(len(line.frames) for line in self._lines.values())

    def _due(self, now_s: float) -> bool:
        count = self._count()
        if not count or self._waiting_since_s is None:
            return False
        complete = count >= self._batch or all(line.settled for line in self._lines.values())
        return complete or now_s - self._waiting_since_s >= self._window_s

    def _take(self) -> list[Frame]:
        """Take one frame a camera in turn until the batch is full; the next batch goes on there."""
        frames: list[Frame] = []
        idle = 0
        while len(frames) < self._batch and idle < len(self._turn):
            line = self._lines[self._turn[0]]
            self._turn.rotate(-1)
            if line.frames:
                frames.append(line.frames.popleft())
                idle = 0
            else:
                idle += 1
        return frames

    def get(self, timeout_s: float) -> list[Frame]:
        """Wait up to ``timeout_s`` for a batch; nothing if none came or all cameras ended."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            frames = self.poll(now_s)
            if frames or now_s >= deadline_s:
                return frames
            with self._changed:
                if self._finished():
                    return []
                if not self._due(now_s):
                    self._changed.wait(self._pause_s(now_s, deadline_s))

    def _pause_s(self, now_s: float, deadline_s: float) -> float:
        """Return how long nothing can become due without somebody notifying."""
        window_end_s = (
            deadline_s if self._waiting_since_s is None else self._waiting_since_s + self._window_s
        )
        return max(0.001, min(deadline_s, window_end_s) - now_s)
