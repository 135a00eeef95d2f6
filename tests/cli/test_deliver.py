"""``sightline redis`` and ``sightline deliver``: two real processes and a gallery."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.doctor import check_redis
from gallery.gallery import Gallery
from gallery.values import Sighting, sighting_id
from streamer.delivery.redis_client import connect, redis_address
from streamer.delivery.redis_target import STREAM, RedisTarget
from streamer.delivery.server import find_program
from streamer.delivery.sink import SpoolingSink
from streamer.delivery.spool import Spool
from streamer.errors import ServerError

pytestmark = pytest.mark.services
Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]


def sightings(count: int) -> list[Sighting]:
    """Return sightings of one camera, a second apart."""
    found = []
    for number in range(count):
        at_ms = 1_772_460_000_000 + number * 1000
        tracklet = f"hall/{at_ms}-0"
        vector = np.eye(256, dtype=np.float32)[number % 256]
        name = sighting_id("hall", tracklet, at_ms)
        box = (1.0, 2.0, 30.0, 90.0)
        found.append(
            Sighting(name, "hall", at_ms, tracklet, box, 0.9, 0.8, vector, "", "m", (9, 9))
        )
    return found


@pytest.fixture
def running(start: Start) -> Iterator[Start]:
    """Start ``sightline`` processes that are killed at the end, should they still run."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str | Path, **more: Any) -> subprocess.Popen[str]:
        processes.append(start(*words, **more))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def redis_url(running: Start) -> Iterator[str]:
    """Give the address that ``sightline redis`` prints; skip without a server program."""
    try:
        find_program()
    except ServerError as error:
        if os.environ.get("REQUIRE_REDIS") == "1":
            pytest.fail(f"REQUIRE_REDIS=1, but {error}")
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="sld-", dir="/tmp"))
    server = running("redis", "--dir", folder / "own")
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    began_s = time.monotonic()
    server.send_signal(signal.SIGTERM)
    _, err = server.communicate(timeout=20)
    assert (server.returncode, time.monotonic() - began_s < 5) == (143, True), err
    shutil.rmtree(folder)


def send(url: str, spool: Path, rows: list[Sighting]) -> None:
    """Send sightings as ingest does."""
    address = redis_address(url)
    target = RedisTarget(connect(address), address)
    with SpoolingSink(Spool(spool), target, model="m") as sink:
        sink.write(rows)
        sink.flush()
        assert sink.status().waiting == 0


def test_what_was_sent_is_stored_once(redis_url: str, sightline: Run, tmp_path: Path) -> None:
    send(redis_url, tmp_path / "s.sqlite", sightings(12))
    send(redis_url, tmp_path / "s.sqlite", sightings(12))
    words = ["deliver", "--redis", redis_url, "--gallery", "g", "--once", "--json"]
    outcome = sightline(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.document["stored"] >= 24
    assert (outcome.document["dead"], outcome.document["away"]) == (0, "")
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.info().sightings == 12
    assert sightline(*words[:-1]).out.startswith("gallery")


def test_as_a_service_it_stores_at_once_and_stops_within_five_seconds(
    redis_url: str, running: Start, tmp_path: Path
) -> None:
    service = running("deliver", "--redis", redis_url, "--gallery", "g", "--json")
    client: Any = connect(redis_address(redis_url))
    send(redis_url, tmp_path / "s.sqlite", sightings(5))
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        groups = client.xinfo_groups(STREAM)
        if groups and groups[0]["pending"] == 0 and groups[0]["lag"] == 0:
            break
        time.sleep(0.05)
    began_s = time.monotonic()
    service.send_signal(signal.SIGTERM)
    out, err = service.communicate(timeout=30)
    assert time.monotonic() - began_s < 5
    assert service.returncode == 143, err
    assert json.loads(out)["stored"] == 5


def test_a_second_redis_in_the_folder_is_refused(redis_url: str, sightline: Run) -> None:
    folder = Path(redis_url.removeprefix("unix://")).parent
    outcome = sightline("redis", "--dir", folder)
    assert outcome.code == 5
    assert f"runs in {folder} already: {redis_url}" in outcome.err


def test_a_gallery_in_use_is_5(redis_url: str, sightline: Run, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "g", model="m", create=True):
        outcome = sightline("deliver", "--redis", redis_url, "--gallery", "g", "--once")
    assert outcome.code == 5
    assert "in use by another process" in outcome.err


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://h", 2, "want one of redis://"),
        ("redis://${NOT_SET}@h", 2, "environment variable NOT_SET is not set"),
        ("redis://me:hunter22@127.0.0.1:1/0", 5, "cannot ask Redis at redis://***@127.0.0.1:1/0"),
    ],
)
def test_an_address_that_leads_nowhere(sightline: Run, url: str, code: int, said: str) -> None:
    outcome = sightline("deliver", "--redis", url, "--gallery", "g", "--once")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert "hunter22" not in outcome.err


