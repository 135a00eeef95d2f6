"""What ingest reports, while it runs and when it is over."""

from dataclasses import dataclass, field

from streamer.camera import State


@dataclass(frozen=True, slots=True)
class CameraReport:
    """One camera's counters since ingest began."""

    camera: str
    state: State
    url: str
    """The address, without credentials."""
    frames: int = 0
    """Decoded."""
    searched: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Frames lost, by cause; frames that the detection rate skips are not lost."""
    sightings: int = 0
    tracklets: int = 0
    error: str = ""
    """What is wrong now, or what was wrong with a recording; "" = nothing."""
    cause: str = ""
    """The kind of failure (see ``streamer.errors.Cause``)."""
    reconnects: int = 0
    lag_s: float | None = None
    """How old a live camera's last frame was when it had been searched; None for a recording."""
    clock_offset_s: float | None = None
    """Camera clock minus ours, where the camera tells it."""
    outside_zones: int = 0
    """Persons left out because they stood outside every zone."""
    crowded: int = 0
    """Frames with as many persons as the engine can return: some may be missing."""
    age_s: float | None = None
    """How long ago the last frame came; None before the first."""
    stall_s: float | None = None
    """How old a live camera's last frame may be before it counts as stalled."""
    decoder: str = ""
    """What decodes: software or a kind of device, and why not another; "" = not opened yet."""
    key_frames_only: bool = False
    """Overloaded: only key frames are decoded."""

    @property
    def failed(self) -> bool:
        """The camera could never be read."""
        given_up = self.state in (State.FAILED, State.RETRYING)
        # Between two attempts it is connecting, and its error is that of the last one.
        return self.frames == 0 and (given_up or bool(self.error))


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """All cameras at one moment."""

    cameras: tuple[CameraReport, ...]
    seconds: float
    batches: int = 0
    """Calls of the engine."""
    batch: int = 0
    """Frames that a batch may hold."""

    @property
    def searched(self) -> int:
        """Frames searched in all."""
        return sum(camera.searched for camera in self.cameras)

    @property
    def sightings(self) -> int:
        """Sightings handed out in all."""
        return sum(camera.sightings for camera in self.cameras)

    @property
    def frames_per_s(self) -> float:
        """Frames searched per second of running."""
        return self.searched / self.seconds if self.seconds > 0 else 0.0

    @property
    def failed(self) -> tuple[CameraReport, ...]:
        """The cameras that could never be read."""
        return tuple(camera for camera in self.cameras if camera.failed)


@dataclass(frozen=True, slots=True)
class IngestReport(IngestStatus):
    """The end of an ingest; everything counted here was acknowledged by the sink."""

    stopped: bool = False
    """True if ingest was told to stop before its recordings were over."""
