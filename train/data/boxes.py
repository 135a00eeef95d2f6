"""Boxes and identities as annotations give them, checked and brought into one form."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from train.data.faults import FaultError, Faults

LARGEST_PX = 1e9
"""A coordinate beyond this is a mistake, whatever the camera."""

LARGEST_IDENTITY = 2**53

_TOLERANCE_PX = 1.0
_FIELDS = ("x", "y", "w", "h")


class Box(NamedTuple):
    """Corners in pixels of the picture."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    @property
    def xywh(self) -> str:
        """The box as annotations write it."""
        width, height = self.x2 - self.x1, self.y2 - self.y1
        return f"x y w h = ({self.x1:g}, {self.y1:g}, {width:g}, {height:g})"


def read_box(
    xywh: Sequence[float],
    file: Path,
    where: str,
    faults: Faults,
    picture_hw: tuple[int, int] | None = None,
) -> Box:
    """Return the part of a box that is in the picture (right and below only if its size is known).

    Raises:
        FaultError: a coordinate is no number of pixels, or the box has no area in the picture.
    """
    for field, value in zip(_FIELDS, xywh, strict=True):
        if not abs(value) < LARGEST_PX:
            raise FaultError(file, where, f"{field} is {value:g}, want a number of pixels")
    x, y, w, h = xywh
    whole = Box(x, y, x + w, y + h)
    if w <= 0 or h <= 0:
        raise FaultError(file, where, f"box {whole.xywh} has no area")
    height, width = picture_hw or (math.inf, math.inf)
    inside = Box(max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height))
    if inside.x2 <= inside.x1 or inside.y2 <= inside.y1:
        size = f" of {width:g} x {height:g} pixels" if picture_hw else ""
        raise FaultError(file, where, f"box {whole.xywh} lies outside the picture{size}")
    if max(abs(a - b) for a, b in zip(whole, inside, strict=True)) > _TOLERANCE_PX:
        faults.remark(file, where, "box reaches over the picture's edge, cut off there")
    return inside


def read_identity(value: float, file: Path, where: str, field: str) -> int:
    """Return an identity.

    Raises:
        FaultError: it is not an integer of 0 or more.
    """
    if not (0 <= value < LARGEST_IDENTITY and float(value).is_integer()):
        raise FaultError(file, where, f"{field} is {value!r}, want an integer of 0 or more")
    return int(value)
