"""Tells how an ingest does: one thread that writes the status file and the log.

The loop only leaves its newest status here, which costs it nothing; rates, the spool's counts,
the file and the log are this thread's work. It goes on writing when the loop does not, and then
the file says that. What goes wrong here is told once and never ends an ingest.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from engines.engine import EngineInfo
from streamer.camera import State
from streamer.delivery.pump import PumpStatus
from streamer.errors import DeliveryError, StatusFileError
from streamer.status import IngestStatus
from streamer.watching.events import Event, EventWatch
from streamer.watching.snapshot import DeliveryView, EngineView, Meter, Phase, Snapshot
from streamer.watching.statusfile import StatusFile

logger = logging.getLogger(__name__)

_OVER = (State.ENDED, State.FAILED, State.DISABLED, State.REMOVED)
HEARTBEAT_S = 1.1
"""The file is written at every pass of the loop, and at the latest after so long."""


class Publisher:
    """The status of one ingest, for other processes and for other threads of this one.

    ``folder`` is the gallery's or the spool's. ``tell`` takes every event; ``stopping`` says
    that ingest was asked to stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str,
        engine: Callable[[], EngineInfo],
        delivery: Callable[[], PumpStatus],
        stopping: Callable[[], bool] = lambda: False,
        tell: Callable[[Event], None] = lambda event: None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._folder = folder
        self._version = version
        self._engine = engine
        self._delivery = delivery
        self._stopping = stopping
        self._tell = tell
        self._heartbeat_s = heartbeat_s
        self._meter = Meter()
        self._events = EventWatch()
        self._started_at = datetime.now(UTC)
        self._file: StatusFile | None = None
        self._complaint = ""
        self._newest: tuple[IngestStatus, float] = (IngestStatus((), 0.0), time.monotonic())
        self._metered = self._newest[0]
        self._cameras = self._meter.cameras(self._metered)
        self._batch = self._meter.batch(self._metered)
        self._snapshot = self._taken(Phase.STARTING)
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    @property
    def snapshot(self) -> Snapshot:
        """How the ingest does; any thread may ask."""
        return self._snapshot

    def start(self) -> None:
        """Write for the first time, and begin to follow."""
        self._write()
        self._thread.start()

    def see(self, status: IngestStatus) -> None:
        """Take the newest status; called by the loop, waits for nothing."""
        self._newest = (status, time.monotonic())
        self._wake.set()

    def close(self, failure: str = "") -> None:
        """Write for the last time: that it ended, or why it failed."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._publish(Phase.FAILED if failure else Phase.ENDED, failure)
        for event in self._events.summary(self._newest[0]):
            self._tell(event)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._heartbeat_s)
            self._wake.clear()
            if not self._stop.is_set():
                self._publish(self._phase())

    def _phase(self) -> Phase:
        cameras = self._newest[0].cameras
        if self._stopping() or (cameras and all(camera.state in _OVER for camera in cameras)):
            return Phase.STOPPING
        return Phase.RUNNING if cameras else Phase.STARTING

    def _publish(self, phase: Phase, reason: str = "") -> None:
        status, ticked_s = self._newest
        if status is not self._metered:
            self._metered = status
            self._cameras, self._batch = self._meter.cameras(status), self._meter.batch(status)
            for event in self._events.see(status):
                self._tell(event)
        self._snapshot = self._taken(phase, reason, ticked_s)
        self._write()

    def _taken(self, phase: Phase, reason: str = "", ticked_s: float | None = None) -> Snapshot:
        info = self._engine()
        return Snapshot(
            version=self._version,
            pid=os.getpid(),
            phase=phase,
            reason=reason,
            started_at=self._started_at,
            written_at=datetime.now(UTC),
            heartbeat_s=time.monotonic(),
            ticked_s=self._newest[1] if ticked_s is None else ticked_s,
            seconds=round(self._metered.seconds, 3),
            engine=EngineView(
                name=info.name, model=info.model, backend=info.backend,
                precision=info.precision, reason=info.reason,
            ),
            batch=self._batch,
            delivery=self._delivered(),
            cameras=self._cameras,
        )  # fmt: skip

    def _delivered(self) -> DeliveryView | None:
        try:
            return DeliveryView(**asdict(self._delivery()))
        except DeliveryError:
            return None

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = StatusFile(self._folder)
            self._file.write(self._snapshot)
        except StatusFileError as error:
            if str(error) != self._complaint:
                logger.warning("nobody can see how this ingest does: %s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""
