"""``sightline train synth`` from outside."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer.site import load_site

Run = Callable[..., Any]
SMALL = ("--cameras", "2", "--people", "4", "--seconds", "3", "--fps", "2", "--seed", "11")


def test_synth_writes_a_world_that_can_be_ingested(sightline: Run, tmp_path: Path) -> None:
    outcome = sightline("train", "synth", "world", *SMALL, "--difficulty", "easy", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert (found["people"], found["seed"], found["difficulty"]) == (4, 11, "easy")
    assert set(load_site(Path(found["site"])).cameras) == {"cam1", "cam2"}
    assert json.loads(Path(found["journeys"]).read_text())["journeys"]
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_synth_does_not_write_over_things(sightline: Run, tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "diary.txt").write_text("dear diary")
    outcome = sightline("train", "synth", "world", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    assert "not an empty folder" in outcome.err
    assert [path.name for path in tmp_path.rglob("*")] == ["world", "diary.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_synth_stopped_leaves_nothing(start: Run, tmp_path: Path, number: signal.Signals) -> None:
    with start("train", "synth", "world", "--cameras", "1", "--seconds", "600") as process:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert list(tmp_path.iterdir()) == []
