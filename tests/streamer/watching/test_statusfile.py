"""The status file: private, whole, one writer, and never mistaken for a living ingest."""

import json
import stat
import time
from pathlib import Path

import pytest

from streamer.errors import StatusFileError
from streamer.watching.statusfile import Liveness, StatusFile, look


@pytest.fixture
def written(tmp_path, snapshot, report):
    """Give a status file that was written once and is still held."""
    made = snapshot(report())
    with_file = StatusFile(tmp_path)
    with_file.write(made)
    yield made
    with_file.close()


def test_it_is_read_back_whole_and_nobody_else_may_read_it(tmp_path, written) -> None:
    found = look(tmp_path, written.heartbeat_s + 1)
    assert (found.liveness, found.snapshot) == (Liveness.RUNNING, written)
    run = tmp_path / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.iterdir()} == {0o600}
    assert sorted(path.name for path in run.iterdir()) == ["ingest.json", "ingest.lock"]


def test_where_none_ever_ran(tmp_path) -> None:
    found = look(tmp_path, time.monotonic())
    assert (found.liveness, found.snapshot, found.alive) == (Liveness.NONE, None, False)


def test_age_tells_running_from_stuck_and_stale(tmp_path, written, snapshot, report) -> None:
    now_s = written.heartbeat_s
    assert look(tmp_path, now_s + 3.5).liveness is Liveness.RUNNING
    assert look(tmp_path, now_s + 4.5).liveness is Liveness.STALE
    # Written before the machine was booted again, when its clock had run for longer.
    assert look(tmp_path, now_s - 100).liveness is Liveness.STALE


def test_it_writes_but_its_loop_does_not_pass(tmp_path, snapshot, report) -> None:
    made = snapshot(report())
    stuck = made.model_copy(update={"ticked_s": made.heartbeat_s - 5})
    file = StatusFile(tmp_path)
    file.write(stuck)
    assert look(tmp_path, made.heartbeat_s).liveness is Liveness.STUCK
    file.close()


def test_without_its_lock_it_is_dead_at_once(tmp_path, snapshot, report) -> None:
    made = snapshot(report())
    file = StatusFile(tmp_path)
    file.write(made)
    file.close()
    assert look(tmp_path, made.heartbeat_s).liveness is Liveness.DIED


def test_a_second_ingest_is_refused(tmp_path, written) -> None:
    with pytest.raises(StatusFileError, match="belongs to another ingest that runs now"):
        StatusFile(tmp_path)


def test_a_reader_never_keeps_an_ingest_from_starting(tmp_path, written) -> None:
    for _ in range(50):
        look(tmp_path, written.heartbeat_s)
    assert len(list(Path("/proc/self/fd").iterdir())) < 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is damaged"),
        ("[]", "has format None"),
        ('{"format": 9}', "has format 9, this Sightline knows 1"),
        ('{"format": 1}', "is damaged: version: Field required"),
    ],
)
def test_a_damaged_or_foreign_file_is_told(tmp_path, written, text, told) -> None:
    (tmp_path / "run" / "ingest.json").write_text(text)
    with pytest.raises(StatusFileError, match=told):
        look(tmp_path, written.heartbeat_s)


def test_a_folder_that_cannot_be_made_is_told(tmp_path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(StatusFileError, match=r"cannot make .*run"):
        StatusFile(tmp_path)


def test_readers_never_see_half_a_file(tmp_path, snapshot, report) -> None:
    made = snapshot(*[report(f"c{number}") for number in range(40)])
    file = StatusFile(tmp_path)
    file.write(made)
    for _ in range(30):
        file.write(made)
        assert len(json.loads((tmp_path / "run" / "ingest.json").read_text())["cameras"]) == 40
    file.close()
