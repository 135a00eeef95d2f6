"""What a source delivers."""

import json
from dataclasses import asdict

import pytest

from streamer.errors import SourceUnavailableError
from streamer.probe import probe


def test_a_recording(clip) -> None:
    report = probe(str(clip), seconds=3.0)
    assert (report.codec, report.width, report.height) == ("h264", 320, 240)
    assert (report.live, report.time_source) == (False, "file")
    assert (report.nominal_fps, report.measured_fps) == (10.0, 10.0)
    assert report.key_interval_s == pytest.approx(1.0)
    assert report.duration_s == pytest.approx(6.0)
    assert report.watched_s == pytest.approx(3.0)
    assert report.bit_rate_kbps is not None
    assert json.loads(json.dumps(asdict(report)))["frames"] == 31


def test_a_recording_shorter_than_asked(clip) -> None:
    report = probe(str(clip), seconds=60.0)
    assert (report.frames, report.fault) == (60, "")


def test_what_cannot_be_read(tmp_path, kit) -> None:
    with pytest.raises(SourceUnavailableError, match="no such file"):
        probe(str(tmp_path / "none.mp4"))
    with pytest.raises(SourceUnavailableError, match="refused") as caught:
        probe(f"rtsp://bob:hunter2@127.0.0.1:{kit.free_port()}/x")
    assert "hunter2" not in str(caught.value)
