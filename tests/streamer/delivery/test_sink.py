"""The sink of ingest: it answers when the disk has it, whatever the other side does."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import StoreError
from gallery.values import CameraState, CoverageSpan, Link
from streamer.delivery.entry import CoverageMessage, LinksMessage, SightingMessage, unpack
from streamer.delivery.sink import SpoolingSink
from streamer.delivery.spool import Spool
from streamer.errors import AwayError, DeliveryError, SpoolFullError
from streamer.sampler import Shot
from streamer.sink import Outbox


class Shelf:
    """Another side that keeps entries, and can be shut."""

    settle_s = 0.0

    def __init__(self) -> None:
        self.messages = []
        self.open = threading.Event()
        self.open.set()
        self.away = False

    def send(self, entries):
        """Take entries as soon as the shelf is open."""
        self.open.wait()
        if self.away:
            raise AwayError("the shelf is away")
        self.messages += [unpack(entry) for entry in entries]
        return ()

    def confirm(self) -> None:
        """Nothing is lost here."""

    def close(self) -> bool:
        """Nothing can be lost here."""
        return True


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "s.sqlite", most_bytes=100_000)


def names(shelf: Shelf) -> list[str]:
    kinds = {SightingMessage: "sighting", CoverageMessage: "coverage", LinksMessage: "links"}
    return [kinds[type(message)] for message in shelf.messages]


def test_sightings_with_crops_coverage_and_links_arrive_in_order(shelf, spool, one, until) -> None:
    with SpoolingSink(spool, shelf, model="model-a") as sink:
        sink.set_links([Link("a", "b", 1.0, 2.0)])
        assert sink.put_crop(one(1).id, "cam1", one(1).captured_at_ms, b"jpeg") == ""
        sink.write([one(1), one(2)])
        sink.record(until(2))
        sink.flush()
        assert names(shelf) == ["links", "sighting", "sighting", "coverage"]
        assert [shelf.messages[1].jpeg, shelf.messages[2].jpeg] == [b"jpeg", b""]
        assert shelf.messages[3].span == until(2)
        assert sink.status().waiting == 0


def test_a_span_that_grew_replaces_the_former(shelf, spool, one, until) -> None:
    with SpoolingSink(spool, shelf, model="model-a") as sink:
        shelf.open.clear()
        sink.write([one(1)])
        for number in range(1, 50):
            sink.record(until(number))
        down = CoverageSpan("cam2", CameraState.DOWN, 0, 9)
        sink.record(down)
        sink.write([one(50)])
        shelf.open.set()
        sink.flush()
    spans = [m.span for m in shelf.messages if isinstance(m, CoverageMessage)]
    assert spans[-2:] == [until(49), down]
    assert len(spans) < 10


def test_it_answers_while_the_other_side_is_stuck(shelf, spool, one) -> None:
    with SpoolingSink(spool, shelf, model="model-a") as sink:
        shelf.open.clear()
        sink.write([one(0)])
        time.sleep(0.4)
        took = []
        for number in range(1, 20):
            began_s = time.monotonic()
            sink.write([one(number)])
            took.append(time.monotonic() - began_s)
        assert max(took) < 1.0
        assert sink.status().waiting == 20
        shelf.open.set()


def test_flush_gives_up_on_a_side_that_takes_nothing_and_keeps_it_all(
    shelf, spool, tmp_path, one, until, caplog
) -> None:
    shelf.away = True
    with SpoolingSink(spool, shelf, model="model-a", drain_s=0.2) as sink:
        sink.write([one(1)])
        sink.record(until(1))
        began_s = time.monotonic()
        sink.flush()
        assert time.monotonic() - began_s < 3
    assert "2 entries stay in" in caplog.text
    again = Shelf()
    with SpoolingSink(Spool(tmp_path / "s.sqlite"), again, model="model-a") as sink:
        sink.flush()
    assert names(again) == ["sighting", "coverage"]


def test_a_full_spool_is_told_and_coverage_claims_nothing_more(shelf, spool, one, until) -> None:
    shelf.away = True
    with SpoolingSink(spool, shelf, model="model-a", drain_s=0.1) as sink:
        sink.put_crop(one(1).id, "cam1", 0, b"j" * 97_000)
        sink.write([one(1)])
        sink.put_crop(one(2).id, "cam1", 0, b"j" * 97_000)
        with pytest.raises(SpoolFullError, match="is full"):
            sink.write([one(2)])
        shelf.away = False
        sink.flush()
        sink.put_crop(one(2).id, "cam1", 0, b"j" * 97_000)
        deadline_s = time.monotonic() + 10
        while sink.status().bytes and time.monotonic() < deadline_s:
            time.sleep(0.05)
        sink.write([one(2)])
        sink.record(until(2))
        sink.flush()
    assert names(shelf) == ["sighting", "sighting", "coverage"]
    assert [len(message.jpeg) for message in shelf.messages[:2]] == [97_000, 97_000]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_delivery_that_died_is_told_and_not_written_past(
    shelf, spool, one, monkeypatch, eventually
) -> None:
    def burst(entries) -> None:
        raise RuntimeError("the roof is off")

    monkeypatch.setattr(shelf, "send", burst)
    with SpoolingSink(spool, shelf, model="model-a") as sink:
        sink.write([one(1)])
        eventually(lambda: not sink._pump.alive)
        with pytest.raises(DeliveryError, match="the thread has ended"):
            sink.write([one(2)])
        sink.flush()
        assert sink.status().waiting == 1


def test_shots_that_a_sink_refused_are_offered_again(kit, tmp_path: Path) -> None:
    sink = kit.FolderSink(tmp_path / "sink")
    sink.fail_after, sink.error = 0, StoreError("no")
    shot = Shot(
        "cam1", "cam1/5-0", 5, (1.0, 1.0, 9.0, 9.0), 0.9, 0.8,
        np.eye(256, dtype=np.float32)[0], np.zeros((8, 8, 3), np.uint8), (64, 48),
    )  # fmt: skip
    outbox = Outbox(sink, "m")
    outbox.add([shot])
    with pytest.raises(StoreError, match="no"):
        outbox.deliver()
    assert sink.sightings == {}
    sink.fail_after = None
    outbox.deliver()
    outbox.deliver()
    assert [one.tracklet for one in sink.sightings.values()] == ["cam1/5-0"]
    assert sink.writes == 1


def test_coverage_reaches_the_disk_while_the_other_side_takes_minutes(shelf, spool) -> None:
    """A gallery that compacts holds the pump up; what was watched must not wait in memory."""
    now_s = [0.0]
    with SpoolingSink(spool, shelf, model="model-a", clock=lambda: now_s[0]) as sink:
        shelf.open.clear()
        sink.set_links([Link("a", "b", 1.0, 2.0)])
        time.sleep(0.4)  # the pump is in the middle of sending now
        before = spool.last_seq
        for second in range(4):
            now_s[0] = float(second)
            sink.record(CoverageSpan("a", CameraState.WATCHED, 0, 1000 * (second + 1)))
        kept = [unpack(one.entry) for one in spool.after(before)]
        shelf.open.set()
    assert [one.span.end_ms for one in kept] == [3000]
