"""Cameras in, sightings out: the threads and the one loop that joins them.

Each camera has a thread; the caller's thread runs engine, trackers, samplers and the sink. If
the engine or the sink raises, cameras are stopped and the error passes on; what the sink had
acknowledged stays, and coverage claims no more than that. A stop drains: tracklets are closed,
sampled and written. A new reading of the site is taken in between two batches: see
``streamer.roster``.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.engine import Engine
from engines.errors import EngineError
from engines.values import Frame
from streamer.backoff import Backoff
from streamer.batcher import STALE_S, Batcher
from streamer.camera import Camera, ReaderFactory
from streamer.folder_reader import reader_for
from streamer.lane import Lane, deal
from streamer.reload import SiteReload
from streamer.roster import Roster
from streamer.settings import CameraSettings
from streamer.sink import Outbox, SightingSink
from streamer.site import Site
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
    stale_s: float = STALE_S
    """How old a live camera's frame may be when its turn comes, while the engine keeps up."""
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
    reader: ReaderFactory = reader_for,
    reload: SiteReload | None = None,
) -> IngestReport:
    """Read every enabled camera until recordings end and ``stop`` is set; return what was done.

    A camera that cannot be read does not stop the others: it stands in ``report.failed``.
    ``reload`` offers new readings of the site while it runs; where it watches the file, or a
    reading has switched every camera off, ingest goes on until ``stop``.

    Raises:
        EngineError: the engine failed; what was found before was written.
        GalleryError: the gallery refused; what it had acknowledged is kept.
    """
    run = _Ingest(site, engine, gallery, batch, pace or Pace(), reader, reload)
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
        reload: SiteReload | None,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._pace = pace
        self._site = site
        self._batch = batch
        self._batches = 0
        self._reader = reader
        self._reload = reload
        self._batcher = Batcher(batch, pace.window_s, stale_s=pace.stale_s)
        self._outbox = Outbox(sink, engine.info.model)
        self._roster = Roster(self._batcher, self._camera, self._lane)
        self._began_s = time.monotonic()
        self._ticked_s = self._began_s

    def _camera(self, settings: CameraSettings, halt: threading.Event, cameras: int) -> Camera:
        return Camera(
            settings,
            self._batcher,
            halt,
            backoff=Backoff(self._pace.backoff_low_s, self._pace.backoff_high_s),
            depth=-(-_QUEUED_BATCHES * self._batch // max(1, cameras)),
            reader=self._reader,
        )

    def _lane(self, settings: CameraSettings) -> Lane:
        info = self._engine.info
        return Lane(settings, info.model, self._pace.sure_score(info.score_threshold))

    def run(self, stop: threading.Event, progress: Progress) -> IngestReport:
        """Run to the end; see ``ingest``."""
        self._sink.set_links(self._site.links)
        try:
            self._roster.apply(self._site)
            self._roster.record(self._sink.record)
            stopped = self._loop(stop, progress)
        except EngineError:
            self._roster.halt(self._pace.join_s)
            self._finish()
            raise
        finally:
            self._roster.halt(self._pace.join_s)
        self._finish()
        reports, seconds, batches, batch = self._state()
        reports += self._roster.gone()
        return IngestReport(reports, seconds, batches, batch, stopped=stopped)

    def _loop(self, stop: threading.Event, progress: Progress) -> bool:
        """Search frames until all cameras ended (False) or ``stop`` is set before (True)."""
        while not stop.is_set() and not self._is_over():
            frames = self._batcher.get(min(0.25, self._pace.tick_s))
            if frames:
                self._search(frames)
            elif self._batcher.finished and not self._is_over():
                stop.wait(min(0.25, self._pace.tick_s))
            if time.monotonic() - self._ticked_s >= self._pace.tick_s:
                self._tick()
                progress(IngestStatus(*self._state()))
        return not self._roster.finished

    def _is_over(self) -> bool:
        """All cameras are over, and no other can come."""
        reload = self._reload
        waits = reload is not None and (reload.watch or (reload.used and self._roster.idle))
        return self._roster.finished and not waits

    def _search(self, frames: Sequence[Frame]) -> None:
        weak = self._pace.weak_score(self._engine.info.score_threshold)
        found = self._engine.detect([f.pixels for f in frames], min_score=weak)
        self._batches += 1
        self._roster.note_lag(frames, time.time() * 1000)
        self._outbox.add(deal(frames, found, self._roster.lanes))

    def _tick(self) -> None:
        """Deliver sightings, then say what was watched: never the other way round."""
        self._ticked_s = time.monotonic()
        self._take_changes()
        self._outbox.add(self._roster.settle())
        self._outbox.deliver()
        self._roster.record(self._sink.record)

    def _take_changes(self) -> None:
        site = None if self._reload is None else self._reload.poll(self._ticked_s)
        if site is not None:
            if site.links != self._site.links:
                self._sink.set_links(site.links)
            self._site = site
            self._roster.apply(site)

    def _finish(self) -> None:
        """Close all tracklets, write their shots, close the coverage."""
        self._outbox.add(self._roster.close())
        self._outbox.deliver()
        self._roster.record(self._sink.record)
        self._sink.flush()

    def _seconds(self) -> float:
        return time.monotonic() - self._began_s

    def _state(self) -> tuple[tuple[CameraReport, ...], float, int, int]:
        return self._roster.reports(), self._seconds(), self._batches, self._batch
