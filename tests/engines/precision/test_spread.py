"""Histograms that grow: against all values sorted, and in bounded memory."""

import numpy as np
import pytest

from engines.precision.grids import cover, grid_of
from engines.precision.spread import BINS, Spread


def spread_of(*parts: np.ndarray) -> Spread:  # type: ignore[type-arg]
    spread = Spread()
    for part in parts:
        spread.add(part.astype(np.float32))
    return spread


def test_extremes_include_zero_and_all_values() -> None:
    spread = spread_of(np.array([3.0, 5.0]), np.array([4.0]))
    assert (spread.lowest, spread.highest) == (0.0, 5.0)
    assert spread.counts.sum() == 3
    assert len(spread.counts) == BINS


@pytest.mark.parametrize("share", [0.9, 0.99, 1.0])
def test_bounds_are_the_quantiles(share: float) -> None:
    values = np.random.default_rng(0).normal(0, 3, 20_000) ** 3
    spread = spread_of(*np.array_split(values, 7))
    step = 2 * spread.reach / BINS
    low, high = spread.bounds(share, symmetric=False)
    assert low == pytest.approx(np.quantile(values, (1 - share) / 2), abs=2 * step)
    assert high == pytest.approx(np.quantile(values, 1 - (1 - share) / 2), abs=2 * step)
    low, high = spread.bounds(share, symmetric=True)
    assert high == pytest.approx(np.quantile(np.abs(values), share), abs=2 * step)
    assert low == -high


def test_one_outlier_among_many_is_left_out() -> None:
    values = np.append(np.random.default_rng(1).random(200_000), 50.0)
    spread = spread_of(values)
    assert spread.highest == 50.0
    assert spread.bounds(0.99999, symmetric=True)[1] < 1.1
    assert spread.bounds(0.99999, symmetric=False)[1] < 1.1
    assert spread.bounds(0.99999, symmetric=False)[0] == 0.0


def test_the_order_of_frames_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    parts = [rng.normal(0, size, 500).astype(np.float32) for size in (0.001, 5.0, 0.3)]
    one, other = spread_of(*parts), spread_of(*reversed(parts))
    assert one.reach == other.reach
    assert np.abs(one.counts - other.counts).sum() < 20  # values on the edge of a bin


def test_two_spreads_join_as_if_they_were_one() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 900), rng.normal(5, 40, 900)
    joined, whole = spread_of(a).join(spread_of(b)), spread_of(b, a)
    assert (joined.lowest, joined.highest, joined.reach) == (
        whole.lowest, whole.highest, whole.reach,
    )  # fmt: skip
    assert joined.counts.sum() == 1800
    assert np.abs(joined.counts - whole.counts).sum() < 60
    assert spread_of(a).join(Spread()).bounds(0.5, symmetric=True) == pytest.approx(
        spread_of(a).bounds(0.5, symmetric=True), abs=1e-6
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        Spread().add(np.array([1.0, bad], np.float32))


def test_nothing_changes_nothing() -> None:
    spread = Spread()
    spread.add(np.empty((0, 4), np.float32))
    assert spread.bounds(0.99, symmetric=False) == (0.0, 0.0)
    assert grid_of(spread, symmetric=True).scale == 1.0


def test_grids_cover_their_range_and_hold_zero() -> None:
    grid = cover(-1.0, 3.0, symmetric=False)
    assert grid.dtype == "uint8"
    assert (0 - grid.zero) * grid.scale == pytest.approx(-1.0, abs=grid.scale / 2)
    assert (255 - grid.zero) * grid.scale == pytest.approx(3.0, abs=grid.scale / 2)
    assert cover(2.0, 3.0, symmetric=False).zero == 0  # a Relu can be left out
    assert cover(-4.0, -1.0, symmetric=False).zero == 255
    grid = cover(-1.0, 3.0, symmetric=True)
    assert (grid.dtype, grid.zero) == ("int8", 0)
    assert 127 * grid.scale == pytest.approx(3.0)
