"""What a running ingest tells of itself at one moment; the content of its status file.

Moments named ``_at`` are UTC; those named ``_s`` with a moment in mind are on the monotonic
clock, which all processes of one machine share until it boots. Rates are over the last seconds.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from streamer.camera import State
from streamer.status import CameraReport, IngestStatus
from streamer.watching.rates import Rate

FORMAT = 1
LOOP_LIMIT_S = 4.0
"""The loop passes every second; after this it counts as stuck."""
CONNECT_GRACE_S = 15.0
"""So long a camera may connect for the first time before that needs an explanation."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Phase(StrEnum):
    """What an ingest says of itself."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    """It finishes what is on the way; its loop is over."""
    ENDED = "ended"
    FAILED = "failed"


class CameraView(_Frozen):
    """One camera: counters since ingest began, and how it does now."""

    camera: str
    state: State
    url: str
    """The address, without credentials."""
    fps_in: NonNegativeFloat
    """Frames decoded per second."""
    fps_out: NonNegativeFloat
    """Frames searched per second."""
    lag_s: float | None
    """How old a live camera's last frame was when it had been searched."""
    age_s: NonNegativeFloat | None
    """How long ago the last frame came."""
    stall_s: NonNegativeFloat | None
    """From which age a live camera counts as stalled."""
    clock_offset_s: float | None
    """Camera clock minus ours."""
    frames: NonNegativeInt
    searched: NonNegativeInt
    dropped: dict[str, NonNegativeInt]
    sightings: NonNegativeInt
    tracklets: NonNegativeInt
    reconnects: NonNegativeInt
    outside_zones: NonNegativeInt
    crowded: NonNegativeInt
    error: str
    cause: str
    decoder: str
    """What decodes, and why not another; "" = not opened yet."""
    key_frames_only: bool
    """Overloaded: only key frames are decoded."""


class EngineView(_Frozen):
    """What runs the network, and why that."""

    name: str
    model: str
    backend: str
    precision: str
    reason: str


class BatchView(_Frozen):
    """How full the engine's batches are."""

    size: NonNegativeInt
    batches: NonNegativeInt
    fill: NonNegativeFloat | None
    """Mean share of the places taken, over the last seconds; None while nothing is searched."""


class DeliveryView(_Frozen):
    """What was found and is not yet where it belongs."""

    waiting: NonNegativeInt
    oldest_s: NonNegativeFloat
    kept: NonNegativeInt
    bytes: NonNegativeInt
    sent: NonNegativeInt
    refused: NonNegativeInt
    away: str


class Snapshot(_Frozen):
    """A whole ingest at one moment."""

    format: int = FORMAT
    version: str
    pid: int
    phase: Phase
    reason: str
    """Why it failed; "" = it did not."""
    started_at: datetime
    written_at: datetime
    heartbeat_s: float
    """When this was written."""
    ticked_s: float
    """When the loop last passed; before its first pass, when ingest began."""
    seconds: NonNegativeFloat
    engine: EngineView
    batch: BatchView
    delivery: DeliveryView | None
    """None: the spool could not be asked."""
    cameras: tuple[CameraView, ...]

    def loop_age_s(self, now_s: float) -> float:
        """Return how long ago the loop passed, at a monotonic time."""
        return max(0.0, now_s - self.ticked_s)

    def aged(self, camera: CameraView, now_s: float) -> float | None:
        """Return how long ago a camera's last frame came, at a monotonic time.

        That is as the loop last saw it, within a second; a loop that is stuck sees nothing.
        """
        blind_s = self.loop_age_s(now_s)
        known = camera.age_s is None or blind_s <= LOOP_LIMIT_S
        return camera.age_s if known else (camera.age_s or 0.0) + blind_s

    def troubles(self, now_s: float) -> list[dict[str, str]]:
        """Return why not all is well: the loop first, then each camera that is not watched.

        A camera that is switched off and a recording that was read to its end are explained.
        """
        found: list[dict[str, str]] = []
        if self.phase in (Phase.STOPPING, Phase.ENDED, Phase.FAILED):
            found.append({"part": "ingest", "reason": self.reason or self.phase.value})
        elif self.loop_age_s(now_s) > LOOP_LIMIT_S:
            age = f"no pass for {self.loop_age_s(now_s):.1f} s"
            found.append({"part": "loop", "reason": age})
        for camera in self.cameras:
            reason = self._trouble(camera)
            if reason:
                found.append(
                    {"part": "camera", "camera": camera.camera, "state": camera.state.value,
                     "cause": camera.cause, "reason": reason}
                )  # fmt: skip
        return found

    def _trouble(self, camera: CameraView) -> str:
        if camera.state is State.STALLED:
            return camera.error or "connected, but no frames come"
        if camera.state is State.CONNECTING and not camera.error:
            late = self.seconds > CONNECT_GRACE_S
            return "does not answer" if late else ""
        if camera.state in (State.DISABLED, State.REMOVED, State.LIVE):
            return ""
        if camera.state is State.ENDED:
            return camera.error
        return camera.error or camera.state.value


def camera_view(report: CameraReport, fps_in: float, fps_out: float) -> CameraView:
    """Return a camera's report with its rates."""
    return CameraView(
        camera=report.camera,
        state=report.state,
        url=report.url,
        fps_in=round(fps_in, 2),
        fps_out=round(fps_out, 2),
        lag_s=report.lag_s,
        age_s=None if report.age_s is None else round(max(0.0, report.age_s), 3),
        stall_s=None if report.stall_s is None else round(report.stall_s, 3),
        clock_offset_s=None if report.clock_offset_s is None else round(report.clock_offset_s, 3),
        frames=report.frames,
        searched=report.searched,
        dropped=dict(report.dropped),
        sightings=report.sightings,
        tracklets=report.tracklets,
        reconnects=report.reconnects,
        outside_zones=report.outside_zones,
        crowded=report.crowded,
        error=report.error,
        cause=str(report.cause),
        decoder=report.decoder,
        key_frames_only=report.key_frames_only,
    )


class Meter:
    """Turns the counters of one status after another into rates."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], Rate] = {}
        self._searched = Rate()
        self._batches = Rate()

    def cameras(self, status: IngestStatus) -> tuple[CameraView, ...]:
        """Take the newest status; return its cameras with their rates."""
        names = {camera.camera for camera in status.cameras}
        self._rates = {key: rate for key, rate in self._rates.items() if key[0] in names}
        return tuple(
            camera_view(
                camera,
                self._rate(camera.camera, "in").take(status.seconds, camera.frames),
                self._rate(camera.camera, "out").take(status.seconds, camera.searched),
            )
            for camera in status.cameras
        )

    def batch(self, status: IngestStatus) -> BatchView:
        """Take the newest status; return how full batches were."""
        frames = self._searched.take(status.seconds, status.searched)
        batches = self._batches.take(status.seconds, status.batches)
        known = batches > 0 and status.batch > 0
        fill = round(frames / batches / status.batch, 3) if known else None
        return BatchView(size=status.batch, batches=status.batches, fill=fill)

    def _rate(self, camera: str, what: str) -> Rate:
        return self._rates.setdefault((camera, what), Rate())
