"""Patterns of upper garments: where a garment shows its second colour.

Coordinates are in statures: x to the right, y forward, z above the hips.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from train.synthetic.camera import Floats
from train.synthetic.people import Colour, Identity

Mask = npt.NDArray[np.bool_]


def linear(colour: Colour) -> Floats:
    """Turn an sRGB colour into linear light, (3,)."""
    return np.asarray(np.power(colour, 2.2), dtype=np.float32)


def second_colour(person: Identity, x: Floats, y: Floats, z: Floats) -> Mask:
    """Tell where the second colour shows, (N,); x, y, z in statures, z above the hips."""
    period = person.period * 0.75
    rows, columns = (z / period) % 1.0, ((x + 0.25 * period) / period) % 1.0
    name = person.pattern
    if name == "hstripes":
        return np.asarray(rows < 0.45)
    if name == "vstripes":
        return np.asarray(columns < 0.4)
    if name == "checks":
        return np.asarray((rows < 0.5) ^ (columns < 0.5))
    if name == "dots":
        return np.asarray((rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.08)
    return _placed(person, x, y, z)


def _placed(person: Identity, x: Floats, y: Floats, z: Floats) -> Mask:
    """Patterns that have one place on the garment."""
    places: dict[str, Callable[[], Mask]] = {
        "block": lambda: z > 0.13 + 0.25 * person.period,
        "band": lambda: np.abs(z - 0.15) < 0.2 * person.period + 0.012,
        "sides": lambda: np.abs(x) > 0.066,
        "diagonal": lambda: x * person.side + (z - 0.14) * 0.8 > 0,
        "hem": lambda: z < 0.045,
        "print": lambda: _printed(person, x, y, z),
    }
    place = places.get(person.pattern)
    return np.zeros(x.shape, dtype=bool) if place is None else place()


def _printed(person: Identity, x: Floats, y: Floats, z: Floats) -> Mask:
    where = y < 0 if person.figure == 5 else y > 0
    return np.asarray(where & _figure(person, x, z - 0.18))


def _figure(person: Identity, x: Floats, z: Floats) -> Mask:
    """Return the shape printed on the chest (on the back for figure 5)."""
    if person.figure == 0:
        return np.asarray(np.hypot(x, z) < 0.036)
    if person.figure == 1:
        return np.asarray((np.abs(x) < 0.05) & (np.abs(z) < 0.018))
    if person.figure == 2:
        return np.asarray((np.abs(x) < (0.045 - z) * 0.6) & (np.abs(z) < 0.045))
    if person.figure == 3:
        return np.asarray((np.abs(x) < 0.05) & (np.abs(np.abs(z) - 0.02) < 0.01))
    if person.figure == 4:
        return np.asarray(np.abs(np.abs(x) - np.abs(z)) < 0.013) & (np.abs(z) < 0.045)
    return np.asarray((np.abs(x) < 0.055) & (np.abs(z) < 0.05))
