"""The cameras of an ingest, each with its lane: they come, change and go while the others go on.

A camera that leaves takes no more frames; those that wait are searched, its tracklets are
closed and its coverage says why. One that was changed starts again when its former thread has
hung up, so that a camera never sees two connections. All of it belongs to the engine's thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engines.values import Frame
from gallery.values import CameraState, CoverageSpan
from streamer.batcher import Batcher
from streamer.camera import Camera, State
from streamer.lane import Lane
from streamer.sampler import Shot
from streamer.settings import CameraSettings
from streamer.site import Site
from streamer.status import CameraReport

logger = logging.getLogger(__name__)

REMOVED = "removed from the site"
CHANGED = "its settings were changed"

MakeCamera = Callable[[CameraSettings, threading.Event, int], Camera]
"""Makes a camera from its settings, its own wish to stop, and how many cameras there are."""
MakeLane = Callable[[CameraSettings], Lane]


@dataclass(slots=True)
class _Member:
    lane: Lane
    camera: Camera | None
    """None: switched off in the settings."""
    halt: threading.Event = field(default_factory=threading.Event)
    leaving: str = ""
    """Why it leaves; "" = it stays."""
    over: bool = False
    cause: str = ""
    lag_s: float | None = None

    @property
    def settings(self) -> CameraSettings:
        return self.lane.settings


class Roster:
    """All cameras that are watched now; ``apply`` brings it in line with a new reading."""

    def __init__(self, batcher: Batcher, make_camera: MakeCamera, make_lane: MakeLane) -> None:
        self._batcher = batcher
        self._make_camera = make_camera
        self._make_lane = make_lane
        self._wanted: Mapping[str, CameraSettings] = {}
        self._members: dict[str, _Member] = {}
        self._halted = False
        self._before: dict[str, CameraReport] = {}
        """What cameras did in former lives, before they were changed or removed."""
        self.lanes: dict[str, Lane] = {}
        """Where a camera's searched frames go, by camera."""

    def apply(self, site: Site) -> None:
        """Start cameras that are new, let go those that are gone, adjust or renew the others."""
        self._wanted = site.cameras
        for name, member in self._members.items():
            self._compare(member, site.cameras.get(name))
        for name in site.cameras:
            if name not in self._members:
                self._join(name, None)

    def _compare(self, member: _Member, wanted: CameraSettings | None) -> None:
        if wanted is None:
            self._dismiss(member, REMOVED)
        elif not wanted.same_stream(member.settings):
            self._dismiss(member, CHANGED)
        elif not member.leaving:
            member.lane.settings = wanted

    def _dismiss(self, member: _Member, reason: str) -> None:
        member.leaving = reason
        member.halt.set()
        if member.camera is not None:
            self._batcher.retire(member.camera.name)

    def _join(self, name: str, since_ms: int | None) -> None:
        """Begin to watch a camera; ``since_ms`` is when its former life ended, if it had one."""
        settings = self._wanted[name]
        member = _Member(self._make_lane(settings), None)
        at_ms = round(time.time() * 1000) if since_ms is None else since_ms
        if settings.enabled:
            count = sum(one.enabled for one in self._wanted.values())
            member.camera = self._make_camera(settings, member.halt, count)
            if member.camera.live_source or since_ms is not None:
                member.lane.missed(CameraState.DOWN, at_ms, "connecting")
            member.camera.start()
        else:
            member.lane.missed(CameraState.DISABLED, at_ms, "disabled in the settings")
        self._members[name] = member
        self.lanes[name] = member.lane

    @property
    def idle(self) -> bool:
        """No camera of the site is switched on."""
        return not any(settings.enabled for settings in self._wanted.values())

    @property
    def finished(self) -> bool:
        """All cameras are over, none waits to begin, and no frame waits to be searched."""
        return self._batcher.finished and not any(m.leaving for m in self._members.values())

    def note_lag(self, frames: Sequence[Frame], now_ms: float) -> None:
        """Note how old the pictures were that have just been searched."""
        for frame in frames:
            self._members[frame.camera].lag_s = round((now_ms - frame.captured_at_ms) / 1000, 3)

    def settle(self) -> list[Shot]:
        """Close tracklets of cameras that are lost, over or leaving, once their frames are done."""
        return [shot for member in self._members.values() for shot in self._settle(member)]

    def _settle(self, member: _Member) -> list[Shot]:
        camera = member.camera
        if camera is None or self._batcher.waiting(camera.name):
            return []
        state, losses = camera.state(time.monotonic()), camera.take_losses()
        if losses:
            member.cause = losses[-1].cause
        ended = losses or member.leaving or state in (State.ENDED, State.FAILED)
        return member.lane.close() if ended else []

    def record(self, keep: Callable[[CoverageSpan], None]) -> None:
        """Hand over what was watched and what was not; then cameras that have left make room."""
        now_ms = round(time.time() * 1000)
        for name, member in list(self._members.items()):
            self._advance(member, now_ms)
            for span in member.lane.take_coverage():
                keep(span)
            if member.leaving and self._has_left(member):
                self._part(name, member, now_ms)

    def _advance(self, member: _Member, now_ms: int) -> None:
        camera, lane = member.camera, member.lane
        if camera is not None:
            # Asked before the counters: once a recording is over they do not change any more.
            state, alive = camera.state(time.monotonic()), camera.alive
            lane.advance(camera.frames, camera.dropped())
            if not self._batcher.waiting(camera.name):
                self._note_absence(member, camera, state, alive, now_ms)
        else:
            lane.missed(CameraState.DISABLED, now_ms, "disabled in the settings")

    def _note_absence(
        self, member: _Member, camera: Camera, state: State, alive: bool, now_ms: int
    ) -> None:
        lane = member.lane
        if not camera.live_source:
            gone = member.leaving and not alive
            if not member.over and (gone or state in (State.ENDED, State.FAILED)):
                member.over = True
                _close_recording(camera, lane, now_ms, member.leaving or camera.error)
        elif member.leaving:
            kind = CameraState.DISABLED if member.leaving == REMOVED else CameraState.DOWN
            lane.missed(kind, now_ms, member.leaving)
        elif state in (State.CONNECTING, State.RETRYING, State.FAILED):
            lane.missed(CameraState.DOWN, now_ms, camera.error or "connecting")
        elif state is State.STALLED:
            lane.missed(CameraState.STALLED, now_ms, "connected, but no frames come")

    def _has_left(self, member: _Member) -> bool:
        camera = member.camera
        return camera is None or not (camera.alive or self._batcher.waiting(camera.name))

    def _part(self, name: str, member: _Member, now_ms: int) -> None:
        """Forget a camera that has left; another of its name begins where its coverage ended."""
        self._before[name] = replace(self._report(name, member), state=State.REMOVED, error="")
        if member.camera is not None:
            self._batcher.remove(name)
        live = member.camera is None or member.camera.live_source
        del self._members[name], self.lanes[name]
        if name in self._wanted and not self._halted:
            self._join(name, now_ms if live else None)

    def halt(self, limit_s: float) -> None:
        """Stop all threads; one that is blocked in a read ends by itself at its timeout."""
        self._halted = True
        for member in self._members.values():
            member.halt.set()
        self._batcher.close()
        deadline_s = time.monotonic() + limit_s
        for name, member in self._members.items():
            left_s = max(0.0, deadline_s - time.monotonic())
            if member.camera is not None and not member.camera.join(left_s):
                logger.info("camera %s is still waiting for its source; left alone", name)

    def close(self) -> list[Shot]:
        """Close all tracklets; return their last shots."""
        return [shot for lane in self.lanes.values() for shot in lane.close()]

    def reports(self) -> tuple[CameraReport, ...]:
        """Return what every camera of the site has done, in its order."""
        there = [name for name in self._wanted if name in self._members]
        return tuple(self._report(name, self._members[name]) for name in there)

    def gone(self) -> tuple[CameraReport, ...]:
        """Return what cameras did that are not in the site any more."""
        leaving = [n for n in self._members if n not in self._wanted]
        left = [self._before[n] for n in self._before if n not in self._members]
        return (*(self._report(name, self._members[name]) for name in leaving), *left)

    def _report(self, name: str, member: _Member) -> CameraReport:
        now = _report_of(member)
        before = self._before.get(name)
        return now if before is None else _joined(before, now)


