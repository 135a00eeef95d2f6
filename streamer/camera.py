"""One camera, one thread: connect, read, hand frames on, and come back after a failure.

States: connecting -> live -> (stalled) -> retrying -> connecting ...; a recording goes
connecting -> live -> ended, or failed if it cannot be opened. Whatever happens in the thread,
it ends by telling the batcher and by leaving its reason: nobody waits for a dead camera.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from streamer.address import is_file
from streamer.backoff import Backoff
from streamer.batcher import LATE, STALE, Batcher
from streamer.container import SourceInfo
from streamer.errors import Cause, SourceUnavailableError
from streamer.folder_reader import reader_for
from streamer.overload import Overload
from streamer.redact import redact
from streamer.settings import CameraSettings
from streamer.source import Reader

PROVEN_S = 10.0
"""A camera that stayed live this long is well again: its back-off starts anew."""
MIN_STALL_S = 2.0
STALL_INTERVALS = 10.0
"""A live camera is stalled after this many of its own frame intervals without a frame."""

PACE_S = 0.25
"""Between two looks at whether a live camera is overloaded."""

BURST_S, MAX_BURST = 3.0, 16
"""How much of a bursty live stream may wait, in seconds and in frames."""

ReaderFactory = Callable[[CameraSettings], Reader]


class State(StrEnum):
    """What a camera is doing."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    RETRYING = "retrying"
    FAILED = "failed"
    ENDED = "ended"
    DISABLED = "disabled"
    REMOVED = "removed"
    """Not in the site any more; only the report at the end speaks of it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A camera could not be read any more, or could not be opened."""

    reason: str
    cause: Cause


