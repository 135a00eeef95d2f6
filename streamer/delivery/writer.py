"""The writer: entries from a Redis Stream into a gallery, each acknowledged once it is stored.

An entry belongs to one consumer from the moment it is read until it is acknowledged. After any
error (Redis restarted, the gallery refused) the writer joins again and begins with what it had
been given; entries of a writer that died are taken over after ``claim_s``. Entries stored within
the last ``keep_s`` stay in the stream and are stored once more when a writer starts, and when the
gallery failed: a power cut or a full disk may have taken them from the gallery.

Coverage and links wait until every older entry of the group is acknowledged, by whichever
writer: a gallery never claims to have watched what it has not got yet.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from streamer.backoff import Backoff
from streamer.delivery.entry import Message, SightingMessage, read_fields, unpack
from streamer.delivery.group import PAGE, Received, StreamGroup, number
from streamer.delivery.keeper import GalleryKeeper
from streamer.errors import AwayError, EntryError, LostError

logger = logging.getLogger(__name__)

FIRST = b"0-0"
GONE = "it was deleted from the stream before it was stored"


@dataclass(frozen=True, slots=True)
class WriterPace:
    """How often things happen, in seconds."""

    block_s: float = 0.5
    """How long one read waits for new entries; so long a stop may take."""
    claim_s: float = 60.0
    """Entries of another writer are taken over after so long without an acknowledgement."""
    keep_s: float = 60.0
    """Stored entries stay in the stream for so long."""
    tidy_s: float = 5.0
    """Between looks for entries to take over, and to cut off."""
    backoff_low_s: float = 0.2
    backoff_high_s: float = 3.0
    most_held: int = 20_000
    """Coverage that may wait for another writer; then nothing new is read."""


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """What a writer has done since it started."""

    stored: int = 0
    """Sightings that the gallery took, those taken again included."""
    coverage: int = 0
    """Coverage spans and links."""
    dead: int = 0
    """Entries set aside because they can never be stored."""
    gone: int = 0
    """Entries deleted from the stream before they were stored."""
    taken_over: int = 0
    """Entries of writers that died."""
    trimmed: int = 0
    held: int = 0
    """Coverage that waits for sightings of another writer."""
    away: str = ""
    """Why nothing is stored now; "" when all is well."""


class Writer:
    """Moves entries of a stream into a gallery."""

    def __init__(
        self,
        group: StreamGroup,
        keeper: GalleryKeeper,
        *,
        pace: WriterPace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._keeper = keeper
        self._pace = pace or WriterPace()
        self._clock = clock
        self._backoff = Backoff(self._pace.backoff_low_s, self._pace.backoff_high_s)
        self._held: dict[bytes, tuple[Received, Message]] = {}
        self._joined = False
        self._again: Iterator[list[Received]] | None = None
        """What was stored a short while ago and is stored once more; None: all of it was."""
        self._repeat = True
        self._own_after: bytes | None = FIRST
        """Where to go on with entries that are ours already; None: all are done."""
        self._tidied_s = clock()
        self.status = WriterStatus()

    def run(
        self,
        stop: threading.Event,
        progress: Callable[[WriterStatus], None] = lambda status: None,
        *,
        until_empty: bool = False,
    ) -> WriterStatus:
        """Store what comes until ``stop``, or until nothing is left; return what was done.

        Raises:
            DeliveryError: Redis will never do what is asked of it.
        """
        while not stop.is_set():
            handled = self._try(stop)
            progress(self.status)
            if until_empty and not handled and self._done():
                break
        return self.status

    def step(self) -> int:
        """Read, store and acknowledge one batch; returns how many entries came.

        Raises:
            AwayError: Redis or the gallery does not answer; nothing is lost.
        """
        if not self._joined:
            self._join()
        self._tidy()
        received = self._next()
        self._store(received)
        self._release()
        self._store_again()
        self._note(away="", held=len(self._held))
        self._backoff.reset()
        return len(received)

    def close(self) -> None:
        """Close the gallery; what was not stored stays in the stream.

        Raises:
            AwayError: its last flush failed; nothing that it acknowledged is lost.
        """
        self._keeper.close()

    def _try(self, stop: threading.Event) -> int:
        """Make a step; when it fails, tell why, wait, and begin again with what is ours."""
        try:
            return self.step()
        except AwayError as error:
            if not self.status.away:
                logger.warning("nothing is stored now, entries wait: %s", error)
            self._note(away=str(error))
            self._joined = False
            self._repeat = self._repeat or isinstance(error, LostError)
            self._own_after = FIRST
            self._held.clear()
            stop.wait(self._backoff.next_s())
            return 0

    def _done(self) -> bool:
        if self._own_after is not None or self._held or self._repeat or self.status.away:
            return False
        try:
            return self._group.lag().waiting == 0
        except AwayError:
            return False

    def _join(self) -> None:
        self._group.join()
        self._again = self._group.stored() if self._repeat else None
        if self.status.away:
            logger.warning("storing again")
        self._joined = True

    def _next(self) -> list[Received]:
        """Return the next entries: first those that are ours already."""
        if self._own_after is not None:
            own = self._group.own(self._own_after)
            self._own_after = own[-1].id if own else None
            if own:
                return own
        if len(self._held) >= self._pace.most_held:
            return []
        block_s = self._pace.block_s
        if self._again is not None:
            block_s = 0.001
        elif self._held:  # They wait for another writer: look again soon.
            block_s = min(0.1, block_s)
        return self._group.fresh(max(1, round(block_s * 1000)))

    def _store(self, received: Sequence[Received]) -> None:
        """Store sightings and acknowledge them; hold coverage and links back."""
        looks: list[tuple[Received, Message]] = []
        for one, message in self._readable(received):
            if isinstance(message, SightingMessage):
                looks.append((one, message))
            else:
                self._held[one.id] = (one, message)
        self._keep_and_acknowledge(looks)

    def _release(self) -> None:
        """Keep the coverage before which nothing is left to store."""
        while self._held:
            pending = self._group.pending()
            free = list(takewhile(self._held.__contains__, pending))
            if not free:
                self._forget(pending)
                return
            self._keep_and_acknowledge([self._held.pop(name) for name in free])

    def _forget(self, pending: Sequence[bytes]) -> None:
        """Let go of coverage that another writer took over and finished meanwhile."""
        first = number(pending[0]) if pending else None
        done = [name for name in self._held if first is None or number(name) < first]
        for name in done:
            del self._held[name]

    def _keep_and_acknowledge(self, pairs: Sequence[tuple[Received, Message]]) -> None:
        kept = self._keeper.keep([message for _, message in pairs])
        dead = {refusal.place: refusal.reason for refusal in kept.refused}
        for place, reason in dead.items():
            self._bury(pairs[place][0], reason)
        good = [one.id for place, (one, _) in enumerate(pairs) if place not in dead]
        self._group.acknowledge(good)
        self._note(
            stored=self.status.stored + kept.sightings,
            coverage=self.status.coverage + len(good) - kept.sightings,
        )

    def _store_again(self) -> None:
        """Store one page once more, beside what is new; what is dead stays dead."""
        if self._again is None:
            return
        page = next(self._again, None)
        if page is None:
            self._again, self._repeat = None, False
            return
        messages = []
        for one in page:
            try:
                messages.append(unpack(read_fields(one.fields)))
            except EntryError:
                continue
        self._keeper.keep(messages)

    def _readable(self, received: Iterable[Received]) -> Iterable[tuple[Received, Message]]:
        for one in received:
            if not one.fields:
                logger.error("entry %s: %s", one.id.decode(), GONE)
                self._group.acknowledge([one.id])
                self._note(gone=self.status.gone + 1)
                continue
            try:
                message = unpack(read_fields(one.fields))
            except EntryError as error:
                self._bury(one, str(error))
            else:
                yield one, message

    def _bury(self, one: Received, reason: str) -> None:
        logger.error("entry %s set aside: %s", one.id.decode(), reason)
        self._group.bury(one, reason)
        self._note(dead=self.status.dead + 1)

    def _tidy(self) -> None:
        """Take over what dead writers left, cut off what is stored, now and then."""
        now_s = self._clock()
        if now_s - self._tidied_s < self._pace.tidy_s:
            return
        self._tidied_s = now_s
        # First of all room is made: without memory Redis refuses to set anything aside.
        cut = self._group.trim(self._pace.keep_s)
        self._note(trimmed=self.status.trimmed + cut)
        if self._own_after is not None:
            return
        taken = self._group.claim(round(self._pace.claim_s * 1000))
        self._note(taken_over=self.status.taken_over + len(taken))
        self._store(taken)
        if len(taken) == PAGE:
            self._tidied_s = now_s - self._pace.tidy_s

    def _note(self, **changes: int | str) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
