"""Cameras in, sightings out: the threads and the one loop that joins them.

Each camera has a thread; the caller's thread runs engine, trackers, samplers and the sink. If
the engine or the sink raises, cameras are stopped and the error passes on; what the sink had
acknowledged stays, and coverage claims no more than that. A stop drains: tracklets are closed,
sampled and written.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.engine import Engine
from engines.errors import EngineError
from engines.values import Frame
from gallery.values import CameraState
from streamer.backoff import Backoff
from streamer.batcher import Batcher
from streamer.camera import Camera, ReaderFactory, State
from streamer.lane import Lane, deal
from streamer.settings import CameraSettings
from streamer.sink import Outbox, SightingSink
from streamer.site import Site
from streamer.source import Reader
from streamer.status import CameraReport, IngestReport, IngestStatus

logger = logging.getLogger(__name__)

Progress = Callable[[IngestStatus], None]

_QUEUED_BATCHES = 2
"""Frames of recordings that may wait, in batches, over all cameras."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long things happen, in seconds."""

    tick_s: float = 1.0
    """Between writes, coverage and progress."""
    window_s: float = 0.1
    join_s: float = 1.0
    backoff_low_s: float = 0.5
    backoff_high_s: float = 30.0
    weak_over_threshold: float = 0.5
    """Detections down to this part of the engine's threshold carry tracklets on."""
    sure: float = 0.25
    """How far between the engine's threshold and 1 a detection must score to start a tracklet
    or to be stored: a false row costs every later search, a missing one a visit. On two rendered
    sites journeys scored F1 0.82 at 0, 0.84 at 0.25 and 0.76 at 0.5."""

    def weak_score(self, threshold: float) -> float:
        """Return the score from which a detection may carry a tracklet on."""
        return threshold * self.weak_over_threshold

    def sure_score(self, threshold: float) -> float:
        """Return the score from which a detection may start a tracklet or be stored."""
        return threshold + self.sure * (1 - threshold)


def ingest(
    site: Site,
    engine: Engine,
    gallery: SightingSink,
    *,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    batch: int = 4,
    pace: Pace | None = None,
    reader: ReaderFactory = Reader,
) -> IngestReport:
    """Read every enabled camera until recordings end and ``stop`` is set; return what was done.

    A camera that cannot be read does not stop the others: it stands in ``report.failed``.

    Raises:
        EngineError: the engine failed; what was found before was written.
        GalleryError: the gallery refused; what it had acknowledged is kept.
    """
    run = _Ingest(site, engine, gallery, batch, pace or Pace(), reader)
    return run.run(stop or threading.Event(), progress or (lambda status: None))


