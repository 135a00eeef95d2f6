"""Intersection over union of boxes x1 y1 x2 y2, in float64, without the old "+1"."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32] | NDArray[np.float64]


def iou_matrix(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the overlap (N, M) in 0..1 of boxes (N, 4) with others (M, 4).

    Two boxes without area overlap by 0.
    """
    a = boxes.astype(np.float64)[:, None, :]
    b = others.astype(np.float64)[None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared: NDArray[np.float64] = np.prod(np.maximum(sides, 0.0), axis=-1)
    union = _area(a) + _area(b) - shared
    overlap = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
    return area
