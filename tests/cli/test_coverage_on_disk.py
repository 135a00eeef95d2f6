"""Coverage is on the disk as it happens: kill -9 takes a few seconds of it, and it never lies."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from gallery.gallery import Gallery
from streamer.watching.statusfile import look

WATCHED_S = 8
CROSSING_MS = 1_500
"""In the camera's picture a person shows up anew several times a second: no longer than this is
there nobody to be stored."""


def test_after_kill_9_coverage_reaches_almost_to_the_end_and_claims_nothing_more(
    start: Callable[..., Any],
    sightline: Callable[..., Any],
    bundle: Path,
    clip: Path,
    live_camera: Any,
    tmp_path: Path,
) -> None:
    with start(
        "ingest", "--camera", f"door={live_camera.url}", "--gallery", "g", "--engine", bundle,
        "--threads", "1",
    ) as process:  # fmt: skip
        _wait_until_searched(tmp_path / "g", 5 * WATCHED_S, process)
        process.kill()
        killed_ms = round(time.time() * 1000)
        process.communicate(timeout=20)
    # What lay in the spool reaches the gallery by the next ingest, whatever that reads.
    hall = ("ingest", "--camera", f"hall={clip}", "--gallery", "g", "--engine", bundle)
    assert sightline(*hall).code == 0
    with Gallery.open(tmp_path / "g") as gallery:
        (camera,) = gallery.coverage(cameras=["door"]).cameras
        taken_ms = [one.captured_at_ms for one in gallery.sightings(cameras=["door"])]
    (watched,) = camera.watched
    assert killed_ms - 4_000 <= watched.end_ms <= killed_ms
    assert watched.ms >= (WATCHED_S - 4) * 1000
    inside = [at_ms for at_ms in taken_ms if watched.start_ms <= at_ms < watched.end_ms]
    moments = [watched.start_ms, *inside, watched.end_ms]
    assert max(after - before for before, after in pairwise(moments)) <= CROSSING_MS


def _wait_until_searched(folder: Path, frames: int, process: Any) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        snapshot = look(folder, time.monotonic()).snapshot if folder.is_dir() else None
        if snapshot is not None and sum(one.searched for one in snapshot.cameras) >= frames:
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
