"""Everything dies while sightings come: each that was acknowledged is found, and once.

The short drills run always; the long one (``-m slow``) kills Redis for 15 s, the writer and the
producer, and prints what it measured.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gallery.errors import StorageFullError
from gallery.gallery import Gallery
from streamer.delivery.entry import SightingMessage, pack_sighting, read_fields, unpack
from streamer.delivery.keeper import GalleryKeeper, GalleryTarget
from streamer.delivery.redis_target import STREAM, RedisTarget
from streamer.delivery.sink import SpoolingSink
from streamer.delivery.spool import Spool
from streamer.errors import AwayError

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[3]
FIRST_MS = 1_772_460_000_000


def stored(place: Path) -> list[int]:
    """Return the numbers of all rows of the gallery, and hold that none is there twice."""
    with Gallery.open(place) as gallery:
        found = gallery.sightings()
        assert gallery.info().sightings == len(found)
        for one in found:
            assert gallery.crop(one), one.id
        return sorted((one.captured_at_ms - FIRST_MS) // 200 for one in found)


@pytest.fixture
def running() -> Iterator[Callable[[Any], threading.Event]]:
    """Give a way to let a writer run in a thread; it is stopped at the end."""
    stops: list[tuple[threading.Event, threading.Thread]] = []

    def begin(writer: Any) -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=writer.run, args=(stop,))
        thread.start()
        stops.append((stop, thread))
        return stop

    yield begin
    for stop, thread in stops:
        stop.set()
        thread.join()


def produce(
    sink: SpoolingSink, one, numbers, *, pause_s: float = 0.01, crop: int = 1000
) -> list[float]:
    """Write sightings with crops; return how long each write took, s."""
    took = []
    for number in numbers:
        sink.put_crop(one(number).id, "cam1", one(number).captured_at_ms, b"\xff" * crop)
        began_s = time.monotonic()
        sink.write([one(number)])
        took.append(time.monotonic() - began_s)
        time.sleep(pause_s)
    return took


def test_redis_is_killed_twice_while_sightings_come(
    server, sink_to, writer_to, running, place, one, until, eventually
) -> None:
    writer = writer_to(server)
    running(writer)
    with sink_to(server) as sink:
        produce(sink, one, range(40))
        for start in (40, 80):
            server.kill()
            took = produce(sink, one, range(start, start + 40))
            assert max(took) < 1.0
            assert sink.status().away
            server.start()
        sink.record(until(119))
        eventually(lambda: sink.status().waiting == 0)
        eventually(lambda: writer.status.coverage >= 1)
    assert writer.status.away == ""
    writer._group.lag()
    eventually(lambda: writer._group.lag().waiting == 0)
    gallery = writer._keeper.gallery
    assert gallery.coverage().cameras[0].watched_ms == 119 * 200 + 1
    assert gallery.info().sightings == 120
    assert len({each.id for each in gallery.sightings()}) == 120


def test_what_a_power_cut_took_from_redis_is_sent_again(
    server, sink_to, writer_to, place, one, eventually
) -> None:
    """Redis comes back without its file, while nothing new is sent."""
    with sink_to(server, settle_s=3.0) as sink:
        produce(sink, one, range(20))
        sink.flush()
        server.kill()
        shutil.rmtree(server.folder / "appendonlydir")
        server.start()
        assert server.client().xlen(STREAM) == 0
        eventually(lambda: server.client().xlen(STREAM) == 20)
        eventually(lambda: sink.status().kept == 0)
    writer = writer_to(server)
    writer.run(threading.Event(), until_empty=True)
    writer.close()
    assert stored(place) == list(range(20))


def test_a_redis_without_memory_takes_no_more_and_nothing_is_lost(
    server, sink_to, writer_to, place, one, eventually
) -> None:
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_500_000)
    with sink_to(server) as sink:
        produce(sink, one, range(400), pause_s=0, crop=12_000)
        eventually(lambda: "'maxmemory'" in sink.status().away)
        assert "pipeline" not in sink.status().away
        assert sink.status().waiting > 0
        writer = writer_to(server)

        def stores() -> bool:
            writer.step()
            return sink.status().waiting == 0

        eventually(stores, 60)
    writer.run(threading.Event(), until_empty=True)
    writer.close()
    assert stored(place) == list(range(400))


def test_a_batch_enters_the_stream_whole_or_not_at_all(server, one) -> None:
    """Else coverage could get there without a sighting before it."""
    client = server.client()
    target = RedisTarget(client, server.address)
    target.send([pack_sighting(one(0), b"")])
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_500_000)
    batch = [pack_sighting(one(number), bytes(50_000)) for number in range(1, 60)]
    with pytest.raises(AwayError, match="maxmemory"):
        target.send(batch)
    assert client.xlen(STREAM) == 1
    client.config_set("maxmemory", 0)
    target.send(batch)
    assert client.xlen(STREAM) == 60


def test_a_full_gallery_takes_it_all_when_there_is_room_again(
    tmp_path: Path, place: Path, one, until, eventually, monkeypatch
) -> None:
    """Without Redis: ingest and gallery in one process, with a spool between."""
    full = threading.Event()
    full.set()
    write = Gallery.write

    def unwilling(self: Gallery, sightings) -> None:
        if full.is_set() and len(sightings):
            raise StorageFullError("the disk is full")
        write(self, sightings)

    monkeypatch.setattr(Gallery, "write", unwilling)
    keeper = GalleryKeeper(lambda model: Gallery.open(place, model=model, create=True))
    with SpoolingSink(
        Spool(tmp_path / "s.sqlite"), GalleryTarget(keeper), model="model-a", drain_s=10
    ) as sink:
        produce(sink, one, range(30))
        sink.record(until(29))
        eventually(lambda: sink.status().away == "the disk is full")
        assert sink.status().waiting >= 30
        full.clear()
        sink.flush()
        assert sink.status().waiting == 0
    assert stored(place) == list(range(30))
    with Gallery.open(place) as gallery:
        assert gallery.coverage().cameras[0].watched_ms == 29 * 200 + 1
    assert Spool(tmp_path / "s.sqlite").count == 0


PRODUCER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import MODEL, make_one, until_of
from streamer.delivery.redis_client import connect, redis_address
from streamer.delivery.redis_target import RedisTarget
from streamer.delivery.sink import SpoolingSink
from streamer.delivery.spool import Spool
from streamer.errors import AwayError

address = redis_address(sys.argv[2])
target = RedisTarget(connect(address), address)
first, rate = int(sys.argv[4]), float(sys.argv[5])
with SpoolingSink(Spool(Path(sys.argv[3])), target, model=MODEL) as sink:
    for number in range(first, 10**9):
        one = make_one(number)
        sink.put_crop(one.id, one.camera, one.captured_at_ms, bytes(8000))
        began = time.monotonic()
        sink.write([one])
        print(number, round(1000 * (time.monotonic() - began), 2), flush=True)
        sink.record(until_of(number))
        time.sleep(max(0.0, 1 / rate - (time.monotonic() - began)))
"""


