"""Random changes to a training frame: zoom, mirror, colour response, blur.

Frames are uint8 ``(3, H, W)``; boxes float32 ``(N, 4)`` in its pixels. All randomness comes from
the generator that is passed in, so that an iteration can be repeated exactly.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float32]

PAD_VALUE = 114


def augment(
    frame: Picture, boxes: Boxes, ids: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Picture, Boxes, NDArray[np.int64]]:
    """Return a changed frame with its boxes; persons cut below 40 % of their area are dropped."""
    if rng.random() < 0.6:
        frame, boxes, ids = _zoom(frame, boxes, ids, rng)
    if rng.random() < 0.5:
        frame, boxes = _mirror(frame, boxes)
    if rng.random() < 0.1:
        frame = _blur(frame)
    return _recolour(frame, rng), boxes, ids


def _mirror(frame: Picture, boxes: Boxes) -> tuple[Picture, Boxes]:
    mirrored = boxes.copy()
    mirrored[:, 0] = frame.shape[2] - boxes[:, 2]
    mirrored[:, 2] = frame.shape[2] - boxes[:, 0]
    return np.ascontiguousarray(frame[:, :, ::-1]), mirrored


def _zoom(
    frame: Picture, boxes: Boxes, ids: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Picture, Boxes, NDArray[np.int64]]:
    """Show a window of 0.65 to 1.3 times the frame; beyond its edge lies grey."""
    height, width = frame.shape[1:]
    share = rng.uniform(0.65, 1.3)
    window_h, window_w = round(height * share), round(width * share)
    top = round(rng.uniform(min(0, height - window_h), max(0, height - window_h)))
    left = round(rng.uniform(min(0, width - window_w), max(0, width - window_w)))
    window = np.full((3, window_h, window_w), PAD_VALUE, np.uint8)
    y0, y1 = max(top, 0), min(top + window_h, height)
    x0, x1 = max(left, 0), min(left + window_w, width)
    window[:, y0 - top : y1 - top, x0 - left : x1 - left] = frame[:, y0:y1, x0:x1]
    resized = interpolate(
        torch.from_numpy(window)[None], (height, width), mode="bilinear", antialias=share > 1
    )
    moved, kept = _move(boxes, (left, top), 1 / share, (height, width))
    return resized[0].numpy(), moved[kept], ids[kept]


def _move(
    boxes: Boxes, origin: tuple[int, int], scale: float, hw: tuple[int, int]
) -> tuple[Boxes, NDArray[np.bool_]]:
    shift = np.array([*origin, *origin], np.float32)
    moved = ((boxes - shift) * scale).astype(np.float32)
    limit = np.array([hw[1], hw[0], hw[1], hw[0]], np.float32)
    clipped = np.clip(moved, 0, limit)
    kept = _area(clipped) >= 0.4 * np.maximum(_area(moved), 1e-6)
    return clipped, kept & (_area(clipped) > 16)


def _area(boxes: Boxes) -> NDArray[np.float32]:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: Boxes = (size[:, 0] * size[:, 1]).astype(np.float32)
    return product


def _blur(frame: Picture) -> Picture:
    smooth = avg_pool2d(
        torch.from_numpy(frame).float()[None], 3, stride=1, padding=1, count_include_pad=False
    )
    return smooth[0].round().to(torch.uint8).numpy()


def _recolour(frame: Picture, rng: np.random.Generator) -> Picture:
    """Apply one response curve a channel: exposure, white balance, contrast and gamma."""
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.9, 1.1, size=3)
    gamma, contrast = rng.uniform(0.8, 1.25), rng.uniform(0.8, 1.2)
    levels = (np.arange(256) / 255.0) ** gamma
    curves = ((levels[None] * gain[:, None] - 0.5) * contrast + 0.5).clip(0, 1) * 255
    tables = curves.round().astype(np.uint8)
    return np.stack([tables[c][frame[c]] for c in range(3)])
