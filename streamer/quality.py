"""How good a look at a person is, 0..1: what the sampler prefers and a search may weigh.

A product of what is known to spoil embeddings: small, unsure, cut by the border, hidden by
another person, of an odd shape, blurred. Each factor alone is 1 where nothing is wrong.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace

GOOD_HEIGHT_PX = 160.0
GOOD_SHARPNESS = 120.0
"""Variance of the Laplacian (8-bit grey) of a crop that is sharp enough."""
_BORDER_PX = 2.0
_MAX_ROWS = 192
_NORMAL_ASPECT = (0.25, 0.65)


def look_quality(
    pixels: NDArray[np.uint8],
    box: NDArray[np.float32],
    score: float,
    others: NDArray[np.float32],
) -> float:
    """Return the quality of one box (4,) on a frame (H, W, 3); ``others`` (N, 4) share the frame.

    Rounded to 1/1000, so that two runs that differ in the last bits choose the same shots.
    """
    height_px = float(box[3] - box[1])
    width_px = float(box[2] - box[0])
    if height_px < 2 or width_px < 2:
        return 0.0
    product = (
        math.sqrt(min(1.0, height_px / GOOD_HEIGHT_PX))
        * max(0.0, min(1.0, score))
        * _aspect(width_px / height_px)
        * _border(box, (pixels.shape[0], pixels.shape[1]))
        * (1.0 - 0.7 * overlap(box, others))
        * _sharpness(pixels, box)
    )
    return round(product, 3)


def overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Return the largest part of the box that one other box covers, 0..1."""
    if not len(others):
        return 0.0
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    inner = np.prod(np.clip(high - low, 0, None), axis=1)
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return min(1.0, float(inner.max()) / max(1e-9, area))


def _aspect(width_over_height: float) -> float:
    low, high = _NORMAL_ASPECT
    if width_over_height < low:
        return max(0.2, width_over_height / low)
    return max(0.2, min(1.0, high / width_over_height))


def _border(box: NDArray[np.float32], frame_hw: tuple[int, int]) -> float:
    height, width = frame_hw
    cut_sides = int(box[0] <= _BORDER_PX) + int(box[2] >= width - _BORDER_PX)
    cut_ends = int(box[1] <= _BORDER_PX) + int(box[3] >= height - _BORDER_PX)
    return float(0.5**cut_sides * 0.7**cut_ends)


def _sharpness(pixels: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """Return 0.4..1 by the variance of the Laplacian of the crop's grey picture."""
    x1, y1, x2, y2 = (int(v) for v in (*np.floor(box[:2]), *np.ceil(box[2:])))
    crop = pixels[max(0, y1) : y2, max(0, x1) : x2]
    step = max(1, crop.shape[0] // _MAX_ROWS)
    grey = crop[::step, ::step].astype(np.float32).mean(axis=2)
    if min(grey.shape) < 3:
        return 0.4
    return 0.4 + 0.6 * min(1.0, float(laplace(grey).var()) / GOOD_SHARPNESS)