class Producer:
    """An ingest of its own process that says which sightings were acknowledged."""

    def __init__(self, server: Any, spool: Path, log: Path) -> None:
        self._words = [str(Path(__file__).parent), server.address.url, str(spool)]
        self._log = log
        log.touch()

    def start(self, rate: float) -> None:
        """Go on after the last number that was acknowledged."""
        told = self.acknowledged()
        words = [*self._words, str(len(told)), str(rate)]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PRODUCER, *words],
                stdout=out,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def kill(self) -> None:
        """Kill it as a crash would."""
        self._process.kill()
        self._process.wait()

    def acknowledged(self) -> dict[int, float]:
        """Return the numbers that were acknowledged, and how long that took, ms."""
        lines = self._log.read_text().splitlines(keepends=True)
        words = [line.split() for line in lines if line.endswith("\n")]
        return {int(number): float(took) for number, took in words}


def test_a_producer_that_is_killed_leaves_what_it_acknowledged_to_the_next(
    server, sink_to, writer_to, place, tmp_path: Path, eventually
) -> None:
    """Redis is away all the time, so that everything lies in the spool when it is killed."""
    server.kill()
    producer = Producer(server, tmp_path / "spool" / "spool.sqlite", tmp_path / "told")
    producer.start(200)
    eventually(lambda: len(producer.acknowledged()) >= 30, 60)
    producer.kill()
    told = producer.acknowledged()
    server.start()
    with sink_to(server, drain_s=10) as sink:
        sink.flush()
        assert sink.status().waiting == 0
    writer = writer_to(server)
    writer.run(threading.Event(), until_empty=True)
    writer.close()
    assert set(told) <= set(stored(place))
    assert len(stored(place)) - len(told) in (0, 1)


