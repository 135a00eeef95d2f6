"""Zones and privacy masks: polygons of normalised points (x, y), each 0..1, origin top left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Polygon = tuple[Point, ...]

MASK_GREY = 114
"""Value of masked pixels: the same grey as the engine's padding."""


def contains(polygon: Polygon, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for each point whether it lies inside, by the even-odd rule; shapes broadcast."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def inside_any(polygons: Sequence[Polygon], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for each row (x, y) of ``points`` (N, 2), normalised, whether any polygon holds it."""
    inside = np.zeros(len(points), np.bool_)
    for polygon in polygons:
        inside |= contains(polygon, points[:, 0], points[:, 1])
    return inside


def foot_points(boxes: NDArray[np.float32], frame_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Return the normalised bottom centre (N, 2) of boxes (N, 4) x1 y1 x2 y2 in pixels.

    The last row of the frame still counts as inside a zone that reaches the frame's edge.
    """
    height, width = frame_hw
    x = (boxes[:, 0] + boxes[:, 2]) / (2.0 * width)
    y = boxes[:, 3] / float(height)
    just_below_one = np.nextafter(1.0, 0.0)
    return np.clip(np.stack([x, y], axis=1).astype(np.float64), 0.0, just_below_one)


class PrivacyMask:
    """Paints the masked parts of every frame grey, before anything else sees them."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self._polygons = tuple(polygons)
        self._hidden: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)

    def apply(self, pixels: NDArray[np.uint8]) -> None:
        """Paint RGB ``(H, W, 3)`` in place."""
        if not self._polygons:
            return
        if self._hidden.shape != pixels.shape[:2]:
            self._hidden = self._raster((pixels.shape[0], pixels.shape[1]))
        np.copyto(pixels, np.uint8(MASK_GREY), where=self._hidden[..., None])

    def _raster(self, frame_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels (H, W) lie inside a mask; a pixel is its centre."""
        height, width = frame_hw
        x = ((np.arange(width) + 0.5) / width)[None, :]
        y = ((np.arange(height) + 0.5) / height)[:, None]
        hidden = np.zeros(frame_hw, np.bool_)
        for polygon in self._polygons:
            hidden |= contains(polygon, x, y)
        return hidden
