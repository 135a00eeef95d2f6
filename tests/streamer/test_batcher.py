"""Batches: full or late, fair, lossless for recordings, newest wins for live cameras."""

import threading
import time

import numpy as np
import pytest

from engines.values import Frame
from streamer.batcher import LATE, STALE, STOPPED, Batcher

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


def test_a_staleness_budget_must_be_above_0() -> None:
    with pytest.raises(ValueError, match="staleness budget above 0"):
        Batcher(stale_s=0)


def test_the_window_is_no_longer_than_the_fastest_live_camera_needs() -> None:
    batcher = Batcher(batch=4, window_s=0.1)
    for name in ("fast", "slow"):
        batcher.add(name, lossless=False)
    for i in range(30):
        batcher.put(frame("fast", i, 10 + i * 0.02))
    batcher.poll(10.59)
    batcher.put(frame("fast", 30, 10.60))
    assert batcher.poll(10.61) == []
    assert taken(batcher.poll(10.621)) == [("fast", 30)]
    batcher.retire("fast")
    batcher.put(frame("slow", 0, 20.0))
    assert taken(batcher.poll(20.0)) == [("slow", 0)], "nobody else can add"


def test_a_live_frame_that_is_too_old_at_its_turn_is_dropped_and_counted() -> None:
    batcher = Batcher(batch=8, window_s=0, stale_s=0.5)
    batcher.add("burst", lossless=False)
    batcher.keep("burst", lossless=False, depth=4)
    batcher.add("file", lossless=True, depth=4)
    for i in range(4):
        batcher.put(frame("burst", i, 10 + 0.2 * i))
        batcher.put(frame("file", i, 10 + 0.2 * i))
    assert taken(batcher.poll(10.8)) == [
        ("burst", 2), ("file", 0), ("burst", 3), ("file", 1), ("file", 2), ("file", 3)
    ]  # fmt: skip
    assert batcher.dropped("burst") == {STALE: 2}
    assert batcher.dropped("file") == {}


def test_only_stale_frames_wake_nobody() -> None:
    batcher = Batcher(batch=2, window_s=0.1, stale_s=0.5)
    batcher.add("a", lossless=False)
    batcher.add("b", lossless=False)
    batcher.put(frame("a", 0, 10.0))
    assert batcher.poll(11.0) == []
    batcher.put(frame("b", 0, 11.0))
    assert batcher.poll(11.05) == [], "the window begins anew"
    assert taken(batcher.poll(11.11)) == [("b", 0)]


def test_an_engine_that_needs_longer_than_the_budget_still_gets_frames() -> None:
    """Two cameras take turns; each batch lasts 2 s, so a frame waits up to 4 s for its turn."""
    batcher = Batcher(batch=1, window_s=0, stale_s=0.5)
    for name in "ab":
        batcher.add(name, lossless=False)
    now_s, served = 0.0, []
    for i in range(20):
        for name in "ab":
            batcher.put(frame(name, i, now_s))
        served += taken(batcher.poll(now_s))
        now_s += 2.0
    assert len(served) == 20
    slow = {name for name, _ in served[10:]}
    assert slow == {"a", "b"}


def test_a_camera_of_60_fps_never_starves_one_of_1_fps() -> None:
    """The engine takes one frame in 0.2 s: 5 a second for 61."""
    batcher = Batcher(batch=1, window_s=0)
    for name in ("fast", "slow"):
        batcher.add(name, lossless=False)
    served: dict[str, list[float]] = {"fast": [], "slow": []}
    waited_s: list[float] = []
    for tick in range(60 * 20):
        now_s = tick / 60
        batcher.put(frame("fast", tick, now_s))
        if tick % 60 == 7:
            batcher.put(frame("slow", tick, now_s))
        if tick % 12 == 0:
            for one in batcher.poll(now_s):
                served[one.camera].append(one.index / 60)
                waited_s += [now_s - one.arrived_s] if one.camera == "slow" else []
    assert len(served["slow"]) == 20
    assert max(waited_s) <= 0.2
    assert batcher.dropped("slow") == {}
    assert len(served["fast"]) >= 79
    lost = batcher.dropped("fast")[LATE]
    assert lost + len(served["fast"]) + batcher.waiting("fast") == 60 * 20


def test_cameras_come_and_go_while_others_go_on() -> None:
    batcher = Batcher(batch=4, window_s=0.1)
    batcher.add("a", lossless=False)
    batcher.put(frame("a", 0, 10.0))
    assert taken(batcher.poll(10.0)) == [("a", 0)]
    batcher.add("b", lossless=False)
    with pytest.raises(ValueError, match="b is in the batcher already"):
        batcher.add("b", lossless=False)
    batcher.put(frame("a", 1, 10.2))
    batcher.put(frame("b", 0, 10.2))
    batcher.retire("b")
    assert not batcher.put(frame("b", 1, 10.2))
    assert taken(batcher.poll(10.2)) == [("a", 1), ("b", 0)], "what waits is still handed out"
    batcher.end("b")
    batcher.remove("b")
    batcher.put(frame("a", 2, 10.4))
    assert taken(batcher.poll(10.4)) == [("a", 2)]
    batcher.add("b", lossless=False)
    assert batcher.waiting("b") == 0


def test_retiring_frees_a_blocked_recording() -> None:
    batcher = Batcher()
    batcher.add("a", lossless=True, depth=1)
    answers: list[bool] = []
    sent = threading.Thread(
        target=lambda: answers.extend(batcher.put(frame("a", i)) for i in range(2))
    )
    sent.start()
    while batcher.waiting("a") < 1:
        time.sleep(0.001)
    batcher.retire("a")
    sent.join(5)
    assert not sent.is_alive()
    assert answers == [True, False]
    assert len(batcher.get(1.0)) == 1
