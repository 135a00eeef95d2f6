"""Live cameras over real RTSP: GStreamer serves, in processes of their own that can be killed."""

import threading
import time
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from gallery.values import CameraState
from streamer.camera import State
from streamer.errors import Cause, SourceUnavailableError
from streamer.ingest import Pace, ingest
from streamer.probe import probe
from streamer.site import site_from_cameras
from streamer.source import Reader

pytestmark = pytest.mark.services

PACE = Pace(tick_s=0.25, backoff_low_s=0.25, backoff_high_s=1.0)


@pytest.fixture(scope="module")
def units(kit, tmp_path_factory):
    """Give 4 s of a person who walks, as access units; the server repeats them for ever."""
    path = tmp_path_factory.mktemp("units") / "walk.h264"
    return kit.access_units(path, kit.scene([kit.Walker(kit.RED, 0, 100, speed=70)], seconds=4))


class Running:
    """An ingest in a thread of its own."""

    def __init__(self, site, engine, sink, **more) -> None:
        self.stop = threading.Event()
        self.status = None
        self.report = None
        self._thread = threading.Thread(target=self._run, args=(site, engine, sink), kwargs=more)
        self._thread.start()

    def _run(self, site, engine, sink, **more) -> None:
        self.report = ingest(
            site, engine, sink, stop=self.stop, progress=self._note, pace=PACE, **more
        )

    def _note(self, status) -> None:
        self.status = status

    def camera(self, name: str):
        cameras = self.status.cameras if self.status else ()
        return next((camera for camera in cameras if camera.camera == name), None)

    def until(self, condition, limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline_s, self.status
            assert self._thread.is_alive()
            time.sleep(0.05)

    def end(self):
        """Stop; return the report and how long the drain took."""
        began_s = time.monotonic()
        self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.report, time.monotonic() - began_s


@pytest.fixture
def running():
    """Give a way to start an ingest; it is stopped at the end whatever happens."""
    started = []

    def begin(*args, **more) -> Running:
        started.append(Running(*args, **more))
        return started[-1]

    yield begin
    for one in started:
        one.stop.set()
        one.end()


def test_one_camera_is_killed_and_comes_back_while_the_other_goes_on(
    rtsp, units, kit, sink, running
) -> None:
    arrivals = defaultdict(list)

    class Watched(Reader):
        def frames(self):
            for frame in super().frames():
                if frame is not None:
                    arrivals[self._settings.name].append((time.monotonic(), frame.captured_at_ms))
                yield frame

    left, right = rtsp(units), rtsp(units)
    site = site_from_cameras({"left": left.url, "right": right.url})
    run = running(site, kit.ColourEngine(), sink, reader=Watched)
    run.until(lambda: all((c := run.camera(n)) and c.searched > 15 for n in ("left", "right")), 20)

    left.kill()
    killed_ms = time.time() * 1000
    run.until(lambda: run.camera("left").state is State.RETRYING, 5)
    time.sleep(3)
    searched_before = run.camera("left").searched
    left.start()
    back_ms = time.time() * 1000
    run.until(lambda: run.camera("left").searched > searched_before + 15, 20)
    report, drained_s = run.end()

    assert drained_s < 5
    one, other = report.cameras
    assert (one.reconnects, other.reconnects) == (1, 0)
    assert report.failed == ()
    assert sink.of("left")
    assert sink.of("right")
    _never_stops(arrivals["right"])
    _tells_the_gap(sink, killed_ms, back_ms)


def _never_stops(arrivals: list[tuple[float, int]]) -> None:
    """Frames come at 5 a second; allow for a busy machine."""
    settled = arrivals[10:]
    assert np.diff([moment for moment, _ in settled]).max() < 1.0
    assert np.diff([captured for _, captured in settled]).max() <= 500


def _tells_the_gap(sink, killed_ms: float, back_ms: float) -> None:
    right = [s for s in sink.coverage("right") if s.state is not CameraState.DOWN]
    assert [s.state for s in right] == [CameraState.WATCHED]
    spans = sink.coverage("left")
    assert [s.state.value for s in spans] == ["down", "watched", "down", "watched"]
    assert all(a.end_ms == b.start_ms for a, b in pairwise(spans))
    gap = spans[2]
    assert abs(gap.start_ms - killed_ms) < 1500
    assert back_ms - 500 < gap.end_ms < back_ms + 8000
    assert gap.reason
    assert spans[1].searched > 0
    assert spans[3].searched > 0


def test_what_a_live_camera_delivers(rtsp, units) -> None:
    report = probe(rtsp(units).url, seconds=3)
    assert (report.live, report.codec, report.width, report.height) == (True, "h264", 320, 240)
    assert report.measured_fps == pytest.approx(10, rel=0.1)
    assert report.key_interval_s == pytest.approx(1.0, abs=0.15)
    assert report.time_source in ("camera", "arrival")
    assert report.clock_offset_s is None or abs(report.clock_offset_s) < 2
    assert abs(report.first_captured_ms - time.time() * 1000) < 8000


def test_times_of_capture_are_evenly_spaced_from_the_first_frame_on(
    rtsp, units, camera_settings
) -> None:
    """What lay ready while the connection was opened does not get the time of that moment."""
    with Reader(camera_settings(rtsp(units).url, detect_fps=10.0)) as reader:
        stamps = []
        for frame in reader.frames():
            if frame is not None:
                stamps.append((frame.captured_at_ms, time.time() * 1000))
            if len(stamps) == 40:
                break
    gaps = np.diff([captured for captured, _ in stamps])
    assert (np.abs(gaps - 100) <= 40).mean() > 0.9
    late_ms = np.array([now - captured for captured, now in stamps])
    assert late_ms.min() > -50
    assert late_ms[-10:].max() < 1500


def test_wrong_and_missing_credentials(rtsp, units) -> None:
    server = rtsp(units, login="bob:right-password")
    good = server.url.replace("rtsp://", "rtsp://bob:right-password@")
    assert probe(good, seconds=0.5).frames > 2
    for login in ("bob:hunter2-wrong@", ""):
        with pytest.raises(SourceUnavailableError, match="check user and password") as caught:
            probe(server.url.replace("rtsp://", f"rtsp://{login}"), seconds=0.5)
        assert caught.value.cause is Cause.UNAUTHORISED
        assert "hunter2" not in str(caught.value)


def test_overload_drops_the_oldest_and_keeps_the_lag_small(rtsp, units, kit, sink, running) -> None:
    """Detection asks for 10 a second and the engine gives about 3."""
    site = site_from_cameras({"cam": rtsp(units).url})
    fast = site.cameras["cam"].model_copy(update={"detect_fps": 10.0})
    run = running(type(site)(site.name, site.base, {"cam": fast}), kit.SlowEngine(0.3), sink)
    run.until(lambda: (c := run.camera("cam")) and c.searched > 12, 30)
    lag_s = run.camera("cam").lag_s
    report, _ = run.end()
    (camera,) = report.cameras
    assert camera.dropped["late"] > camera.searched
    assert lag_s < 2.0
    assert camera.state is not State.STALLED