class _Ingest:
    def __init__(
        self,
        site: Site,
        engine: Engine,
        sink: SightingSink,
        batch: int,
        pace: Pace,
        reader: ReaderFactory,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._pace = pace
        self._site = site
        self._halt = threading.Event()
        self._batcher = Batcher(batch, pace.window_s)
        self._outbox = Outbox(sink, engine.info.model)
        enabled = [camera for camera in site.cameras.values() if camera.enabled]
        depth = -(-_QUEUED_BATCHES * batch // max(1, len(enabled)))
        self._cameras = {s.name: self._camera(s, depth, reader) for s in enabled}
        self._lanes = {s.name: self._lane(s) for s in site.cameras.values()}
        self._over: set[str] = set()
        self._causes: dict[str, str] = {}
        self._lag_s: dict[str, float] = {}
        self._began_s = time.monotonic()
        self._ticked_s = self._began_s

    def _camera(self, settings: CameraSettings, depth: int, reader: ReaderFactory) -> Camera:
        backoff = Backoff(self._pace.backoff_low_s, self._pace.backoff_high_s)
        return Camera(
            settings, self._batcher, self._halt, backoff=backoff, depth=depth, reader=reader
        )

    def _lane(self, settings: CameraSettings) -> Lane:
        info = self._engine.info
        return Lane(settings, info.model, self._pace.sure_score(info.score_threshold))

    def run(self, stop: threading.Event, progress: Progress) -> IngestReport:
        """Run to the end; see ``ingest``."""
        self._sink.set_links(self._site.links)
        for lane in self._lanes.values():
            self._record(lane)
        try:
            for camera in self._cameras.values():
                camera.start()
            stopped = self._loop(stop, progress)
        except EngineError:
            self._halt_cameras()
            self._finish()
            raise
        finally:
            self._halt_cameras()
        self._finish()
        return IngestReport(self._reports(), self._seconds(), stopped=stopped)

    def _loop(self, stop: threading.Event, progress: Progress) -> bool:
        """Search frames until all cameras ended (False) or ``stop`` is set before (True)."""
        while not stop.is_set() and not self._batcher.finished:
            frames = self._batcher.get(min(0.25, self._pace.tick_s))
            if frames:
                weak = self._pace.weak_score(self._engine.info.score_threshold)
                found = self._engine.detect([f.pixels for f in frames], min_score=weak)
                self._note_lag(frames)
                self._outbox.add(deal(frames, found, self._lanes))
            if time.monotonic() - self._ticked_s >= self._pace.tick_s:
                self._tick()
                progress(IngestStatus(self._reports(), self._seconds()))
        return not self._batcher.finished

    def _note_lag(self, frames: Sequence[Frame]) -> None:
        now_ms = time.time() * 1000
        for frame in frames:
            self._lag_s[frame.camera] = round((now_ms - frame.captured_at_ms) / 1000, 3)

    def _tick(self) -> None:
        """Deliver sightings, then say what was watched: never the other way round."""
        self._ticked_s = time.monotonic()
        for camera in self._cameras.values():
            self._settle(camera)
        self._outbox.deliver()
        for lane in self._lanes.values():
            self._record(lane)

    def _settle(self, camera: Camera) -> None:
        """Close the tracklets of a camera that was lost or is over, once its frames are done."""
        if self._batcher.waiting(camera.name):
            return
        lane = self._lanes[camera.name]
        state = camera.state(time.monotonic())
        losses = camera.take_losses()
        if losses or state in (State.ENDED, State.FAILED):
            self._outbox.add(lane.close())
        if losses:
            self._causes[camera.name] = losses[-1].cause

    def _record(self, lane: Lane) -> None:
        camera = self._cameras.get(lane.settings.name)
        now_ms = round(time.time() * 1000)
        if camera is None:
            lane.missed(CameraState.DISABLED, now_ms, "disabled in the settings")
        else:
            lane.advance(camera.frames, camera.dropped())
            self._record_absence(camera, lane, now_ms)
        for span in lane.take_coverage():
            self._sink.record(span)

    def _record_absence(self, camera: Camera, lane: Lane, now_ms: int) -> None:
        state = camera.state(time.monotonic())
        if self._batcher.waiting(camera.name):
            return
        if camera.live_source:
            if state in (State.CONNECTING, State.RETRYING, State.FAILED):
                lane.missed(CameraState.DOWN, now_ms, camera.error or "connecting")
            elif state is State.STALLED:
                lane.missed(CameraState.STALLED, now_ms, "connected, but no frames come")
        elif state in (State.ENDED, State.FAILED) and camera.name not in self._over:
            self._over.add(camera.name)
            self._close_recording(camera, lane, now_ms)

    def _close_recording(self, camera: Camera, lane: Lane, now_ms: int) -> None:
        if lane.searched:
            lane.coverage.finish(camera.promised_end_ms, camera.error)
        else:
            start = camera.settings.start
            start_ms = now_ms if start is None else round(start.timestamp() * 1000)
            lane.missed(CameraState.DOWN, start_ms, camera.error)
            lane.missed(CameraState.DOWN, start_ms + 1, camera.error)

    def _halt_cameras(self) -> None:
        """Stop all threads; one that is blocked in a read ends by itself at its timeout."""
        self._halt.set()
        self._batcher.close()
        deadline_s = time.monotonic() + self._pace.join_s
        for camera in self._cameras.values():
            if not camera.join(max(0.0, deadline_s - time.monotonic())):
                logger.info("camera %s is still waiting for its source; left alone", camera.name)

    def _finish(self) -> None:
        """Close all tracklets, write their shots, close the coverage."""
        for lane in self._lanes.values():
            self._outbox.add(lane.close())
        self._outbox.deliver()
        for lane in self._lanes.values():
            self._record(lane)
        self._sink.flush()

    def _seconds(self) -> float:
        return time.monotonic() - self._began_s

    def _reports(self) -> tuple[CameraReport, ...]:
        return tuple(self._report(lane) for lane in self._lanes.values())

    def _report(self, lane: Lane) -> CameraReport:
        settings = lane.settings
        camera = self._cameras.get(settings.name)
        if camera is None:
            return CameraReport(settings.name, State.DISABLED, settings.shown_url)
        return CameraReport(
            camera=settings.name,
            state=camera.state(time.monotonic()),
            url=settings.shown_url,
            frames=camera.frames,
            searched=lane.searched,
            dropped=camera.dropped(),
            sightings=lane.sightings,
            tracklets=lane.tracklets,
            error=camera.error,
            cause=self._causes.get(settings.name, "") if camera.error else "",
            reconnects=camera.reconnects,
            lag_s=self._lag_s.get(settings.name) if camera.live_source else None,
            clock_offset_s=camera.clock_offset_s,
            outside_zones=lane.outside_zones,
            crowded=lane.crowded,
        )
