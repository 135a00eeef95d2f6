"""Every thread dies once: nothing hangs, the error surfaces, what was acknowledged is kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engines.errors import InferenceError
from gallery.errors import StorageFullError, StoreError
from streamer.camera import State
from streamer.errors import SourceUnavailableError
from streamer.ingest import Pace, ingest
from streamer.source import Reader

QUICK = Pace(tick_s=0.05, backoff_low_s=0.05, backoff_high_s=0.2)


@contextmanager
def no_thread_left(limit_s: float = 30.0) -> Iterator[None]:
    """Fail if the block takes too long or leaves a camera thread behind."""
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < limit_s
    deadline_s = time.monotonic() + 2
    while any(t.name.startswith("camera ") for t in threading.enumerate()):
        assert time.monotonic() < deadline_s, threading.enumerate()
        time.sleep(0.01)


@pytest.fixture
def long_clip(kit, tmp_path):
    """Give 30 s of a person who walks slowly."""
    return kit.encode(
        tmp_path / "long.mp4", kit.scene([kit.Walker(kit.RED, 20, 100, speed=8)], seconds=30)
    )


def test_the_engine_fails(kit, long_clip, make_site, sink) -> None:
    engine = kit.FailingEngine(after=8)
    with no_thread_left(), pytest.raises(InferenceError, match="the runtime fell over"):
        ingest(make_site({"a": long_clip, "b": long_clip}), engine, sink, pace=QUICK)
    assert len(sink.of("a")) == len(sink.of("b")) == 2  # one when due, one at the sudden end
    spans = sink.coverage("a") + sink.coverage("b")
    assert len(spans) == 2
    assert sum(span.searched for span in spans) == 32


def test_the_engine_has_a_bug(kit, long_clip, make_site, sink) -> None:
    engine = kit.FailingEngine(after=3, error=ZeroDivisionError("a bug"))
    with no_thread_left(), pytest.raises(ZeroDivisionError, match="a bug"):
        ingest(make_site({"a": long_clip}), engine, sink, pace=QUICK)


@pytest.mark.parametrize("error", [StorageFullError("the disk is full"), StoreError("gone")])
def test_the_gallery_fails(kit, long_clip, make_site, sink, error) -> None:
    sink.fail_after, sink.error = 1, error
    engine = kit.SlowEngine(0.005)
    with no_thread_left(), pytest.raises(type(error), match=str(error)):
        ingest(make_site({"a": long_clip}), engine, sink, pace=QUICK)
    kept = [s.captured_at_ms for s in sink.of("a")]
    assert len(kept) == 1
    assert sink.coverage("a")


def test_recording_coverage_fails(kit, long_clip, make_site, sink) -> None:
    def record(span) -> None:
        raise StoreError("no coverage")

    sink.record = record
    with no_thread_left(), pytest.raises(StoreError, match="no coverage"):
        ingest(make_site({"a": long_clip}), kit.ColourEngine(), sink, pace=QUICK)


def test_the_progress_display_fails(kit, long_clip, make_site, sink) -> None:
    def progress(status) -> None:
        raise RuntimeError("no terminal")

    with no_thread_left(), pytest.raises(RuntimeError, match="no terminal"):
        ingest(make_site({"a": long_clip}), kit.ColourEngine(), sink, progress=progress, pace=QUICK)


class DiesAfterTen(Reader):
    """A reader with a bug that shows after ten pictures, in camera b alone."""

    def frames(self):
        for i, frame in enumerate(super().frames()):
            if i == 10 and self._settings.name == "b":
                raise TypeError("a bug in the reader")
            yield frame


def test_a_producer_dies(kit, long_clip, make_site, sink) -> None:
    with no_thread_left():
        report = ingest(
            make_site({"a": long_clip, "b": long_clip}), kit.ColourEngine(), sink, pace=QUICK,
            reader=DiesAfterTen,
        )  # fmt: skip
    a, b = report.cameras
    assert (a.state, a.searched, a.error) == (State.ENDED, 150, "")
    assert (b.state, b.frames) == (State.FAILED, 10)
    assert b.error == "internal error: TypeError: a bug in the reader"
    assert sink.of("b")  # the person of its ten pictures is kept


class Mute(Reader):
    """A source that never answers and cannot be interrupted."""

    release = threading.Event()

    def open(self):
        self.release.wait(30)
        raise SourceUnavailableError(self.url, "released")


def test_stop_does_not_wait_for_a_blocked_source(kit, clip, make_site, sink) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began_s = time.monotonic()
    site = make_site({"a": "rtsp://127.0.0.1:1/x"})
    report = ingest(site, kit.ColourEngine(), sink, stop=stop, pace=QUICK, reader=Mute)
    assert time.monotonic() - began_s < 5
    assert report.stopped
    Mute.release.set()
    with no_thread_left():
        pass


def test_stop_is_quick_while_the_queue_is_full(kit, long_clip, make_site, sink) -> None:
    stop = threading.Event()
    engine = kit.SlowEngine(0.3)
    threading.Timer(1.0, stop.set).start()
    began_s = time.monotonic()
    with no_thread_left():
        report = ingest(make_site({"a": long_clip}), engine, sink, stop=stop, pace=QUICK)
    assert time.monotonic() - began_s < 5
    assert report.stopped
    assert report.cameras[0].dropped["stopped"] > 0


def test_an_interrupt_in_the_main_thread_leaves_no_thread(kit, long_clip, make_site, sink) -> None:
    engine = kit.FailingEngine(after=3, error=KeyboardInterrupt("pressed"))
    with no_thread_left(), pytest.raises(KeyboardInterrupt, match="pressed"):
        ingest(make_site({"a": long_clip}), engine, sink, pace=QUICK)
