"""Stream time to UTC, and the rate gate: pure logic, no clock is read."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import ArrivalMap, LiveClock, RateGate, Settling


@pytest.mark.parametrize(
    ("source_fps", "fps", "kept"),
    [(30, 5, 6), (10, 5, 2), (10, 10, 1), (30, 30, 1), (60, 1, 60), (10, 20, 1)],
)
def test_regular_rates_keep_every_nth(source_fps: int, fps: int, kept: int) -> None:
    gate = RateGate(fps)
    passed = [i for i in range(10 * source_fps) if gate.passes(i / source_fps)]
    assert passed == list(range(0, 10 * source_fps, kept))


@given(
    st.floats(5, 60),
    st.floats(0.5, 30),
    st.lists(st.floats(-0.3, 0.3), min_size=200, max_size=200),
)
def test_the_rate_is_never_exceeded_and_mostly_kept(
    source_fps: float, fps: float, jitter: list[float]
) -> None:
    gate = RateGate(fps)
    times = [(i + j) / source_fps for i, j in enumerate(jitter)]
    passed = [t for t in times if gate.passes(t)]
    wanted = min(fps, source_fps) * (times[-1] - times[0])
    assert len(passed) <= wanted * 1.02 + 2
    assert len(passed) >= wanted * (0.5 if fps > source_fps / 2 else 0.85) - 2


def test_a_jump_of_stream_time_does_not_silence_the_gate() -> None:
    gate = RateGate(5)
    assert gate.passes(1000.0)
    assert not gate.passes(1000.1)
    assert gate.passes(2.0)
    assert gate.passes(90_000.0)


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="above 0, got 0"):
        RateGate(0)


def test_jitter_of_the_network_only_adds() -> None:
    arrivals = ArrivalMap()
    delays_ms = [80, 20, 300, 25, 900, 20, 40]
    stamps = [
        arrivals.captured_ms(i * 0.2, 1_000_000 + i * 200 + delay)
        for i, delay in enumerate(delays_ms)
    ]
    assert stamps[1:] == [1_000_000 + i * 200 + 20 for i in range(1, 7)]
    assert arrivals.jumps == 0


def test_the_minimum_slides_so_that_drift_is_followed() -> None:
    arrivals = ArrivalMap(window_s=10)
    for i in range(1000):  # the camera's clock loses 1 %
        captured = arrivals.captured_ms(i * 0.1, i * 101.0)
    assert abs(captured - 999 * 101.0) < 110


def test_a_jump_starts_the_map_anew() -> None:
    arrivals = ArrivalMap()
    arrivals.captured_ms(0.0, 0.0)
    assert arrivals.captured_ms(0.1, 3_600_100.0) == 3_600_100.0
    assert arrivals.jumps == 1


def test_the_camera_clock_counts_if_it_is_near_arrival() -> None:
    clock = LiveClock()
    assert clock.stamp(10.0, 50_000.0) == (50_000, "arrival")
    clock.note_reference(10.0, 49_800_000)
    assert clock.stamp(11.0, 51_000.0) == (50_800, "camera")
    assert clock.offset_s == pytest.approx(-0.2)


def test_a_camera_clock_that_is_an_hour_wrong_is_known_and_not_used() -> None:
    clock = LiveClock()
    clock.note_reference(10.0, 3_650_000_000)
    assert clock.stamp(10.0, 50_000.0) == (50_000, "arrival")
    assert clock.offset_s == pytest.approx(3600.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-500, 500)), min_size=2, max_size=50))
def test_times_of_a_stream_never_repeat_or_step_back_a_little(
    steps: list[tuple[float, float]],
) -> None:
    clock = LiveClock()
    stamps = [clock.stamp(i * 0.04, 1e6 + i * 40 + late)[0] for i, (_, late) in enumerate(steps)]
    assert all(b > a or b < a - 1_999 for a, b in pairwise(stamps))


def test_the_opening_burst_is_recognised() -> None:
    """3 s of video lie ready when the connection opens; then it comes live."""
    settling = Settling(quiet_s=0.25)
    times = [(i * 0.1, 100.0 + i * 0.001) for i in range(30)]
    times += [(3.0 + i * 0.1, 100.1 + i * 0.1) for i in range(10)]
    done = [settling.done(pts, now) for pts, now in times]
    assert not any(done[:32])
    assert done[33]
    assert settling.least_s == pytest.approx(97.1, abs=0.03)


def test_settling_has_a_limit() -> None:
    settling = Settling(limit_s=2.0)
    done = [settling.done(i * 0.3, i * 0.2) for i in range(12)]  # faster than real time for ever
    assert done.index(True) == 10
