"""Delays between tries."""

import random

import pytest

from streamer.backoff import Backoff


def test_delays_double_to_the_cap_and_stay_in_bounds() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(1))
    delays = [backoff.next_s() for _ in range(50)]
    assert all(0.5 <= delay <= 30 for delay in delays)
    assert delays[0] <= 0.5
    assert all(15 <= delay <= 30 for delay in delays[7:])
    assert len(set(delays[7:])) > 30


def test_a_reset_starts_again() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(1))
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.5


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_bounds_must_make_sense(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="back-off needs"):
        Backoff(low, high)
