"""One camera's thread: its states, its failures, and that it never leaves anybody waiting."""

import threading
import time
from pathlib import Path

import pytest

from streamer.backoff import Backoff
from streamer.batcher import Batcher
from streamer.camera import Camera, State
from streamer.errors import Cause
from streamer.source import Reader


class Setting:
    """A camera with its batcher, and a thread that takes all frames."""

    def __init__(self, settings, **more) -> None:
        self.batcher = Batcher(batch=4, window_s=0.01)
        self.stop = threading.Event()
        self.backoff = Backoff(0.01, 0.05)
        self.camera = Camera(
            settings, self.batcher, self.stop, backoff=self.backoff, depth=4, **more
        )
        self.frames = []

    def run(self, limit_s: float = 10.0) -> "Setting":
        self.camera.start()
        deadline_s = time.monotonic() + limit_s
        while not self.batcher.finished and time.monotonic() < deadline_s:
            self.frames += self.batcher.get(0.2)
        return self

    def until(self, condition, limit_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline_s:
            self.frames += self.batcher.get(0.05)
        assert condition()

    def halt(self) -> None:
        self.stop.set()
        self.batcher.close()
        assert self.camera.join(5)


def test_a_recording_is_read_to_its_end(clip, camera_settings) -> None:
    setting = Setting(camera_settings(clip)).run()
    camera = setting.camera
    assert camera.join(5)
    assert camera.state(0) is State.ENDED
    assert (camera.frames, len(setting.frames), camera.error, camera.dropped()) == (60, 30, "", {})


def test_a_recording_that_is_not_there_fails_once(tmp_path: Path, camera_settings) -> None:
    setting = Setting(camera_settings(tmp_path / "none.mp4")).run()
    assert setting.camera.state(0) is State.FAILED
    assert "no such file" in setting.camera.error
    (loss,) = setting.camera.take_losses()
    assert loss.cause is Cause.NOT_FOUND
    assert setting.camera.connects == 0


def test_a_truncated_recording_ends_with_its_fault(kit, clip, tmp_path, camera_settings) -> None:
    short = tmp_path / "short.mp4"
    short.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    setting = Setting(camera_settings(short)).run()
    assert setting.camera.state(0) is State.ENDED
    assert "cut off" in setting.camera.error
    assert setting.camera.promised_end_ms is not None
    assert setting.frames


def test_a_live_camera_that_refuses_is_tried_again_until_stop(kit, camera_settings) -> None:
    url = f"rtsp://bob:hunter2@127.0.0.1:{kit.free_port()}/cam"
    setting = Setting(camera_settings(url))
    setting.camera.start()
    losses = []
    setting.until(lambda: losses.extend(setting.camera.take_losses()) or len(losses) >= 3)
    assert setting.camera.state(time.monotonic()) is State.RETRYING
    assert {loss.cause for loss in losses} == {Cause.REFUSED}
    assert "hunter2" not in setting.camera.error
    assert not setting.batcher.finished
    setting.halt()
    assert setting.batcher.finished


class Broken(Reader):
    """A reader with a fault in it."""

    def open(self):
        raise KeyError("a bug with rtsp://bob:hunter2@h/s in it")


class LiveClip(Reader):
    """A recording that claims to be live: it ends like a camera that is switched off."""

    def open(self):
        from dataclasses import replace

        super().open()
        self.info = replace(self.info, live=True)
        return self.info


def test_an_unexpected_error_kills_one_camera_and_is_told(camera_settings) -> None:
    setting = Setting(camera_settings("rtsp://bob:hunter2@h/s"), reader=Broken).run()
    assert setting.camera.state(0) is State.FAILED
    assert "internal error: KeyError" in setting.camera.error
    assert "hunter2" not in setting.camera.error
    assert setting.batcher.finished


def test_the_end_of_a_live_stream_is_a_loss_and_it_comes_back(clip, camera_settings) -> None:
    setting = Setting(camera_settings(clip), reader=LiveClip)
    setting.camera.live_source = True
    setting.camera.start()
    setting.until(lambda: setting.camera.reconnects >= 2)
    causes = {loss.cause for loss in setting.camera.take_losses()}
    assert causes == {Cause.ENDED}
    setting.halt()


def test_stop_ends_a_recording_in_the_middle(clip, camera_settings) -> None:
    setting = Setting(camera_settings(clip))
    setting.camera.start()
    setting.until(lambda: len(setting.frames) >= 4)
    setting.halt()
    assert setting.camera.frames < 60
    assert setting.batcher.finished


def test_a_stall_shows_by_the_age_of_the_last_frame_alone(clip, camera_settings) -> None:
    setting = Setting(camera_settings(clip), reader=LiveClip)
    setting.camera.live_source = True
    setting.camera.start()
    setting.until(lambda: setting.camera.frames > 30)
    now_s = time.monotonic()
    state = setting.camera.state(now_s + 60)
    setting.halt()
    assert state in (State.STALLED, State.RETRYING, State.CONNECTING)
    assert setting.camera.stall_s == pytest.approx(2.0)