def test_doctor_tells_whether_redis_answers(redis_url: str, tmp_path: Path) -> None:
    send(redis_url, tmp_path / "s.sqlite", sightings(3))
    found = check_redis(redis_url)
    assert (found.ok, found.required) == (True, True)
    assert "3 entries wait" in found.detail
    connect(redis_address(redis_url)).config_set("appendonly", "no")
    assert "no append-only file" in check_redis(redis_url).detail
    assert not check_redis(redis_url).ok
    gone = check_redis("redis://me:hunter22@127.0.0.1:1")
    assert (gone.ok, gone.required) == (False, True)
    assert "hunter22" not in gone.detail


def test_ingest_through_redis_gives_the_gallery_that_ingest_alone_gives(
    redis_url: str, sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    camera = ("--camera", f"door={clip}", "--engine", bundle)
    alone = sightline("ingest", *camera, "--gallery", "alone", "--json")
    assert alone.document["delivery"]["waiting"] == 0
    sent = sightline("ingest", *camera, "--redis", redis_url, "--spool", "s", "--json")
    assert sent.code == 0, sent.err
    assert (sent.document["gallery"], sent.document["redis"]) == (None, redis_url)
    assert sent.document["delivery"]["waiting"] == 0
    assert sightline("deliver", "--redis", redis_url, "--gallery", "g", "--once").code == 0
    with Gallery.open(tmp_path / "alone") as first, Gallery.open(tmp_path / "g") as second:
        assert len(first.sightings()) == second.info().sightings > 5
        for one, other in zip(first.sightings(), second.sightings(), strict=True):
            assert (one.id, one.box, one.crop) == (other.id, other.box, other.crop)
            assert first.crop(one) == second.crop(other)
        assert first.coverage().cameras[0].watched_ms == second.coverage().cameras[0].watched_ms


def test_with_redis_away_all_waits_in_the_spool_and_the_password_is_not_told(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        f"cameras: {{door: {{url: {clip}}}}}\n"
        "delivery: {redis: 'redis://me:${PW}@127.0.0.1:1', spool: waiting}\n"
    )
    outcome = sightline("ingest", site, "--engine", bundle, "--json", env={"PW": "hunter22"})
    assert outcome.code == 5
    assert "entries wait in" in outcome.err
    assert "hunter22" not in outcome.err + outcome.out
    spool = Spool(tmp_path / "waiting" / "spool.sqlite")
    assert spool.count == outcome.document["delivery"]["waiting"] > 5
    spool.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--spool", "s"], "--stream and --spool go with --redis"),
        (["--redis", "redis://h", "--gallery", "g"], "sightings go to one of them"),
        (["--redis", "ftp://h"], "want one of redis://"),
    ],
)
def test_options_that_do_not_go_together(
    sightline: Run, clip: Path, words: list[str], said: str
) -> None:
    outcome = sightline("ingest", "--camera", f"door={clip}", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
