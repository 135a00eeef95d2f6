"""Batches: full or late, fair, lossless for recordings, newest wins for live cameras."""

import threading
import time

import numpy as np
import pytest

from engines.values import Frame
from streamer.batcher import LATE, STOPPED, Batcher

PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(camera: str, index: int, arrived_s: float = 0.0) -> Frame:
    return Frame(camera, index, PIXELS, index, arrived_s, "file")


def taken(frames: list[Frame]) -> list[tuple[str, int]]:
    return [(one.camera, one.index) for one in frames]


def test_a_full_batch_comes_at_once_and_a_late_one_in_time() -> None:
    batcher = Batcher(batch=2, window_s=0.1)
    batcher.add("a", lossless=False)
    batcher.add("b", lossless=False)
    batcher.put(frame("a", 0, 10.0))
    assert batcher.poll(10.05) == []
    assert taken(batcher.poll(10.11)) == [("a", 0)]
    batcher.put(frame("a", 1, 11.0))
    batcher.put(frame("b", 0, 11.01))
    assert taken(batcher.poll(11.01)) == [("b", 0), ("a", 1)]
    assert batcher.poll(99.0) == []


def test_a_newer_frame_does_not_postpone_the_window() -> None:
    batcher = Batcher(batch=4, window_s=0.1)
    for name in "ab":
        batcher.add(name, lossless=False)
    batcher.put(frame("a", 0, 10.0))
    batcher.put(frame("a", 1, 10.08))
    assert taken(batcher.poll(10.11)) == [("a", 1)]
    assert batcher.dropped("a") == {LATE: 1}


def test_nothing_waits_if_nobody_can_add() -> None:
    batcher = Batcher(batch=8, window_s=0.1)
    for name in "ab":
        batcher.add(name, lossless=False)
    batcher.put(frame("a", 0, 10.0))
    batcher.put(frame("b", 0, 10.0))
    assert len(batcher.poll(10.0)) == 2
    batcher.put(frame("a", 1, 10.2))
    batcher.end("b")
    assert len(batcher.poll(10.2)) == 1


def test_live_cameras_keep_the_newest_and_count_the_rest() -> None:
    batcher = Batcher(batch=1)
    batcher.add("a", lossless=False)
    for i in range(10):
        assert batcher.put(frame("a", i))
    assert taken(batcher.poll(1.0)) == [("a", 9)]
    assert batcher.dropped("a") == {LATE: 9}


def test_a_bursty_camera_may_keep_a_few() -> None:
    batcher = Batcher(batch=8, window_s=0)
    batcher.add("a", lossless=False)
    batcher.keep("a", lossless=False, depth=3)
    for i in range(10):
        batcher.put(frame("a", i))
    assert taken(batcher.poll(1.0)) == [("a", 7), ("a", 8), ("a", 9)]
    assert batcher.dropped("a") == {LATE: 7}


def test_no_camera_starves() -> None:
    """A fast recording with a full line, and a live camera: they take turns."""
    batcher = Batcher(batch=2, window_s=0)
    batcher.add("fast", lossless=True, depth=50)
    for name in ("x", "y", "z"):
        batcher.add(name, lossless=False)
    for i in range(50):
        batcher.put(frame("fast", i))
    served: list[str] = []
    for i in range(12):
        for name in ("x", "y", "z"):
            batcher.put(frame(name, i))
        served += [one.camera for one in batcher.poll(1.0)]
    assert {name: served.count(name) for name in ("fast", "x", "y", "z")} == dict.fromkeys(
        ("fast", "x", "y", "z"), 6
    )


def test_a_recording_waits_for_room_and_loses_nothing() -> None:
    batcher = Batcher(batch=3, window_s=0.01)
    batcher.add("a", lossless=True, depth=2)
    sent = threading.Thread(target=lambda: [batcher.put(frame("a", i)) for i in range(100)])
    sent.start()
    got: list[Frame] = []
    while len(got) < 100:
        got += batcher.get(1.0)
        assert batcher.waiting("a") <= 2
    sent.join(5)
    assert [one.index for one in got] == list(range(100))
    assert batcher.dropped("a") == {}


def test_closing_frees_a_blocked_recording_and_counts_what_waited() -> None:
    batcher = Batcher()
    batcher.add("a", lossless=True, depth=1)
    answers: list[bool] = []
    sent = threading.Thread(
        target=lambda: answers.extend(batcher.put(frame("a", i)) for i in range(2))
    )
    sent.start()
    while batcher.waiting("a") < 1:
        time.sleep(0.001)
    batcher.close()
    sent.join(5)
    assert not sent.is_alive()
    assert answers[-1] is False
    assert batcher.dropped("a") == {STOPPED: 1}


def test_get_returns_when_all_have_ended() -> None:
    batcher = Batcher()
    batcher.add("a", lossless=True, depth=2)
    batcher.put(frame("a", 0))
    batcher.end("a")
    assert not batcher.finished
    assert len(batcher.get(5.0)) == 1
    began_s = time.monotonic()
    assert batcher.get(5.0) == []
    assert time.monotonic() - began_s < 1
    assert batcher.finished


def test_get_gives_up_after_its_timeout() -> None:
    batcher = Batcher()
    batcher.add("a", lossless=False)
    began_s = time.monotonic()
    assert batcher.get(0.05) == []
    assert 0.04 < time.monotonic() - began_s < 1


def test_a_frame_that_comes_while_waiting_wakes_get() -> None:
    batcher = Batcher(batch=1)
    batcher.add("a", lossless=False)
    timer = threading.Timer(0.05, lambda: batcher.put(frame("a", 0, time.monotonic())))
    timer.start()
    assert len(batcher.get(10.0)) == 1
    timer.join()


def test_a_source_may_prove_to_be_a_recording() -> None:
    batcher = Batcher(batch=1)
    batcher.add("a", lossless=False)
    batcher.keep("a", lossless=True, depth=1)
    batcher.put(frame("a", 0))
    second = threading.Thread(target=batcher.put, args=(frame("a", 1),))
    second.start()
    assert taken(batcher.get(1.0)) == [("a", 0)]
    assert taken(batcher.get(1.0)) == [("a", 1)]
    second.join(5)


@pytest.mark.parametrize(("batch", "window_s"), [(0, 0.1), (1, -0.1), (1, 2.0)])
def test_settings_that_make_no_sense(batch: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="batcher needs"):
        Batcher(batch, window_s)
