"""Sightings made to order, real Redis servers that can be killed, and galleries to fill."""

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

from gallery.gallery import Gallery
from gallery.values import CameraState, CoverageSpan, Sighting, sighting_id
from streamer.delivery.group import StreamGroup
from streamer.delivery.keeper import GalleryKeeper
from streamer.delivery.redis_client import RedisAddress, connect, redis_address
from streamer.delivery.redis_target import RedisTarget
from streamer.delivery.server import LocalRedis, find_program
from streamer.delivery.sink import SpoolingSink
from streamer.delivery.spool import Spool
from streamer.delivery.writer import Writer, WriterPace
from streamer.errors import ServerError

MODEL = "model-a"
START_MS = 1_772_460_000_000
QUICK = WriterPace(block_s=0.05, claim_s=0.3, keep_s=0.0, tidy_s=0.05, backoff_high_s=0.3)


def make_one(number: int, camera: str = "cam1", model: str = MODEL) -> Sighting:
    """Return sighting number so-and-so of a camera; the same number gives the same sighting."""
    row = np.random.default_rng(number).standard_normal(256)
    at_ms = START_MS + number * 200
    tracklet = f"{camera}/{at_ms}-0"
    return Sighting(
        id=sighting_id(camera, tracklet, at_ms),
        camera=camera,
        captured_at_ms=at_ms,
        tracklet=tracklet,
        box=(10.25, 20.5, 30.75, 90.0),
        score=0.75,
        quality=0.5,
        embedding=(row / np.linalg.norm(row)).astype(np.float32),
        crop="",
        model=model,
        frame_wh=(640, 480),
    )


def until_of(number: int) -> CoverageSpan:
    """Return the span that claims all time up to and including a sighting of cam1."""
    end_ms = START_MS + number * 200 + 1
    return CoverageSpan(
        "cam1", CameraState.WATCHED, START_MS, end_ms, number, number, (), "", MODEL
    )


class Server:
    """A Redis server that can be killed and started again in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: LocalRedis | None = None
        self.start()

    def start(self) -> None:
        """Start it, again."""
        self.running = LocalRedis(self.folder)

    @property
    def address(self) -> RedisAddress:
        """Where it is."""
        return redis_address(f"unix://{self.folder.resolve()}/redis.sock")

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self.running is not None
        os.kill(self.running.pid, signal.SIGKILL)
        self.running.stop()

    def client(self) -> Any:
        """Give a new client."""
        return connect(self.address)


@pytest.fixture(scope="session")
def redis_program() -> Path:
    """Give the server program; skip without one, fail if REQUIRE_REDIS=1."""
    try:
        return find_program()
    except ServerError as error:
        if os.environ.get("REQUIRE_REDIS") == "1":
            pytest.fail(f"REQUIRE_REDIS=1, but {error}")
        pytest.skip(str(error))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Give a folder with a short path: that of a socket may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sld-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(redis_program: Path, short_folder: Path) -> Iterator[Server]:
    """Give a running server."""
    made = Server(short_folder / "redis")
    yield made
    assert made.running is not None
    made.running.stop()


@pytest.fixture
def one() -> Callable[..., Sighting]:
    return make_one


@pytest.fixture
def until() -> Callable[[int], CoverageSpan]:
    return until_of


@pytest.fixture
def sink_to(tmp_path: Path) -> Callable[..., SpoolingSink]:
    """Give a way to make a sink that sends to a server."""

    def make(server: Server, name: str = "spool", **more: Any) -> SpoolingSink:
        settle_s = more.pop("settle_s", 0.5)
        target = RedisTarget(server.client(), server.address, settle_s=settle_s)
        return SpoolingSink(Spool(tmp_path / name / "spool.sqlite"), target, model=MODEL, **more)

    return make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give the folder of the gallery."""
    return tmp_path / "gallery"


def open_at(place: Path, model: str = MODEL) -> Gallery:
    """Open the gallery there, or make it."""
    return Gallery.open(place, model=model, create=True)


@pytest.fixture
def writer_to(place: Path) -> Iterator[Callable[..., Writer]]:
    """Give a way to make writers from a server into the gallery; they are closed at the end."""
    made: list[Writer] = []

    def make(server: Server, name: str = "w1", **more: Any) -> Writer:
        keeper = more.pop("keeper", None) or GalleryKeeper(lambda model: open_at(place, model))
        group = more.pop("group", StreamGroup)(server.client(), server.address, name)
        writer = Writer(group, keeper, pace=more.pop("pace", QUICK), **more)
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a file system of so many MiB in memory."""
    mounted: list[Path] = []

    def mount(size_mib: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
        if shutil.which("mount") is None:
            pytest.skip("no mount command: a small disk cannot be made")
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {run.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Give a way to wait until something holds."""

    def wait(holds: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline_s = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline_s, "it did not come to hold"
            time.sleep(0.02)

    return wait
