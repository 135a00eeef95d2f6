"""Frames of all cameras become batches: full or late, and fair.

A recording loses nothing: its thread waits while its line is full. A live camera keeps only its
newest frame (one that comes in bursts, a few of them); older ones are dropped and counted, and
so is one that grew too old before its turn came. Whoever was served longest ago goes first, so
a fast camera never holds back a slow one. Cameras come and go while the others go on.
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
STALE = "stale"
"""Cause of a drop: a live camera's frame was too old when its turn came."""

STALE_S = 1.0
"""How old a live camera's frame may be when its turn comes, while the engine keeps up."""
_SMOOTHING = 0.2


@dataclass(slots=True)
class _Line:
    """What waits of one camera."""

    lossless: bool
    depth: int
    frames: deque[Frame] = field(default_factory=deque)
    ended: bool = False
    retired: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    interval_s: float | None = None
    """How often frames come, smoothed; None until two have come."""
    last_s: float | None = None

    def note(self, arrived_s: float) -> None:
        """Learn from a frame's arrival how often they come."""
        if self.last_s is not None:
            gap_s = max(0.0, arrived_s - self.last_s)
            before_s = gap_s if self.interval_s is None else self.interval_s
            self.interval_s = before_s + _SMOOTHING * (gap_s - before_s)
        self.last_s = arrived_s

    @property
    def full(self) -> bool:
        return len(self.frames) >= self.depth

    @property
    def settled(self) -> bool:
        """Nothing more can come before something is taken."""
        return self.full or self.ended or self.retired


class Batcher:
    """A bounded place to wait for frames of many cameras; cameras put, the engine's thread gets.

    ``window_s`` is how long the first waiting frame waits for company at most; it never waits
    longer than the fastest live camera takes for its next frame. ``stale_s`` is how old a live
    frame may be when its turn comes; where the engine's round over all cameras takes longer
    than that, twice the round.
    """

    def __init__(self, batch: int = 4, window_s: float = 0.1, *, stale_s: float = STALE_S) -> None:
        if batch < 1 or not 0 <= window_s <= 1:
            raise ValueError(f"batcher needs batch >= 1 and window 0..1 s, got {batch}, {window_s}")
        if not stale_s > 0:
            raise ValueError(f"batcher needs a staleness budget above 0 s, got {stale_s}")
        self._batch = batch
        self._window_s = window_s
        self._stale_s = stale_s
        self._lines: dict[str, _Line] = {}
        """By camera, whoever was served longest ago first."""
        self._busy_s = 0.0
        """How long the engine takes for a batch, smoothed."""
        self._handed_out_s: float | None = None
        self._waiting_since_s: float | None = None
        self._closed = False
        self._changed = threading.Condition()

    def add(self, camera: str, *, lossless: bool, depth: int = 1) -> None:
        """Make room for ``depth`` frames of a camera; more of them wait, or push out the oldest.

        Raises:
            ValueError: there is a camera of that name already.
        """
        with self._changed:
            if camera in self._lines:
                raise ValueError(f"camera {camera} is in the batcher already")
            self._lines[camera] = _Line(lossless, max(1, depth))

    def retire(self, camera: str) -> None:
        """Take no more frames of a camera; those that wait are still handed out."""
        with self._changed:
            self._lines[camera].retired = True
            self._changed.notify_all()

    def remove(self, camera: str) -> None:
        """Forget a camera, and what still waits of it."""
        with self._changed:
            del self._lines[camera]
            self._changed.notify_all()

    def keep(self, camera: str, *, lossless: bool, depth: int) -> None:
        """Say what a source has proved to be once it was opened; see ``add``."""
        with self._changed:
            line = self._lines[camera]
            line.lossless, line.depth = lossless, max(1, depth)

    def put(self, frame: Frame) -> bool:
        """Hand in a frame; waits for room if nothing may be lost.

        Returns False if the batcher was closed or the camera retired, so that it stops.
        """
        with self._changed:
            line = self._lines[frame.camera]
            while line.lossless and line.full and not (self._closed or line.retired):
                self._changed.wait()
            if self._closed or line.retired:
                return False
            self._admit(line, frame)
            self._changed.notify_all()
            return True

    def _admit(self, line: _Line, frame: Frame) -> None:
        line.note(frame.arrived_s)
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
            self._note_engine(now_s)
            self._drop_stale(now_s)
            if not self._due(now_s):
                return []
            frames = self._take()
            self._handed_out_s = now_s
            self._waiting_since_s = now_s if self._count() else None
            self._changed.notify_all()
            return frames

    def _note_engine(self, now_s: float) -> None:
        """Learn how long the last batch took: from when it was taken until somebody asks again."""
        if self._handed_out_s is not None:
            self._busy_s += _SMOOTHING * (now_s - self._handed_out_s - self._busy_s)
            self._handed_out_s = None

    def _budget_s(self) -> float:
        rounds = -(-len(self._lines) // self._batch)
        return max(self._stale_s, 2 * rounds * self._busy_s)

    def _drop_stale(self, now_s: float) -> None:
        oldest_s = now_s - self._budget_s()
        for line in self._lines.values():
            while not line.lossless and line.frames and line.frames[0].arrived_s < oldest_s:
                line.frames.popleft()
                line.dropped[STALE] += 1
        if not self._count():
            self._waiting_since_s = None

    def _window(self) -> float:
        """Return how long a frame waits for company: no longer than the next one takes to come."""
        live = [
            line.interval_s
            for line in self._lines.values()
            if not (line.lossless or line.ended or line.retired)
        ]
        return min([self._window_s, *(interval_s for interval_s in live if interval_s)])

    def _count(self) -> int:
        return sum(len(line.frames) for line in self._lines.values())

    def _due(self, now_s: float) -> bool:
        count = self._count()
        if not count or self._waiting_since_s is None:
            return False
        complete = count >= self._batch or all(line.settled for line in self._lines.values())
        return complete or now_s - self._waiting_since_s >= self._window()

    def _take(self) -> list[Frame]:
        """Take one frame of each camera, longest unserved first, in rounds until it is full."""
        frames: list[Frame] = []
        while len(frames) < self._batch and self._count():
            for camera, line in list(self._lines.items()):
                if line.frames and len(frames) < self._batch:
                    frames.append(line.frames.popleft())
                    self._lines[camera] = self._lines.pop(camera)
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
            deadline_s if self._waiting_since_s is None else self._waiting_since_s + self._window()
        )
        return max(0.001, min(deadline_s, window_end_s) - now_s)
