"""When a picture was taken: map a stream's own time stamps to UTC, and thin a stream by them.

Stream time (``pts_s``) is in seconds from an arbitrary origin; UTC is in milliseconds. Nothing
here reads a clock: arrival times are arguments.
"""

import math
from collections import deque

CAMERA, ARRIVAL, FILE = "camera", "arrival", "file"
"""The sources of time that a Frame can name."""

_PLAUSIBLE_MS = 3_000.0
"""A camera clock further than this from arrival is wrong (or the stream hours late)."""
_WINDOW_S = 60.0
_JUMP_BACK_MS = -1_000.0
_JUMP_AHEAD_MS = 10_000.0
_SMALL_STEP_BACK_MS = 2_000


class RateGate:
    """Lets through the frames that a rate asks for, on stream time, before they are converted.

    Due times lie on a fixed grid, so that the rate is kept on average; a frame counts as in
    time from half a frame interval before it is due, so that jitter costs nothing.
    """

    def __init__(self, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"detection rate must be above 0, got {fps}")
        self._period_s = 1.0 / fps
        self._due_s: float | None = None
        self._last_s: float | None = None

    def passes(self, pts_s: float) -> bool:
        """Tell whether the frame at this stream time is wanted."""
        interval_s = 0.0 if self._last_s is None else max(0.0, pts_s - self._last_s)
        self._last_s = pts_s
        due_s = self._due_s
        if due_s is None or abs(pts_s - due_s) > 10 * self._period_s + 1.0:
            self._due_s = pts_s + self._period_s
            return True
        early_s = max(1e-3, min(0.45 * interval_s, 0.5 * self._period_s))
        if pts_s < due_s - early_s:
            return False
        late_periods = int(max(0.0, pts_s - due_s + 1e-6) / self._period_s)
        self._due_s = due_s + (late_periods + 1) * self._period_s
        return True


class Settling:
    """Tells when the burst is over that a live stream begins with.

    What came while the connection was opened is handed over at once; its arrival says nothing.
    The burst is over when arrival minus stream time has stopped falling.
    """

    def __init__(self, quiet_s: float = 0.25, limit_s: float = 2.0, noise_s: float = 0.02) -> None:
        self._quiet_s = quiet_s
        self._limit_s = limit_s
        self._noise_s = noise_s
        self._began_s: float | None = None
        self._fell_s = 0.0
        self.least_s = math.inf
        """The least (arrival - stream time) so far, seconds."""

    def done(self, pts_s: float, now_s: float) -> bool:
        """Take a packet's stream time and (monotonic) arrival; tell whether times can be trusted.

        False for ``limit_s`` at most.
        """
        began_s = self._began_s = now_s if self._began_s is None else self._began_s
        offset_s = now_s - pts_s
        if offset_s < self.least_s - self._noise_s:
            self._fell_s = now_s
        self.least_s = min(self.least_s, offset_s)
        return now_s - self._fell_s >= self._quiet_s or now_s - began_s >= self._limit_s


class ArrivalMap:
    """Arrival minus stream time, as the minimum over a sliding minute: network jitter only adds.

    A jump of the difference (the stream's clock or ours was set) starts the map anew.
    """

    def __init__(self, window_s: float = _WINDOW_S) -> None:
        self._window_s = window_s
        self._minima: deque[tuple[float, float]] = deque()
        self.jumps = 0

    def captured_ms(self, pts_s: float, arrived_ms: float) -> float:
        """Return when the picture left the camera, on our clock, up to the least delay."""
        offset_ms = arrived_ms - pts_s * 1000.0
        if self._minima and not (_JUMP_BACK_MS <= offset_ms - self._minima[0][1] <= _JUMP_AHEAD_MS):
            self._minima.clear()
            self.jumps += 1
        self._push(pts_s, offset_ms)
        return pts_s * 1000.0 + self._minima[0][1]

    def _push(self, pts_s: float, offset_ms: float) -> None:
        while self._minima and self._minima[-1][1] >= offset_ms:
            self._minima.pop()
        self._minima.append((pts_s, offset_ms))
        while self._minima[0][0] < pts_s - self._window_s:
            self._minima.popleft()


class LiveClock:
    """UTC of a live stream: the camera's clock where it is plausible, else arrival."""

    def __init__(self) -> None:
        self._arrivals = ArrivalMap()
        self._camera_minus_pts_ms: float | None = None
        self._last_ms: int | None = None
        self.offset_s: float | None = None
        """Camera clock minus ours (with the network's delay), or None while it sends none."""
        self.behind_s = 0.0
        """How much later than in the best case the last picture came: we or the way are slow."""

    @property
    def jumps(self) -> int:
        """How often the stream's time stamps jumped."""
        return self._arrivals.jumps

    def note_reference(self, pts_s: float, wall_us: int) -> None:
        """Take what the sender says its wall clock showed at a stream time."""
        self._camera_minus_pts_ms = wall_us / 1000.0 - pts_s * 1000.0

    def stamp(self, pts_s: float, arrived_ms: float) -> tuple[int, str]:
        """Return (UTC ms, source of time); later pictures never get an earlier or equal time.

        Only a step back of more than 2 s passes: that is a clock that was set.
        """
        captured_ms, source = self._arrivals.captured_ms(pts_s, arrived_ms), ARRIVAL
        self.behind_s = (arrived_ms - captured_ms) / 1000.0
        if self._camera_minus_pts_ms is not None:
            camera_ms = pts_s * 1000.0 + self._camera_minus_pts_ms
            self.offset_s = (camera_ms - arrived_ms) / 1000.0
            if abs(camera_ms - arrived_ms) <= _PLAUSIBLE_MS:
                captured_ms, source = camera_ms, CAMERA
        return self._forward(round(captured_ms)), source

    def _forward(self, captured_ms: int) -> int:
        last_ms = self._last_ms
        if last_ms is not None and last_ms - _SMALL_STEP_BACK_MS < captured_ms <= last_ms:
            captured_ms = last_ms + 1
        self._last_ms = captured_ms
        return captured_ms
