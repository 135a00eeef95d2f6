"""The reader, on clips that are encoded here, broken on purpose, or served over HTTP."""

import math
import socket
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from engines.values import Frame
from streamer.errors import Cause, SourceUnavailableError
from streamer.libav import cause_of, reading
from streamer.regions import MASK_GREY
from streamer.source import DAMAGED, UNDECODABLE, Reader


def grey_levels(count: int, wh: tuple[int, int] = (64, 48)):
    """Yield pictures whose number can be read from their grey: 20, 22, 24, ..."""
    for i in range(count):
        yield np.full((wh[1], wh[0], 3), 20 + 2 * (i % 100), np.uint8)


def read(settings) -> tuple[list[Frame], Reader]:
    with Reader(settings) as reader:
        return [frame for frame in reader.frames() if frame is not None], reader


@pytest.fixture
def greys(kit, tmp_path: Path):
    """Give a way to encode a grey clip of 60 frames at 10 fps into a container."""

    def make(name: str, **more) -> Path:
        return kit.encode(tmp_path / name, grey_levels(60), gop=10, **more)

    return make


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_recording_gives_the_frames_that_the_rate_asks_for(
    greys, camera_settings, start_text, start_ms, name: str
) -> None:
    frames, reader = read(camera_settings(greys(name), detect_fps=5.0, start=start_text))
    assert [frame.index for frame in frames] == list(range(0, 60, 2))
    assert [frame.captured_at_ms - start_ms for frame in frames] == list(range(0, 6000, 200))
    for frame in frames:
        assert frame.pixels.shape == (48, 64, 3)
        assert abs(int(frame.pixels.mean()) - (20 + 2 * frame.index)) <= 2
        assert frame.time_source == "file"
    assert reader.decoded == 60
    assert not any(reader.lost.values())
    assert reader.fault == ""
    assert reader.info is not None
    assert not reader.info.live


def test_frames_own_their_pixels(greys, camera_settings) -> None:
    frames, _ = read(camera_settings(greys("a.mp4")))
    frames[0].pixels[:] = 0
    assert frames[1].pixels.any()


def test_red_is_red(kit, tmp_path, camera_settings) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    clip = kit.encode(tmp_path / "red.mp4", [red] * 5)
    frames, _ = read(camera_settings(clip))
    assert frames[0].pixels.mean(axis=(0, 1)) == pytest.approx([200, 0, 0], abs=12)


def test_start_of_a_recording(greys, camera_settings, tmp_path) -> None:
    """The setting comes first, then the container's creation time, then the file's own time."""
    made = greys("made.mp4", creation_time="2025-01-02T03:04:05Z")
    plain = greys("plain.mp4")
    never = greys("never.mp4", creation_time="1970-01-01T00:00:00Z")
    for path in (plain, never):
        stamp_ns = 1_600_000_000_000_000_000
        import os

        os.utime(path, ns=(stamp_ns, stamp_ns))
    first = {
        path: read(camera_settings(path))[0][0].captured_at_ms for path in (made, plain, never)
    }
    assert first[made] == 1_735_787_045_000
    assert first[plain] == first[never] == 1_600_000_000_000


def test_masks_are_painted_before_anything_sees_the_frame(greys, camera_settings) -> None:
    left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    frames, _ = read(camera_settings(greys("a.mp4"), masks=(tuple(map(tuple, left)),)))
    for frame in frames:
        assert (frame.pixels[:, :32] == MASK_GREY).all()
        assert abs(int(frame.pixels[:, 32:].mean()) - (20 + 2 * frame.index)) <= 2


@pytest.mark.parametrize(("rotation", "corner"), [(90, (0, 0)), (-90, (-1, -1)), (180, (0, -1))])
def test_a_turned_recording_stands_upright(
    kit, tmp_path, camera_settings, rotation, corner
) -> None:
    """The container says how to turn; (0, -1) of the coded picture is its white corner."""
    picture = np.full((48, 64, 3), 40, np.uint8)
    picture[:12, -12:] = 230  # top right
    clip = kit.encode(tmp_path / "turned.mp4", [picture] * 3, rotation=rotation)
    frames, _ = read(camera_settings(clip))
    pixels = frames[0].pixels
    assert pixels.shape[:2] == ((64, 48) if abs(rotation) == 90 else (48, 64))
    turned = np.rot90(picture, round(rotation / 90) % 4)
    assert np.abs(pixels.astype(int) - turned).mean() < 6


def cut(path: Path, share: float) -> Path:
    """Write the first part of a file and return its path."""
    short = path.with_name(f"cut_{path.name}")
    data = path.read_bytes()
    short.write_bytes(data[: int(len(data) * share)])
    return short


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_truncated_recording_is_used_and_reported(greys, camera_settings, name: str) -> None:
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    frames, reader = read(camera_settings(cut(greys(name, options=options), 0.6)))
    assert 10 <= len(frames) < 28
    assert "cut off: ends at" in reader.fault
    assert "of 6.0 s" in reader.fault
    assert reader.promised_end_ms is not None


def test_a_recording_without_its_index_cannot_be_opened(greys, camera_settings) -> None:
    with pytest.raises(SourceUnavailableError, match="damaged, cut off, or another kind of file"):
        read(camera_settings(cut(greys("a.mp4"), 0.5)))


