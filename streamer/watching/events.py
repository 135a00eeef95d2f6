"""What happened to the cameras, from one status to the next: events for a log.

An outage is one event when it begins and one when it ends, however often the camera was tried in
between; what was dropped is summed up once a minute. Time is that of the status.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streamer.camera import State
from streamer.status import CameraReport, IngestStatus

logger = logging.getLogger(__name__)

SUMMARY_S = 60.0
_BAD = (State.STALLED, State.RETRYING, State.FAILED)


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell: ``level`` is one of logging's, ``fields`` are for programs."""

    level: int
    camera: str
    event: str
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)


class EventWatch:
    """Finds out what changed between one status and the next."""

    def __init__(self, summary_s: float = SUMMARY_S) -> None:
        self._summary_s = summary_s
        self._before: dict[str, CameraReport] = {}
        self._summed: dict[str, Counter[str]] = {}
        self._summed_at_s = 0.0

    def see(self, status: IngestStatus) -> list[Event]:
        """Take the newest status; return what happened since the last."""
        now = {camera.camera: camera for camera in status.cameras}
        found = [event for camera in now.values() for event in self._changes(camera)]
        found += [
            Event(logging.INFO, name, "removed", "no longer in the settings")
            for name in self._before.keys() - now.keys()
        ]
        self._before = now
        if status.seconds - self._summed_at_s >= self._summary_s:
            found += self.summary(status)
        return found

    def summary(self, status: IngestStatus) -> list[Event]:
        """Return what was dropped since the last summary, an event a camera that lost any."""
        took_s = round(status.seconds - self._summed_at_s, 1)
        self._summed_at_s = status.seconds
        found: list[Event] = []
        for camera in status.cameras:
            total = Counter(camera.dropped)
            fresh = total - self._summed.get(camera.camera, Counter())
            self._summed[camera.camera] = total
            if fresh:
                found.append(_dropped(camera.camera, dict(sorted(fresh.items())), took_s))
        return found

    def _changes(self, camera: CameraReport) -> Iterator[Event]:
        before = self._before.get(camera.camera)
        was = None if before is None else _shown(before)
        if was is not _shown(camera):
            yield _changed(camera, was)
        if camera.key_frames_only != (before is not None and before.key_frames_only):
            yield _thinned(camera)
        if before is not None and camera.reconnects > before.reconnects:
            yield Event(
                logging.INFO, camera.camera, "reconnected", "back",
                {"reconnects": camera.reconnects},
            )  # fmt: skip


def log_event(event: Event) -> None:
    """Give an event to the log."""
    more = {"camera": event.camera, "event": event.event, "fields": dict(event.fields)}
    logger.log(event.level, event.message, extra=more)


def _shown(camera: CameraReport) -> State:
    """Return the state as an outage is told: trying once more is still the same outage."""
    trying = camera.state is State.CONNECTING and bool(camera.error)
    return State.RETRYING if trying else camera.state


def _changed(camera: CameraReport, was: State | None) -> Event:
    state = _shown(camera)
    bad = state in _BAD or (state is State.ENDED and bool(camera.error))
    fields: dict[str, object] = {"from": None if was is None else was.value, "to": state.value}
    if camera.error:
        fields |= {"error": camera.error, "cause": str(camera.cause)}
    message = f"{state.value}: {camera.error}" if camera.error else state.value
    return Event(logging.WARNING if bad else logging.INFO, camera.camera, "state", message, fields)


def _thinned(camera: CameraReport) -> Event:
    if camera.key_frames_only:
        message = "overloaded: only key frames are decoded"
        return Event(logging.WARNING, camera.camera, "overload", message, {"key_frames_only": True})
    message = "every frame is decoded again"
    return Event(logging.INFO, camera.camera, "overload", message, {"key_frames_only": False})


def _dropped(camera: str, causes: dict[str, int], took_s: float) -> Event:
    told = ", ".join(f"{count} {cause}" for cause, count in causes.items())
    message = f"frames dropped in {took_s:.0f} s: {told}"
    fields = {"seconds": took_s, "dropped": causes}
    return Event(logging.WARNING, camera, "dropped", message, fields)
