import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gallery.coverage_log import CoverageLog
from gallery.errors import InvalidSightingError, StorageFullError, StoreError
from gallery.values import CameraState, CoverageSpan

WATCHED = CameraState.WATCHED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "coverage.sqlite"


def test_span_grows_and_stays_one(path: Path) -> None:
    log = CoverageLog(path)
    for end in (10, 20, 30):
        log.record(CoverageSpan("cam1", WATCHED, 0, end, frames=end, dropped=(("late", end),)))
    log.record(CoverageSpan("cam1", WATCHED, 0, 30, frames=30, dropped=(("late", 30),)))
    log.close()
    log = CoverageLog(path)
    assert log.spans(0, 100) == [
        CoverageSpan("cam1", WATCHED, 0, 30, frames=30, dropped=(("late", 30),))
    ]
    assert log.cameras == ("cam1",)
    assert log.extent() == (0, 30)
    log.close()


def test_second_ingest_that_stops_early_takes_nothing_away(path: Path) -> None:
    log = CoverageLog(path)
    whole = CoverageSpan("cam1", WATCHED, 0, 60, frames=600)
    log.record(whole)
    log.record(CoverageSpan("cam1", WATCHED, 0, 12, frames=120))
    log.record(CoverageSpan("cam1", CameraState.DOWN, 0, 3, reason="refused"))
    assert whole in log.spans(0, 100)
    assert len(log.spans(0, 100)) == 2
    log.close()


def test_spans_are_those_that_reach_into_the_interval(path: Path) -> None:
    log = CoverageLog(path)
    assert log.extent() is None
    for camera in ("cam1", "cam2"):
        for start in (0, 10, 20):
            log.record(CoverageSpan(camera, WATCHED, start, start + 10))
    assert [one.start_ms for one in log.spans(10, 20, ["cam2"])] == [10]
    assert len(log.spans(9, 21)) == 6
    log.close()


@pytest.mark.parametrize(
    "span",
    [
        CoverageSpan("a b", WATCHED, 0, 1),
        CoverageSpan("cam1", WATCHED, 5, 4),
        CoverageSpan("cam1", WATCHED, -1, 4),
    ],
)
def test_span_that_cannot_be(path: Path, span: CoverageSpan) -> None:
    log = CoverageLog(path)
    with pytest.raises(InvalidSightingError, match="coverage"):
        log.record(span)
    assert log.cameras == ()
    log.close()


def test_damaged_and_newer_files(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"cannot open .*coverage\.sqlite: .*not a database"):
        CoverageLog(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreError, match="has version 9, this Sightline knows 1"):
        CoverageLog(path)


def fill(log: CoverageLog) -> None:
    for start in range(1000):
        log.record(CoverageSpan("cam1", WATCHED, start, start + 1, reason="x" * 200))


def test_full_file_system(path: Path) -> None:
    log = CoverageLog(path)
    log._connection.execute("PRAGMA max_page_count = 4")
    with pytest.raises(StorageFullError, match=r"cannot write to .*: database or disk is full"):
        fill(log)
    assert log.spans(0, 10)
    log.close()


def test_record_survives_its_writer(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gallery.coverage_log import CoverageLog\n"
        "from gallery.values import CameraState, CoverageSpan\n"
        "CoverageLog(Path(sys.argv[1])).record(\n"
        "    CoverageSpan('cam1', CameraState.WATCHED, 0, 7))\n"
        "os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert run.returncode == -9
    log = CoverageLog(path)
    assert log.extent() == (0, 7)
    log.close()