def test_reading_goes_on_after_damage(kit, tmp_path, camera_settings) -> None:
    clip = kit.encode(
        tmp_path / "c.mp4",
        kit.scene([kit.Walker(kit.RED, 0, 100, 40)], seconds=8),
        options={"movflags": "faststart"},
    )
    data = bytearray(clip.read_bytes())
    for i in range(len(data) // 2, len(data) * 6 // 10):
        data[i] = (data[i] * 7 + 13) & 255
    clip.write_bytes(data)
    frames, reader = read(camera_settings(clip, detect_fps=10.0))
    assert reader.lost[UNDECODABLE] + reader.lost[DAMAGED] > 0
    assert len(frames) >= 60
    assert frames[-1].index >= 60
    last_s = (frames[-1].captured_at_ms - frames[0].captured_at_ms) / 1000
    assert math.isclose(last_s, 7.9, abs_tol=0.15)


def test_what_cannot_be_read_says_why(tmp_path, camera_settings) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 200)
    (tmp_path / "empty.mp4").write_bytes(b"")
    cases = {
        tmp_path / "none.mp4": ("no such file", Cause.NOT_FOUND),
        tmp_path / "text.mp4": ("no video that can be read", Cause.NOT_VIDEO),
        tmp_path / "empty.mp4": ("no video that can be read", Cause.NOT_VIDEO),
        tmp_path: ("directory", Cause.NOT_FOUND),
    }
    for path, (words, cause) in cases.items():
        with pytest.raises(SourceUnavailableError, match=words) as caught:
            Reader(camera_settings(path)).open()
        assert (caught.value.cause, caught.value.url) == (cause, str(path))


def test_sound_alone_is_no_video(tmp_path, camera_settings) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
    with pytest.raises(SourceUnavailableError, match="there is no video in it"):
        Reader(camera_settings(path)).open()


def test_a_refused_port(camera_settings, kit) -> None:
    url = f"rtsp://bob:hunter2@127.0.0.1:{kit.free_port()}/cam"
    with pytest.raises(SourceUnavailableError, match="connection refused") as caught:
        Reader(camera_settings(url)).open()
    assert caught.value.cause is Cause.REFUSED
    assert "hunter2" not in str(caught.value)


def test_wrong_credentials_are_told_and_not_printed(camera_settings, kit) -> None:
    reply = b'RTSP/1.0 401 Unauthorized\r\nCSEQ\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n'
    with kit.answering(reply) as port:
        url = f"rtsp://bob:hunter2@127.0.0.1:{port}/cam"
        with pytest.raises(SourceUnavailableError, match="check user and password") as caught:
            Reader(camera_settings(url)).open()
    assert caught.value.cause is Cause.UNAUTHORISED
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


def test_a_mute_server_is_given_up(camera_settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam"
        with pytest.raises(SourceUnavailableError, match="no answer in time") as caught:
            Reader(camera_settings(url), open_s=0.5, read_s=0.5).open()
    assert caught.value.cause is Cause.TIMEOUT


def test_http_gives_a_recording_and_hls_too(kit, clip, tmp_path, camera_settings) -> None:
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    kit.encode(
        tmp_path / "list.m3u8",
        grey_levels(60),
        options={"hls_time": "2", "hls_playlist_type": "vod"},
    )
    with kit.serving(tmp_path) as base:
        for name in ("a.mp4", "list.m3u8"):
            frames, reader = read(camera_settings(f"{base}/{name}"))
            assert len(frames) == 30
            assert reader.fault == ""
            assert not reader.info.live
        with pytest.raises(SourceUnavailableError, match="404") as caught:
            Reader(camera_settings(f"{base}/none.mp4")).open()
        assert caught.value.cause is Cause.NOT_FOUND


def test_every_error_of_ffmpeg_becomes_ours() -> None:
    classes = {kind for kind in vars(av).values() if isinstance(kind, type)}
    errors = [kind for kind in classes if issubclass(kind, av.FFmpegError)]
    assert len(errors) > 30
    for kind in errors:
        with (
            pytest.raises(SourceUnavailableError, match="cannot read rtsp://") as caught,
            reading("rtsp://u:hunter2@h/s"),
        ):
            raise kind(5, "x hunter2", "rtsp://u:hunter2@h/s")
        assert "hunter2" not in str(caught.value)
        assert caught.value.cause is cause_of(caught.value.__cause__)


def test_a_live_playlist_is_live_and_its_bursts_keep_their_times(
    kit, tmp_path, camera_settings
) -> None:
    """Segments of a second come whole; stamps stay a frame apart and lie in the past."""
    over = threading.Event()

    def live_pictures():
        began_s = time.monotonic()
        for i, picture in enumerate(grey_levels(600)):
            over.wait(max(0.0, began_s + i / 10 - time.monotonic()))
            if over.is_set():
                return
            yield picture

    options = {"hls_time": "1", "hls_list_size": "4", "hls_flags": "delete_segments"}
    writer = threading.Thread(
        target=lambda: kit.encode(tmp_path / "live.m3u8", live_pictures(), options=options)
    )
    writer.start()
    try:
        while not (tmp_path / "live.m3u8").is_file():
            time.sleep(0.05)
        with kit.serving(tmp_path) as base, Reader(camera_settings(f"{base}/live.m3u8")) as reader:
            assert reader.info is not None
            assert reader.info.live
            stamps = [
                (frame.captured_at_ms, time.time() * 1000)
                for frame, _ in zip((f for f in reader.frames() if f), range(12), strict=False)
            ]
    finally:
        over.set()
        writer.join(10)
    gaps = np.diff([captured for captured, _ in stamps])
    assert gaps == pytest.approx(200, abs=60)
    assert all(-50 < now - captured < 6000 for captured, now in stamps)
