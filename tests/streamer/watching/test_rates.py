"""Rates from counters: exact on exact input, over a window, robust against a new start."""

import pytest

from streamer.watching.rates import Rate


def test_a_steady_counter_has_its_rate_from_the_first_second() -> None:
    rate = Rate(window_s=10)
    assert [rate.take(second, 5 * second) for second in range(1, 31)] == [5.0] * 30


def test_only_the_window_counts() -> None:
    rate = Rate(window_s=10)
    for second in range(1, 101):
        rate.take(second, 5 * second)
    last = [rate.take(100 + second, 500) for second in range(1, 12)]
    assert last[:2] == pytest.approx([4.5, 4.0])
    assert last[-2:] == [0.0, 0.0]


def test_at_time_zero_nothing_has_a_rate() -> None:
    assert Rate().take(0.0, 0) == 0.0


def test_a_counter_that_fell_was_started_anew() -> None:
    rate = Rate()
    rate.take(10, 1000)
    assert rate.take(11, 3) == 0.0
    assert rate.take(12, 8) == 5.0
