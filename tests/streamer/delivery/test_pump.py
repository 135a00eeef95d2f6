"""The pump: in order, again after a failure, and out of the spool only when nothing can be lost."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamer.backoff import Backoff
from streamer.delivery.entry import Entry
from streamer.delivery.pump import IDLE_S, Pump, Refusal
from streamer.delivery.spool import Spool
from streamer.errors import AwayError, LostError


class Shelf:
    """Another side that keeps entries in a list, and can be away."""

    def __init__(self, settle_s: float = 5.0) -> None:
        self.settle_s = settle_s
        self.taken: list[str] = []
        self.away = False
        self.lossless = False
        self.lost = False
        self.never: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def send(self, entries: Sequence[Entry]) -> Sequence[Refusal]:
        """Take entries; when away only the first of them, as a connection that breaks."""
        self.gate.wait()
        names = [entry.body.decode() for entry in entries]
        if self.away:
            self.taken += names[:1]
            raise AwayError("the shelf is away")
        self.taken += [name for name in names if name not in self.never]
        return [Refusal(i, f"{name} is bad") for i, name in enumerate(names) if name in self.never]

    def confirm(self) -> None:
        """Say that entries were lost, if they were."""
        if self.lost:
            self.lost = False
            raise LostError("the shelf fell over")

    def close(self) -> bool:
        """Tell whether nothing can be lost."""
        return self.lossless


def entries(*names: str) -> list[Entry]:
    return [Entry("sighting", "m", name.encode()) for name in names]


@pytest.fixture
def spool(tmp_path: Path):
    made = Spool(tmp_path / "s.sqlite")
    yield made
    made.close()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def pump(spool: Spool, shelf: Shelf) -> Pump:
    return Pump(spool, shelf, backoff=Backoff(1.0, 8.0), clock=lambda: 0.0)


def test_entries_go_in_order_and_leave_when_they_have_settled(spool, shelf, pump) -> None:
    spool.append(entries("a", "b"), 0)
    assert pump.step(10.0) == 0.0
    assert pump.step(10.1) == IDLE_S
    spool.append(entries("c"), 0)
    pump.step(12.0)
    assert shelf.taken == ["a", "b", "c"]
    assert spool.count == 3
    pump.step(15.0)
    assert [item.entry.body for item in spool.after(0)] == [b"c"]
    pump.step(16.9)
    assert spool.count == 1
    pump.step(17.0)
    assert spool.count == 0


def test_after_a_failure_the_batch_is_sent_again_in_order(spool, shelf, pump) -> None:
    spool.append(entries("a", "b"), 0)
    pump.step(10.0)
    shelf.away = True
    spool.append(entries("c", "d"), 0)
    assert pump.step(11.0) >= 1.0
    assert pump.status(5000).away == "the shelf is away"
    assert (pump.status(5000).waiting, pump.status(5000).kept) == (2, 2)
    assert pump.status(5000).oldest_s == 5.0
    shelf.away = False
    pump.step(100.0)
    assert shelf.taken == ["a", "b", "c", "c", "d"]
    assert pump.status(5000).away == ""
    assert (pump.status(5000).waiting, pump.status(5000).kept) == (0, 2)
    pump.step(105.0)
    assert spool.count == 0


def test_what_was_lost_over_there_before_it_settled_is_sent_again(spool, shelf, pump) -> None:
    spool.append(entries("a"), 0)
    pump.step(10.0)
    shelf.taken.clear()
    shelf.lost = True
    assert pump.step(15.0) >= 1.0
    pump.step(16.0)
    assert shelf.taken == ["a"]
    pump.step(21.0)
    assert spool.count == 0


def test_waits_grow_while_it_is_away_and_are_short_again_after(spool, shelf, pump) -> None:
    spool.append(entries("a"), 0)
    shelf.away = True
    waits = [pump.step(float(n)) for n in range(6)]
    assert all(1.0 <= wait <= 8.0 for wait in waits)
    assert waits[-1] >= 4.0
    shelf.away = False
    pump.step(10.0)
    shelf.away = True
    spool.append(entries("b"), 0)
    assert pump.step(11.0) == 1.0


def test_what_is_refused_is_set_aside_and_the_rest_goes_on(spool, shelf, pump) -> None:
    shelf.never = {"b"}
    spool.append(entries("a", "b", "c"), 0)
    pump.step(0.0)
    pump.step(100.0)
    assert shelf.taken == ["a", "c"]
    assert (spool.count, spool.refused, pump.status(0).refused) == (0, 1, 1)


def test_the_thread_delivers_and_waits_for_the_other_side(spool, shelf) -> None:
    pump = Pump(spool, shelf)
    pump.start()
    last = spool.append(entries(*(str(n) for n in range(300))), 0)
    pump.wake()
    assert pump.wait(last, 5.0)
    assert shelf.taken == [str(n) for n in range(300)]
    shelf.away = True
    last = spool.append(entries("x"), 0)
    pump.wake()
    began_s = time.monotonic()
    assert not pump.wait(last, 0.3)
    assert time.monotonic() - began_s < 3
    pump.stop()
    assert not pump.alive
    assert spool.count == 301


@pytest.mark.parametrize("lossless", [True, False])
def test_at_the_end_only_what_cannot_be_lost_is_removed(spool, shelf, lossless: bool) -> None:
    shelf.lossless = lossless
    pump = Pump(spool, shelf)
    pump.start()
    assert pump.wait(spool.append(entries("a"), 0), 5.0)
    pump.stop()
    assert spool.count == (0 if lossless else 1)
