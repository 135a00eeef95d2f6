"""Real clips, where they are at hand: all of them are read without an error."""

import threading
from pathlib import Path

import pytest

from streamer.ingest import ingest
from streamer.probe import probe
from streamer.site import site_from_cameras


def clips(shared: Path) -> list[Path]:
    found = sorted((shared / "footage").glob("*.mp4"))
    if not found:
        pytest.skip(f"no clips in {shared / 'footage'}")
    return found


def test_every_clip_is_ingested_without_an_error(shared: Path, kit, sink) -> None:
    """The engine of these tests sees bright colours, not people: this is about the pictures."""
    site = site_from_cameras({path.stem: str(path) for path in clips(shared)})
    stop = threading.Event()

    def progress(status) -> None:
        if all(camera.searched >= 15 for camera in status.cameras):
            stop.set()

    report = ingest(site, kit.ColourEngine(), sink, stop=stop, progress=progress)
    assert report.failed == ()
    for camera in report.cameras:
        assert camera.error == ""
        assert camera.searched >= 15
        assert set(camera.dropped) <= {"stopped"}


def test_every_clip_can_be_probed(shared: Path) -> None:
    for path in clips(shared):
        report = probe(str(path), seconds=1.0)
        assert report.codec in ("h264", "hevc")
        assert report.measured_fps == pytest.approx(report.nominal_fps, rel=0.05)
        assert report.lost == {}
