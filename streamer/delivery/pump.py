"""The pump: takes entries out of the spool, in order, and hands them to the other side.

It has a thread of its own, so that neither a Redis that is away nor a slow gallery ever holds up
the engine. What was sent stays in the spool for ``settle_s`` more: as long as the other side may
still lose it. When it says that it may have (LostError), everything that is still there is sent
again; the same entry twice changes nothing at the end of the way.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from streamer.backoff import Backoff
from streamer.delivery.entry import Entry
from streamer.delivery.spool import Spool
from streamer.errors import DeliveryError, LostError

logger = logging.getLogger(__name__)

IDLE_S = 0.25
AWAY_PATIENCE_S = 2.0
"""How long to wait at the end for another side that said that it is away."""
REMOVE_S = 0.5
"""Between removals of what has settled: each is a write to the disk."""


class Refusal(NamedTuple):
    """An entry that the other side will never take: its place in the batch, and why."""

    place: int
    reason: str


class Target(Protocol):
    """The other side. Only the pump's thread calls it."""

    settle_s: float
    """How long an entry that was taken may still be lost over there."""

    def send(self, entries: Sequence[Entry]) -> Sequence[Refusal]:
        """Hand entries over; on return all but the refused ones were taken.

        Raises:
            AwayError: not all were taken; these shall be sent again.
            LostError: and those before them.
        """
        ...

    def confirm(self) -> None:
        """Return when the other side still is the one that took what was sent so far.

        Raises:
            LostError: it is not; what has not settled shall be sent again.
            AwayError: it does not answer.
        """
        ...

    def close(self) -> bool:
        """Let go; True when nothing that was taken can be lost any more.

        Raises:
            DeliveryError: it could not be closed in order.
        """
        ...


@dataclass(frozen=True, slots=True)
class PumpStatus:
    """How far delivery has come."""

    waiting: int
    """Entries that the other side has not taken yet."""
    oldest_s: float
    """Age of the oldest of them; 0 when none waits."""
    kept: int
    """Entries that were taken and stay in the spool for a while."""
    bytes: int
    sent: int
    """Entries handed over since the start, again and again included."""
    refused: int
    away: str
    """Why nothing is taken now; "" when all is well."""


class Pump:
    """Moves entries from a spool to a target; ``step`` is the logic, ``start`` adds a thread."""

    def __init__(
        self,
        spool: Spool,
        target: Target,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool = spool
        self._target = target
        self._backoff = backoff or Backoff(0.2, 3.0)
        self._clock = clock
        self._before = before
        self._cursor = 0
        self._settling: deque[tuple[float, int]] = deque()
        self._removed_s = clock()
        self._sent = 0
        self._away = ""
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something new lies in the spool."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def step(self, now_s: float) -> float:
        """Send one batch; returns after how many seconds there may be more to do."""
        try:
            self._before()
            self._settle(now_s)
            batch = self._spool.after(self._cursor)
            if not batch:
                self._report("")
                return IDLE_S
            refused = self._target.send([item.entry for item in batch])
            for refusal in refused:
                logger.error("not deliverable, set aside in the spool: %s", refusal.reason)
                self._spool.refuse(batch[refusal.place].seq, refusal.reason)
        except DeliveryError as error:
            if isinstance(error, LostError):
                self._cursor = 0
                self._settling.clear()
            self._report(str(error))
            return self._backoff.next_s()
        self._backoff.reset()
        self._advance(batch[-1].seq, len(batch), now_s)
        return 0.0

    def wait(self, seq: int, patience_s: float) -> bool:
        """Wait until all up to a number were taken, as long as that goes on.

        Returns False when nothing moved for ``patience_s``, or for less when it is away.
        """
        with self._moved:
            while self._cursor < seq:
                if not self._advances(patience_s):
                    return False
        return True

    def _advances(self, patience_s: float) -> bool:
        before = self._sent
        self._moved.wait_for(lambda: self._sent > before or bool(self._away), patience_s)
        if self._away:
            self._moved.wait_for(lambda: self._sent > before, min(patience_s, AWAY_PATIENCE_S))
        return self._sent > before

    def status(self, now_ms: int) -> PumpStatus:
        """Return how far delivery has come.

        Raises:
            SpoolError: the spool cannot be read.
        """
        cursor = self._cursor
        oldest_ms = self._spool.oldest_ms(cursor)
        waiting = self._spool.waiting(cursor)
        return PumpStatus(
            waiting=waiting,
            oldest_s=0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000,
            kept=max(0, self._spool.count - waiting),
            bytes=self._spool.bytes,
            sent=self._sent,
            refused=self._spool.refused,
            away=self._away,
        )

    def stop(self) -> None:
        """End the thread, after the batch that it is sending, and let the target go.

        Raises:
            DeliveryError: the other side could not be closed; the spool keeps what it may lack.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._target.close() and not self._away:
            self._spool.remove(self._cursor)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            pause_s = self.step(self._clock())
            if pause_s:
                # New entries must not cut a back-off short.
                (self._stop if self._away else self._wake).wait(pause_s)

    def _advance(self, seq: int, count: int, now_s: float) -> None:
        taken_s = max(now_s, self._clock())
        self._settling.append((taken_s + self._target.settle_s, seq))
        self._sent += count
        with self._moved:
            self._cursor = seq
            self._moved.notify_all()
        self._report("")

    def _settle(self, now_s: float) -> None:
        """Remove what can no longer be lost on the other side."""
        if now_s - self._removed_s < REMOVE_S:
            return
        settled = [seq for until_s, seq in self._settling if until_s <= now_s]
        if settled:
            self._target.confirm()
            self._removed_s = now_s
            self._spool.remove(settled[-1])
            for _ in settled:
                self._settling.popleft()

    def _report(self, away: str) -> None:
        if away and not self._away:
            logger.warning("delivery waits, sightings are kept on disk: %s", away)
        elif self._away and not away:
            logger.warning("delivery goes on")
        with self._moved:
            self._away = away
            self._moved.notify_all()
