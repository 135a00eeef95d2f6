"""The sink of ingest: everything goes to the spool, and from there to Redis or to a gallery.

``write`` returns when the sightings lie on this machine's disk; from then on they are found once
in the gallery, whatever dies in between. The engine's thread waits for that one commit and for
nothing else: it never speaks to Redis or to the gallery.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from gallery.values import CameraState, CoverageSpan, Link, Sighting
from streamer.delivery.entry import pack_links, pack_sighting, pack_span
from streamer.delivery.pump import Pump, PumpStatus, Target
from streamer.delivery.spool import Spool
from streamer.errors import DeliveryError, SpoolFullError

logger = logging.getLogger(__name__)

HOLD_S = 2.0
"""Coverage that the pump has not stored for so long is stored without it."""
DRAIN_S = 2.0
"""How long ``flush`` waits for another side that takes nothing."""


def wall_ms() -> int:
    """Return the time, UTC ms."""
    return round(time.time() * 1000)


class SpoolingSink:
    """A SightingSink that keeps everything on disk until the other side has it.

    Coverage spans are collected and reach the spool with the next sightings, or within a quarter
    of a second; while the pump waits for the other side, within two seconds or so. That is always
    after the sightings they speak of. One that grew replaces the former.
    """

    def __init__(
        self,
        spool: Spool,
        target: Target,
        *,
        model: str,
        drain_s: float = DRAIN_S,
        now_ms: Callable[[], int] = wall_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._model = model
        self._drain_s = drain_s
        self._now_ms = now_ms
        self._clock = clock
        self._held_since_s = 0.0
        self._lock = threading.Lock()
        self._crops: dict[str, bytes] = {}
        self._spans: dict[tuple[str, int, CameraState], CoverageSpan] = {}
        self._pump = Pump(spool, target, before=self._store_spans)
        self._pump.start()

    def put_crop(self, sighting: str, camera: str, captured_at_ms: int, jpeg: bytes) -> str:
        """Hold a crop until its sighting is written; where it is stored, it gets its path."""
        self._crops[sighting] = jpeg
        return ""

    def write(self, sightings: Sequence[Sighting]) -> None:
        """Keep sightings and their crops; on return they are on the disk.

        Raises:
            SpoolFullError: the spool or its disk is full; none was kept.
            DeliveryError: the spool failed, or delivery has ended.
        """
        if not self._pump.alive:
            raise DeliveryError("sightings are not delivered any more: the thread has ended")
        looks = [pack_sighting(one, self._crops.get(one.id, b"")) for one in sightings]
        with self._lock:
            spans = [pack_span(span, self._model) for span in self._spans.values()]
            self._spool.append([*spans, *looks], self._now_ms())
            self._spans.clear()
        self._crops.clear()
        self._pump.wake()

    def record(self, span: CoverageSpan) -> None:
        """Keep what a camera did, after all sightings that were written before.

        Raises:
            DeliveryError: it had waited for long, and the spool failed.
        """
        now_s = self._clock()
        with self._lock:
            self._held_since_s = self._held_since_s if self._spans else now_s
            self._spans[span.camera, span.start_ms, span.state] = span
            late = now_s - self._held_since_s >= HOLD_S
        if late:
            self._store_spans()

    def set_links(self, links: Sequence[Link]) -> None:
        """Keep the links between cameras.

        Raises:
            SpoolFullError, DeliveryError
        """
        self._spool.append([pack_links(tuple(links), self._model)], self._now_ms())
        self._pump.wake()

    def flush(self) -> None:
        """Deliver what waits, as long as the other side takes it; the rest stays in the spool.

        Raises:
            SpoolFullError, DeliveryError: the last coverage could not be kept.
        """
        self._append_spans()
        self._pump.wake()
        if not self._pump.wait(self._spool.last_seq, self._drain_s):
            status = self.status()
            logger.warning(
                "%d entries stay in %s and are delivered next time (%s)",
                status.waiting, self._spool.path, status.away or "the other side is slow",
            )  # fmt: skip

    def status(self) -> PumpStatus:
        """Return how far delivery has come.

        Raises:
            DeliveryError: the spool cannot be read.
        """
        return self._pump.status(self._now_ms())

    def close(self) -> None:
        """Stop delivering and close both sides; what was not taken stays in the spool.

        Raises:
            DeliveryError: the other side could not be closed; the spool keeps what it may lack.
        """
        try:
            self._pump.stop()
        finally:
            self._spool.close()

    def __enter__(self) -> "SpoolingSink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append_spans(self) -> None:
        with self._lock:
            if self._spans:
                spans = [pack_span(span, self._model) for span in self._spans.values()]
                self._spool.append(spans, self._now_ms())
                self._spans.clear()

    def _store_spans(self) -> None:
        """As the pump does it: in a full spool coverage waits in memory, and sending goes on."""
        try:
            self._append_spans()
        except SpoolFullError as error:
            logger.debug("coverage waits: %s", error)
