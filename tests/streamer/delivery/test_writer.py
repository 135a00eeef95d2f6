"""The writer: Redis to gallery, each sighting once, whatever dies or comes wrong."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gallery.errors import StoreError
from gallery.gallery import Gallery
from gallery.values import Link
from streamer.delivery.entry import pack_sighting, pack_span, read_fields
from streamer.delivery.group import DEAD, StreamGroup
from streamer.delivery.keeper import GalleryKeeper
from streamer.delivery.redis_target import STREAM
from streamer.delivery.writer import WriterPace
from streamer.errors import AwayError

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[3]


def add(client, *entries) -> None:
    for entry in entries:
        client.xadd(STREAM, entry.fields())


def run(writer, **more):
    """Let a writer store all there is."""
    return writer.run(threading.Event(), until_empty=True, **more)


def stored(place: Path) -> list[str]:
    """Return the ids of all rows of the gallery, and hold that none is there twice."""
    with Gallery.open(place) as gallery:
        found = [one.id for one in gallery.sightings()]
        assert gallery.info().sightings == len(found)
        return sorted(found)


def ids(one, numbers) -> list[str]:
    return sorted(one(number).id for number in numbers)


def test_from_ingest_to_gallery(server, sink_to, writer_to, place, one, until) -> None:
    links = (Link("cam1", "cam2", 1.0, 60.0),)
    with sink_to(server) as sink:
        sink.set_links(links)
        for number in range(40):
            sink.put_crop(one(number).id, "cam1", one(number).captured_at_ms, b"\xff\xd8" * 50)
        sink.write([one(number) for number in range(40)])
        sink.record(until(39))
        sink.flush()
        assert sink.status().waiting == 0
    writer = writer_to(server)
    status = run(writer)
    assert (status.stored, status.coverage, status.dead) == (40, 2, 0)
    writer.close()
    assert stored(place) == ids(one, range(40))
    with Gallery.open(place) as gallery:
        assert gallery.links == links
        (camera,) = gallery.coverage().cameras
        assert camera.watched_ms == 39 * 200 + 1
        for sighting in gallery.sightings():
            assert gallery.crop(sighting) == b"\xff\xd8" * 50


def test_entries_twice_and_out_of_order_are_stored_once(
    server, writer_to, place, one, until
) -> None:
    order = [3, 1, 2, 3, 3, 0, 1, 2, 3]
    client = server.client()
    add(client, *(pack_sighting(one(number), b"") for number in order))
    add(client, pack_span(until(3), "model-a"), pack_span(until(1), "model-a"))
    writer = writer_to(server)
    assert run(writer).stored == len(order)
    writer.close()
    assert stored(place) == ids(one, range(4))
    with Gallery.open(place) as gallery:
        assert gallery.coverage().cameras[0].watched_ms == 3 * 200 + 1


def test_what_cannot_be_stored_is_set_aside_with_the_reason(
    server, writer_to, place, one, until
) -> None:
    client = server.client()
    add(client, pack_sighting(one(1), b""))
    client.xadd(STREAM, {"temperature": "21"})
    client.xadd(STREAM, {**pack_sighting(one(2), b"").fields(), b"e": b"cut"})
    client.xadd(STREAM, {**pack_sighting(one(2), b"").fields(), b"v": b"\x09"})
    add(client, pack_sighting(one(3, model="another"), b""), pack_span(until(3), "another"))
    add(client, pack_sighting(one(4, camera="no/name"), b""), pack_sighting(one(5), b""))
    writer = writer_to(server)
    status = run(writer)
    assert (status.stored, status.dead) == (2, 6)
    writer.close()
    assert stored(place) == ids(one, (1, 5))
    dead = client.xrange(STREAM + DEAD)
    reasons = [fields[b"reason"].decode() for _, fields in dead]
    for reason, wanted in zip(
        reasons,
        ("no entry of ours", "damaged", "version", "model 'another'", "camera", "of model"),
        strict=True,
    ):
        assert wanted in reason
    assert read_fields({k: v for k, v in dead[3][1].items() if len(k) == 1}).kind == "sighting"
    assert client.xpending(STREAM, "gallery")["pending"] == 0


def test_what_was_set_aside_can_be_tried_again(server, writer_to, one) -> None:
    client = server.client()
    client.xadd(STREAM + DEAD, {**pack_sighting(one(1), b"").fields(), b"reason": b"r"})
    writer = writer_to(server)
    assert writer._group.revive() == 1
    assert run(writer).stored == 1
    assert client.xlen(STREAM + DEAD) == 0


def test_a_full_stream_of_another_type_is_waited_for(server, writer_to) -> None:
    server.client().set(STREAM, "text")
    writer = writer_to(server)
    with pytest.raises(AwayError, match="WRONGTYPE"):
        writer.step()


class DyingGroup(StreamGroup):
    """A consumer whose process dies after the gallery has written, before the acknowledgement."""

    def acknowledge(self, ids) -> None:
        """Die."""
        if ids:
            os.kill(os.getpid(), signal.SIGKILL)


DIES = """
import sys
from pathlib import Path
from gallery.gallery import Gallery
from streamer.delivery.keeper import GalleryKeeper
from streamer.delivery.redis_client import connect, redis_address
from streamer.delivery.writer import Writer, WriterPace
sys.path.insert(0, sys.argv[3])
from test_writer import DyingGroup
address = redis_address(sys.argv[1])
keeper = GalleryKeeper(lambda model: Gallery.open(Path(sys.argv[2]), model=model, create=True))
Writer(DyingGroup(connect(address), address, sys.argv[4]), keeper).step()
"""


@pytest.mark.parametrize("name", ["w1", "another"])
def test_a_writer_killed_between_write_and_acknowledgement(
    server, writer_to, place, one, name: str
) -> None:
    """The next one, of the same name or taking over, stores it all again; nothing is double."""
    client = server.client()
    add(client, *(pack_sighting(one(number), b"crop") for number in range(20)))
    words = [server.address.url, str(place), str(Path(__file__).parent), name]
    done = subprocess.run(
        [sys.executable, "-c", DIES, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert stored(place) == ids(one, range(20))
    assert client.xpending(STREAM, "gallery")["pending"] == 20
    writer = writer_to(server)
    status = run(writer)
    writer.close()
    assert status.stored == 20
    assert status.taken_over == (0 if name == "w1" else 20)
    assert client.xpending(STREAM, "gallery")["pending"] == 0
    assert stored(place) == ids(one, range(20))


def test_the_gallery_fails_and_is_opened_again(server, writer_to, place, one, monkeypatch) -> None:
    client = server.client()
    add(client, *(pack_sighting(one(number), b"") for number in range(5)))
    failing = [3]
    opened = []

    def open_gallery(model: str) -> Gallery:
        opened.append(model)
        if failing[0] == 3:
            failing[0] = 2
            raise StoreError("the store is away")
        return Gallery.open(place, model=model, create=True)

    write = Gallery.write

    def unwilling(self: Gallery, sightings) -> None:
        if failing[0]:
            failing[0] -= 1
            self._store._broken = "broken by the test"
            raise StoreError("cannot write")
        write(self, sightings)

    monkeypatch.setattr(Gallery, "write", unwilling)
    pace = WriterPace(block_s=0.05, backoff_high_s=0.3)
    writer = writer_to(server, keeper=GalleryKeeper(open_gallery), pace=pace)
    seen: list[str] = []
    status = run(writer, progress=lambda status: seen.append(status.away))
    assert {"the store is away", "cannot write", ""} <= set(seen)
    assert len(opened) == 4
    assert (status.stored, status.away) == (5, "")
    writer.close()
    assert stored(place) == ids(one, range(5))


def test_two_writers_share_the_work_and_coverage_waits_for_both(
    server, writer_to, place, one, until
) -> None:
    """The first has been given sightings and stalls; the second may not claim their time."""
    client = server.client()
    with Gallery.open(place, model="model-a", create=True) as gallery:
        first = writer_to(server, "w1", keeper=GalleryKeeper(lambda model: gallery))
        second = writer_to(server, "w2", keeper=GalleryKeeper(lambda model: gallery))
        first.step()
        second.step()
        add(client, pack_sighting(one(0), b""))
        stalled = first._group.fresh(100)
        assert len(stalled) == 1
        add(client, pack_sighting(one(1), b""), pack_span(until(1), "model-a"))
        assert second.step() == 2
        assert [each.id for each in gallery.sightings()] == [one(1).id]
        assert gallery.coverage().cameras == () or not gallery.coverage().cameras[0].watched_ms
        assert second.status.held == 1
        first._store(stalled)
        second.step()
        assert second.status.held == 0
        assert gallery.coverage().cameras[0].watched_ms == 201
        assert {each.id for each in gallery.sightings()} == {one(0).id, one(1).id}
        first._keeper._gallery = second._keeper._gallery = None


def test_only_what_every_group_has_stored_is_cut_off(server, writer_to, one) -> None:
    client = server.client()
    other = StreamGroup(client, server.address, "x", group="other")
    other.join()
    add(client, *(pack_sighting(one(number), b"") for number in range(10)))
    writer = writer_to(server)
    run(writer)
    group = writer._group
    assert (group.trim(0.0), client.xlen(STREAM)) == (0, 10)
    given = other.fresh(100, 6)
    assert (group.trim(0.0), client.xlen(STREAM)) == (0, 10)
    other.acknowledge([each.id for each in given if each is not given[2]])
    assert (group.trim(0.0), client.xlen(STREAM)) == (2, 8)
    other.acknowledge([given[2].id])
    assert group.trim(3600.0) == 0
    # The last one that was passed stays: it marks where the group is.
    assert (group.trim(0.0), client.xlen(STREAM)) == (3, 5)
    assert [each.id for each in other.fresh(100, 9)] == [each[0] for each in client.xrange(STREAM)][
        1:
    ]


def test_what_a_power_cut_took_from_the_gallery_is_stored_again(
    server, writer_to, place, one
) -> None:
    client = server.client()
    add(client, *(pack_sighting(one(number), b"") for number in range(8)))
    writer = writer_to(server, pace=WriterPace(block_s=0.05))
    run(writer)
    writer.close()
    place.rename(place.with_name("lost"))
    again = writer_to(server, pace=WriterPace(block_s=0.05))
    run(again)
    again.close()
    assert stored(place) == ids(one, range(8))


def test_entries_deleted_by_somebody_are_counted_and_do_not_stop_it(server, writer_to, one) -> None:
    client = server.client()
    writer = writer_to(server)
    writer._join()
    add(client, pack_sighting(one(0), b""), pack_sighting(one(1), b""))
    given = writer._group.fresh(100)
    client.xdel(STREAM, given[0].id)
    status = run(writer)
    assert (status.gone, status.stored) == (1, 1)
    assert client.xpending(STREAM, "gallery")["pending"] == 0


def test_a_redis_that_lost_everything_is_joined_anew(server, writer_to, place, one) -> None:
    client = server.client()
    writer = writer_to(server)
    add(client, pack_sighting(one(0), b""))
    run(writer)
    client.flushall()
    stop = threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    time.sleep(0.3)
    add(client, pack_sighting(one(1), b""))
    deadline_s = time.monotonic() + 20
    while writer.status.stored < 2 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    stop.set()
    thread.join()
    writer.close()
    assert stored(place) == ids(one, range(2))


def test_the_lag_is_what_is_not_stored(server, writer_to, one) -> None:
    client = server.client()
    group = writer_to(server)._group
    assert group.lag().length == group.lag().waiting == 0
    group.join()
    add(client, *(pack_sighting(one(number), b"") for number in range(5)))
    given = group.fresh(100, 2)
    assert (group.lag().length, group.lag().waiting) == (5, 5)
    group.acknowledge([each.id for each in given])
    time.sleep(0.05)
    lag = group.lag()
    assert (lag.length, lag.waiting, lag.dead) == (5, 3, 0)
    assert 0.04 < lag.oldest_s < 20
