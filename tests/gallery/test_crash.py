"""A writer that is killed: what it was told is stored is there, and writing it again adds none."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gallery.gallery import Gallery

WRITER = """
import sys
from pathlib import Path
import numpy as np
from gallery.disk import DiskGuard
from gallery.gallery import Gallery, find_or_make
from gallery.store import FlushPolicy
from gallery.values import CameraState, CoverageSpan, Sighting, sighting_id

path, start = Path(sys.argv[1]), int(sys.argv[2])
manifest = find_or_make(path, model="m", create=True)
gallery = Gallery(path, manifest, flush=FlushPolicy(rows=120, seconds=0.2))
rng = np.random.default_rng(start)
for number in range(start, 10**9, 20):
    rows = rng.standard_normal((20, 256))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    batch = []
    for offset, row in enumerate(rows.astype(np.float32)):
        at_ms = 1_772_438_400_000 + (number + offset) * 60_000
        name = sighting_id("cam1", "cam1/0-1", at_ms)
        batch.append(Sighting(
            name, "cam1", at_ms, "cam1/0-1", (0, 0, 1, 1), 1, 1, row, "", "m"))
    gallery.write(batch)
    gallery.record(CoverageSpan("cam1", CameraState.WATCHED, 1_772_438_400_000, at_ms))
    print(number, flush=True)
"""
ROUNDS = 4


def run_and_kill(path: Path, start: int, after_s: float) -> list[int]:
    """Let a writer work and kill it; returns the batches that it said were stored."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    said = [int(writer.stdout.readline())]
    time.sleep(after_s)
    writer.kill()
    out, err = writer.communicate()
    assert err == ""
    lines = out.splitlines(keepends=True)
    return said + [int(line) for line in lines if line.endswith("\n")]


@pytest.mark.timeout(180)
def test_killed_writer_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "g"
    stored: set[int] = set()
    start = 0
    for _ in range(ROUNDS):
        stored |= set(run_and_kill(path, start, chance.uniform(0.05, 0.8)))
        with Gallery.open(path) as gallery:
            found = [one.captured_at_ms for one in gallery.sightings()]
            assert len(found) == len(set(found))
            numbers = {(at_ms - 1_772_438_400_000) // 60_000 for at_ms in found}
            assert {first + step for first in stored for step in range(20)} <= numbers
            assert gallery.coverage().until_ms >= max(stored) * 60_000
        start = max(0, max(stored) - 100)