class Camera:
    """The thread of one camera; everything public may be read from other threads.

    ``depth`` is how many frames of a recording may wait in the batcher.
    """

    def __init__(
        self,
        settings: CameraSettings,
        batcher: Batcher,
        stop: threading.Event,
        *,
        backoff: Backoff,
        depth: int = 1,
        reader: ReaderFactory = reader_for,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.live_source = not is_file(settings.url)
        self.error = ""
        self.connects = 0
        self.frames = 0
        self.promised_end_ms: int | None = None
        """When a recording that was cut off, or left in the middle, should have ended."""
        self.decoder = ""
        """What decodes its pictures; "" before it was opened."""
        self._batcher = batcher
        self._depth = depth
        self._stop = stop
        self._backoff = backoff
        self._open_reader = reader
        self._state = State.CONNECTING
        self._reader: Reader | None = None
        self._lost: Counter[str] = Counter()
        self._losses: deque[Loss] = deque()
        self._last_frame_s: float | None = None
        self._interval_s = 0.0
        self._offered = 0
        self._paced_s = 0.0
        first_depth = 1 if self.live_source else depth
        batcher.add(self.name, lossless=not self.live_source, depth=first_depth)
        self._thread = threading.Thread(
            target=self._guarded, name=f"camera {settings.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if it is still blocked in a read (it ends by itself)."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """The thread has not ended yet, or was not started."""
        return self._thread.is_alive() or self._thread.ident is None

    @property
    def key_frames_only(self) -> bool:
        """Overloaded: only key frames are decoded."""
        reader = self._reader
        return reader is not None and reader.key_frames_only

    def state(self, now_s: float) -> State:
        """Return the state at a monotonic time: only the age of the last frame shows a stall."""
        age_s = self.age_s(now_s)
        if self._state is State.LIVE and self.live_source and (age_s or 0.0) > self.stall_s:
            return State.STALLED
        return self._state

    @property
    def reconnects(self) -> int:
        """How often the camera came back."""
        return max(0, self.connects - 1)

    @property
    def stall_s(self) -> float:
        """How old the last frame may be before the camera counts as stalled."""
        reader = self._reader
        key_s = reader.key_interval_s if reader is not None and reader.key_frames_only else None
        return max(MIN_STALL_S, STALL_INTERVALS * self._interval_s, 3 * (key_s or 0.0))

    def age_s(self, now_s: float) -> float | None:
        """Return how long ago the last frame came, at a monotonic time; None before the first."""
        return None if self._last_frame_s is None else now_s - self._last_frame_s

    @property
    def clock_offset_s(self) -> float | None:
        """Camera clock minus ours, where the camera tells its own."""
        reader = self._reader
        return None if reader is None else reader.clock.offset_s

    def dropped(self) -> dict[str, int]:
        """Return the frames lost so far, by cause."""
        reader = self._reader
        counts = self._lost + Counter(self._batcher.dropped(self.name))
        counts += reader.lost if reader is not None else Counter()
        return dict(sorted(counts.items()))

    def take_losses(self) -> list[Loss]:
        """Return the failures since the last call, oldest first."""
        return [self._losses.popleft() for _ in range(len(self._losses))]

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - carried to the report, the others go on
            self._fail(f"internal error: {type(error).__name__}: {error}", Cause.UNREADABLE)
        finally:
            self._batcher.end(self.name)

    def _run(self) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            try:
                self._session()
            except SourceUnavailableError as error:
                if not self.live_source:
                    self._fail(error.reason, error.cause)
                    return
                self._lose(error, time.monotonic() - started_s)
            else:
                return

    def _session(self) -> None:
        """Read one connection to its end; returns if the camera needs no other.

        Raises:
            SourceUnavailableError: it could not be opened, or a live stream was lost.
        """
        self._state = State.CONNECTING
        reader = self._reader = self._open_reader(self.settings)
        reader.stop = self._stop
        try:
            info = reader.open()
            self.decoder = reader.decoder
            self.live_source = info.live
            if info.live:
                self._batcher.keep(self.name, lossless=False, depth=self._live_depth(info))
            else:
                self._batcher.keep(self.name, lossless=True, depth=self._depth)
            self._pump(reader)
        finally:
            self._reader, self._lost = None, self._lost + reader.lost
            reader.close()
        if self._stop.is_set():
            self.promised_end_ms = reader.planned_end_ms
        else:
            self._state = State.ENDED
            self.error = redact(reader.fault, self.settings.url)
            self.promised_end_ms = reader.promised_end_ms

    def _live_depth(self, info: SourceInfo) -> int:
        """Return how many frames may wait: HLS brings whole segments at once."""
        if info.format != "hls":
            return 1
        return min(MAX_BURST, math.ceil(BURST_S * self.settings.detect_fps))

    def _pump(self, reader: Reader) -> None:
        overload = Overload()
        for frame in reader.frames():
            now_s = time.monotonic()
            self._note_frame(now_s)
            if self._stop.is_set() or (frame is not None and not self._batcher.put(frame)):
                return
            self._offered += frame is not None
            if self.live_source and now_s - self._paced_s >= PACE_S:
                self._paced_s = now_s
                self._thin(reader, overload, now_s)

    def _thin(self, reader: Reader, overload: Overload, now_s: float) -> None:
        """Let the reader decode key frames alone, or all, as the load asks."""
        dropped = self._batcher.dropped(self.name)
        reader.key_frames_only = overload.note(
            now_s,
            behind_s=reader.clock.behind_s,
            offered=self._offered,
            dropped=dropped.get(LATE, 0) + dropped.get(STALE, 0),
            key_interval_s=reader.key_interval_s,
        )

    def _note_frame(self, now_s: float) -> None:
        """Count a decoded picture and learn how often they come."""
        self.frames += 1
        if self._state is State.LIVE and self._last_frame_s is not None:
            self._interval_s += 0.05 * (now_s - self._last_frame_s - self._interval_s)
        self._last_frame_s = now_s
        if self._state is not State.LIVE:
            self._state = State.LIVE
            self.error = ""
            self.connects += 1

    def _lose(self, error: SourceUnavailableError, lived_s: float) -> None:
        """Note that a live camera is away, and wait before the next try."""
        if self._state is State.LIVE and lived_s >= PROVEN_S:
            self._backoff.reset()
        self.error = error.reason
        self._losses.append(Loss(error.reason, error.cause))
        self._state = State.RETRYING
        self._stop.wait(self._backoff.next_s())

    def _fail(self, reason: str, cause: Cause) -> None:
        self.error = redact(reason, self.settings.url)
        self._losses.append(Loss(self.error, cause))
        self._state = State.FAILED
