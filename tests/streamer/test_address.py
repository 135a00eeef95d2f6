"""What an address says before anything is opened."""

from pathlib import Path

import pytest

from streamer.address import (
    input_format,
    input_options,
    is_device,
    is_file,
    local_path,
    may_be_finite,
    read_timeout_s,
)


@pytest.mark.parametrize(
    ("url", "file", "device", "finite"),
    [
        ("clips/a.mp4", True, False, False),
        ("/data/a b.mp4", True, False, False),
        ("file:///data/a%20b.mp4", True, False, False),
        ("/dev/video0", False, True, False),
        ("rtsp://10.0.0.5/s", False, False, False),
        ("RTSPS://10.0.0.5/s", False, False, False),
        ("https://10.0.0.5/live.m3u8", False, False, True),
        ("http://10.0.0.5/a.mp4", False, False, True),
    ],
)
def test_kinds_of_address(url: str, file: bool, device: bool, finite: bool) -> None:
    assert (is_file(url), is_device(url), may_be_finite(url)) == (file, device, finite)
    assert input_format(url) == ("v4l2" if device else None)


def test_local_paths() -> None:
    assert local_path("file:///data/a%20b.mp4") == Path("/data/a b.mp4")
    assert local_path("a%20b.mp4") == Path("a%20b.mp4")


def test_both_of_ffmpegs_settings_for_rtsp_are_right() -> None:
    """``timeout`` counts microseconds; ``stimeout`` would be ignored in silence."""
    options = input_options("rtsp://h/s", "tcp", 5.0)
    assert options["timeout"] == "5000000"
    assert options["rtsp_transport"] == "tcp"
    assert "stimeout" not in options
    assert input_options("rtsp://h/s", "udp", 5.0)["rtsp_transport"] == "udp"
    assert input_options("a.mp4", "tcp", 5.0) == {}
    assert input_options("/dev/video0", "tcp", 5.0) == {}
    rtmp = input_options("rtmp://h/live/s", "tcp", 5.0)
    assert rtmp == {"rw_timeout": "5000000"}, "timeout would make it listen"
    assert "rtsp_transport" not in input_options("http://h/a.m3u8", "tcp", 30.0)
    assert read_timeout_s("http://h/a.m3u8") > read_timeout_s("rtsp://h/s")