def _close_recording(camera: Camera, lane: Lane, now_ms: int, reason: str) -> None:
    if lane.searched:
        lane.coverage.finish(camera.promised_end_ms, reason)
    else:
        start = camera.settings.start
        start_ms = now_ms if start is None else round(start.timestamp() * 1000)
        lane.missed(CameraState.DOWN, start_ms, reason)
        lane.missed(CameraState.DOWN, start_ms + 1, reason)


def _report_of(member: _Member) -> CameraReport:
    settings, lane, camera = member.settings, member.lane, member.camera
    if camera is None:
        return CameraReport(settings.name, State.DISABLED, settings.shown_url)
    now_s = time.monotonic()
    return CameraReport(
        camera=settings.name,
        state=camera.state(now_s),
        url=settings.shown_url,
        frames=camera.frames,
        searched=lane.searched,
        dropped=camera.dropped(),
        sightings=lane.sightings,
        tracklets=lane.tracklets,
        error=camera.error,
        cause=member.cause if camera.error else "",
        reconnects=camera.reconnects,
        lag_s=member.lag_s if camera.live_source else None,
        clock_offset_s=camera.clock_offset_s,
        outside_zones=lane.outside_zones,
        crowded=lane.crowded,
        age_s=camera.age_s(now_s),
        stall_s=camera.stall_s if camera.live_source else None,
        decoder=camera.decoder,
        key_frames_only=camera.key_frames_only,
    )


def _joined(before: CameraReport, now: CameraReport) -> CameraReport:
    """Return the report of a camera with what it had done before it was changed."""
    causes = sorted(before.dropped.keys() | now.dropped.keys())
    return replace(
        now,
        frames=before.frames + now.frames,
        searched=before.searched + now.searched,
        dropped={c: before.dropped.get(c, 0) + now.dropped.get(c, 0) for c in causes},
        sightings=before.sightings + now.sightings,
        tracklets=before.tracklets + now.tracklets,
        reconnects=before.reconnects + now.reconnects,
        outside_zones=before.outside_zones + now.outside_zones,
        crowded=before.crowded + now.crowded,
    )
