"""Where the 256 integers of a tensor lie on the real line."""

from dataclasses import dataclass

import numpy as np

from engines.precision.spread import Spread

SHARE = 0.99999
"""Of a tensor's values that its grid covers. Measured on a trained engine, frames of another
world than the calibration's: for int8 around 0 a median box error of 0.47 px, against 0.86 with
all values covered and 0.70 with 99.99 %; for uint8 0.38, 0.46 and 0.58."""
METHOD = f"the middle {SHARE:.3%} of values"


@dataclass(frozen=True, slots=True)
class Grid:
    """value = (integer - zero) * scale, for integers of ``dtype``."""

    scale: float
    zero: int
    dtype: str


def grid_of(spread: Spread, *, symmetric: bool) -> Grid:
    """Return the grid for a tensor: int8 around 0, or uint8 from its lowest value up."""
    return cover(*spread.bounds(SHARE, symmetric=symmetric), symmetric=symmetric)


def cover(low: float, high: float, *, symmetric: bool) -> Grid:
    """Return the grid that reaches from ``low`` to ``high`` and has 0 on a point."""
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        return Grid(_step(max(-low, high) / 127), 0, "int8")
    scale = _step((high - low) / 255)
    return Grid(scale, int(np.clip(round(-low / scale), 0, 255)), "uint8")


def _step(size: float) -> float:
    """Return a step as float32 holds it; 1 for a tensor that is always 0."""
    return float(np.float32(size)) or 1.0