def newest(client: Any) -> int:
    """Return the number of the newest sighting in the stream."""
    rows = client.xrevrange(STREAM, count=200)
    messages = [unpack(read_fields(fields)) for _, fields in rows]
    looks = [each.sighting for each in messages if isinstance(each, SightingMessage)]
    return max((each.captured_at_ms - FIRST_MS) // 200 for each in looks)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_long_drill(server, sink_to, place, tmp_path: Path, eventually, capsys) -> None:
    producer = Producer(server, tmp_path / "spool" / "spool.sqlite", tmp_path / "told")
    deliver = [sys.executable, "-m", "cli.main", "deliver", "--redis", server.address.url,
               "--gallery", str(place), "--quiet", "--json"]  # fmt: skip

    def start_writer() -> Any:
        return subprocess.Popen(deliver, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    producer.start(50)
    writer = start_writer()
    eventually(lambda: len(producer.acknowledged()) >= 250, 60)
    server.kill()
    before = len(producer.acknowledged())
    time.sleep(15)
    during = len(producer.acknowledged()) - before
    server.start()
    client = server.client()
    began_s = time.monotonic()
    sent = len(producer.acknowledged())
    eventually(lambda: newest(client) >= sent - 1, 60)
    caught_up_s = time.monotonic() - began_s
    time.sleep(8)
    writer.kill()
    writer.communicate()
    time.sleep(3)
    writer = start_writer()
    time.sleep(7)
    producer.kill()
    producer.start(50)
    time.sleep(10)
    producer.kill()
    producer.start(1)
    ended_s = time.monotonic()
    eventually(lambda: client.xinfo_groups(STREAM)[0]["pending"] == 0, 60)
    eventually(lambda: client.xinfo_groups(STREAM)[0]["lag"] == 0, 60)
    drained_s = time.monotonic() - ended_s
    producer.kill()
    with sink_to(server, drain_s=10) as sink:
        sink.flush()
    eventually(lambda: client.xinfo_groups(STREAM)[0]["lag"] == 0, 60)
    began_s = time.monotonic()
    writer.send_signal(signal.SIGTERM)
    writer.communicate(timeout=30)
    stopped_s = time.monotonic() - began_s
    told = producer.acknowledged()
    found = stored(place)
    missing = set(told) - set(found)
    took = sorted(told.values())
    with capsys.disabled():
        print(
            f"\n{len(told)} acknowledged, {during} of them while Redis was dead for 15 s; "
            f"all in Redis {caught_up_s:.1f} s after it was back; "
            f"{len(found)} rows, missing {len(missing)}; write p50 {statistics.median(took):.1f}, "
            f"p99 {took[len(took) * 99 // 100]:.1f}, max {took[-1]:.1f} ms; backlog empty "
            f"{drained_s:.1f} s after the end; SIGTERM to exit {stopped_s:.1f} s"
        )
    assert during > 300
    assert missing == set()
    assert writer.returncode == 143
    assert stopped_s < 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_backlog_is_stored_fast(server, writer_to, one, capsys) -> None:
    client = server.client()
    for start in range(0, 5000, 100):
        pipe = client.pipeline(transaction=False)
        for number in range(start, start + 100):
            pipe.xadd(STREAM, pack_sighting(one(number), bytes(15_000)).fields())
        pipe.execute()
    writer = writer_to(server)
    began_s = time.monotonic()
    status = writer.run(threading.Event(), until_empty=True)
    seconds = time.monotonic() - began_s
    with capsys.disabled():
        print(f"\n5000 sightings of 15 kB in {seconds:.1f} s, {5000 / seconds:.0f} a second")
    assert status.stored == 5000
    assert seconds < 60
