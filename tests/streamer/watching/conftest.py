"""Fixtures of the tests of watching: an ingest's report and snapshot, made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.engine import EngineInfo
from streamer.camera import State
from streamer.delivery.pump import PumpStatus
from streamer.status import CameraReport, IngestStatus
from streamer.watching.publisher import Publisher
from streamer.watching.snapshot import Phase

QUIET = PumpStatus(waiting=0, oldest_s=0.0, kept=0, bytes=0, sent=0, refused=0, away="")


@pytest.fixture
def report() -> Callable[..., CameraReport]:
    """Give a way to make a camera's report."""

    def make(name: str = "door", state: State = State.LIVE, **more: Any) -> CameraReport:
        return CameraReport(name, state, "rtsp://***@h/s", **more)

    return make


@pytest.fixture
def status() -> Callable[..., IngestStatus]:
    """Give a way to make the status of all cameras at a second of an ingest."""

    def make(seconds: float, *cameras: CameraReport, **more: Any) -> IngestStatus:
        return IngestStatus(cameras, seconds, **more)

    return make


@pytest.fixture
def info() -> EngineInfo:
    """Give an engine that says what it is."""
    return EngineInfo(
        model="ab" * 32, name="tiny", backend="onnxruntime", input_hw=(32, 48), max_persons=4,
        dim=256, score_threshold=0.5, query_boxes=3, path=Path(), precision="fp32",
        reason="nothing else was verified",
    )  # fmt: skip


@pytest.fixture
def publisher(tmp_path: Path, info: EngineInfo) -> Callable[..., Publisher]:
    """Give a way to make a publisher into ``tmp_path``; the caller starts and closes it."""

    def make(**more: Any) -> Publisher:
        given = {"engine": lambda: info, "delivery": lambda: QUIET, "version": "1.2.3", **more}
        return Publisher(tmp_path, **given)

    return make


@pytest.fixture
def snapshot(publisher: Callable[..., Publisher], status: Callable[..., IngestStatus]) -> Any:
    """Give a way to make a snapshot of some cameras, as a publisher takes it."""

    def make(*cameras: CameraReport, seconds: float = 60.0, **more: Any) -> Any:
        one = publisher()
        one.see(status(seconds, *cameras, batches=10, batch=4))
        one.close()
        return one.snapshot.model_copy(update={"phase": Phase.RUNNING, **more})

    return make
