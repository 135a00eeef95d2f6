"""Random changes to a training frame: window, mirror, light and colour, faults of a camera.

A sample's frame is uint8 ``(3, H, W)``; boxes float32 ``(N, 4)`` in its pixels. All randomness
comes from the generator that is passed in, so that a frame can be made again exactly. ``light``
varies what a rendered site varies too little; ``strong`` is for frames that a net must not be
able to tell from real ones: large and small people, poor light, compression, grain.
"""

import io
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import avg_pool2d, interpolate

from engines.letterbox import PAD_VALUE
from train.data.records import IGNORED

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float32]

KEPT_SHARE = 0.4
"""A person of whom less than this lies in the frame becomes a region to ignore."""
LEAST_AREA_PX = 16
SCALES = (0.33, 1.6)
"""Side of a strong window, as a share of the picture's."""
_GRAIN = np.random.default_rng(11).normal(size=(512, 1024)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One frame and the persons in it; ``ids`` as in `train.data.records` and `IGNORED`."""

    frame: Picture
    boxes: Boxes
    ids: NDArray[np.int64]


def light(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a sample with a little zoom, mirrored or not, and another colour response."""
    if rng.random() < 0.6:
        sample = _zoom(sample, rng)
    if rng.random() < 0.5:
        sample = mirror(sample)
    frame = _soften(sample.frame) if rng.random() < 0.1 else sample.frame
    return replace(sample, frame=_recolour(frame, rng, 1.0))


def strong_view(
    picture: Picture, boxes: Boxes, ids: NDArray[np.int64], hw: tuple[int, int],
    rng: np.random.Generator,
) -> Sample:  # fmt: skip
    """Return a window of a whole picture ``(3, h, w)`` as a frame of ``hw``, mirrored or not.

    More often than not the window is laid around a person, in a scale that gives that person
    a height drawn by `random_height`, as far as `SCALES` lets it.
    """
    fit = min(hw[0] / picture.shape[1], hw[1] / picture.shape[2])
    people = np.flatnonzero(ids != IGNORED)
    if len(people) and rng.random() < 0.65:
        box = boxes[rng.choice(people)]
        share = float(box[3] - box[1]) * fit / hw[0] / random_height(rng)
        centre = (box[:2] + box[2:])[::-1] / 2
    else:
        share = math.exp(rng.uniform(math.log(0.45), math.log(1.25)))
        centre = np.array(picture.shape[1:]) * rng.uniform(0.2, 0.8, size=2)
    share = min(max(share, SCALES[0]), SCALES[1])
    stretch = math.exp(rng.uniform(-0.08, 0.08))
    size = np.array([hw[0] * stretch, hw[1] / stretch]) / fit * share
    low = centre - size * rng.uniform(0.25, 0.75, size=2)
    if rng.random() < 0.8:  # as far as it can, the window stays on the picture
        room = np.array(picture.shape[1:]) - size
        low = low.clip(np.minimum(room, 0), np.maximum(room, 0))
    sample = _window(picture, boxes, ids, hw, (low[0], low[1]), (size[0], size[1]))
    return mirror(sample) if rng.random() < 0.5 else sample


def random_height(rng: np.random.Generator) -> float:
    """Return a person's height as a share of the frame's: half of them 0.5 and more."""
    if rng.random() < 0.5:
        return float(rng.uniform(0.5, 1.15))
    return math.exp(rng.uniform(math.log(0.12), math.log(0.6)))


def strong_light(frame: Picture, rng: np.random.Generator) -> Picture:
    """Return the frame as another camera, lamp or recording would have it."""
    frame = _recolour(frame, rng, 1.4)
    if rng.random() < 0.12:
        frame = _grey(frame)
    draw = rng.random()
    if draw < 0.12:
        frame = _soften(frame)
    elif draw < 0.22:
        frame = _streak(frame, int(rng.integers(3, 8)), upright=rng.random() < 0.25)
    elif draw < 0.37:
        frame = _coarse(frame, rng.uniform(0.4, 0.8))
    if rng.random() < 0.4:
        frame = _grain(frame, rng)
    return _compressed(frame, int(rng.integers(25, 90))) if rng.random() < 0.4 else frame


def mirror(sample: Sample) -> Sample:
    """Return the sample with left and right swapped."""
    mirrored = sample.boxes.copy()
    mirrored[:, 0] = sample.frame.shape[2] - sample.boxes[:, 2]
    mirrored[:, 2] = sample.frame.shape[2] - sample.boxes[:, 0]
    return replace(sample, frame=np.ascontiguousarray(sample.frame[:, :, ::-1]), boxes=mirrored)


def _zoom(sample: Sample, rng: np.random.Generator) -> Sample:
    """Show a window of 0.65 to 1.3 times the frame; beyond its edge lies grey."""
    height, width = sample.frame.shape[1:]
    share = rng.uniform(0.65, 1.3)
    size = (height * share, width * share)
    top = rng.uniform(min(0.0, height - size[0]), max(0.0, height - size[0]))
    left = rng.uniform(min(0.0, width - size[1]), max(0.0, width - size[1]))
    return _window(sample.frame, sample.boxes, sample.ids, (height, width), (top, left), size)


def _window(
    picture: Picture, boxes: Boxes, ids: NDArray[np.int64], hw: tuple[int, int],
    origin_yx: tuple[float, float], size_hw: tuple[float, float],
) -> Sample:  # fmt: skip
    """Return a window of a picture, which may reach beyond it, as a frame of ``hw``."""
    top, left = round(origin_yx[0]), round(origin_yx[1])
    tall, wide = max(8, round(size_hw[0])), max(8, round(size_hw[1]))
    scale = np.array([hw[1] / wide, hw[0] / tall] * 2, np.float32)
    moved = (boxes - np.array([left, top, left, top], np.float32)) * scale
    y0, y1 = max(top, 0), min(top + tall, picture.shape[1])
    x0, x1 = max(left, 0), min(left + wide, picture.shape[2])
    frame = np.full((3, *hw), PAD_VALUE, np.uint8)
    if y1 > y0 and x1 > x0:
        corners = np.array([x0 - left, y0 - top, x1 - left, y1 - top]) * scale
        a, b, c, d = (round(float(v)) for v in corners)
        c, d = max(c, a + 1), max(d, b + 1)
        frame[:, b:d, a:c] = _resize(picture[:, y0:y1, x0:x1], (d - b, c - a))[
            :, : hw[0] - b, : hw[1] - a
        ]
    return clipped(Sample(frame, moved.astype(np.float32), ids))


def _resize(picture: Picture, hw: tuple[int, int]) -> Picture:
    smaller = hw[0] < picture.shape[1] or hw[1] < picture.shape[2]
    values = torch.from_numpy(picture)[None]
    return interpolate(values, hw, mode="bilinear", antialias=smaller)[0].numpy()


def clipped(sample: Sample) -> Sample:
    """Return the sample with boxes cut at the frame.

    A person of whom too little is left becomes a region to ignore; what is outside is dropped.
    """
    height, width = sample.frame.shape[1:]
    limit = np.array([width, height, width, height], np.float32)
    clipped = np.clip(sample.boxes, 0, limit)
    left = area(clipped)
    ids = np.where(left >= KEPT_SHARE * area(sample.boxes), sample.ids, IGNORED)
    kept = left > LEAST_AREA_PX
    return Sample(sample.frame, clipped[kept], ids[kept])


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Return the areas ``(N,)`` of boxes; empty ones have none."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[np.float32] = (size[:, 0] * size[:, 1]).astype(np.float32)
    return product


def _soften(frame: Picture) -> Picture:
    return _pooled(frame, (3, 3))


def _streak(frame: Picture, length: int, *, upright: bool) -> Picture:
    """Smear the frame along one axis, as a moving camera or person does."""
    odd = length | 1
    return _pooled(frame, (odd, 1) if upright else (1, odd))


def _pooled(frame: Picture, size: tuple[int, int]) -> Picture:
    pad = (size[0] // 2, size[1] // 2)
    values = torch.from_numpy(frame).float()[None]
    smooth = avg_pool2d(values, size, stride=1, padding=pad, count_include_pad=False)
    return smooth[0].round().to(torch.uint8).numpy()


def _coarse(frame: Picture, share: float) -> Picture:
    """Lose detail as a recording of a lower resolution does."""
    height, width = frame.shape[1:]
    return _resize(_resize(frame, (round(height * share), round(width * share))), (height, width))


def _grey(frame: Picture) -> Picture:
    weights = np.array([77, 150, 29], np.uint16)
    grey = (frame.astype(np.uint16) * weights[:, None, None]).sum(axis=0, dtype=np.uint16) >> 8
    return np.repeat(grey.astype(np.uint8)[None], 3, axis=0)


def _grain(frame: Picture, rng: np.random.Generator) -> Picture:
    height, width = frame.shape[1:]
    top, left = int(rng.integers(64)), int(rng.integers(64))
    rows = (np.arange(height) + top) % _GRAIN.shape[0]
    columns = (np.arange(width) + left) % _GRAIN.shape[1]
    noise = (_GRAIN[rows][:, columns] * rng.uniform(2, 10)).astype(np.int16)
    return np.asarray(np.clip(frame + noise, 0, 255), dtype=np.uint8)


def _compressed(frame: Picture, quality: int) -> Picture:
    """Lose what a JPEG of this quality loses."""
    file = io.BytesIO()
    Image.fromarray(frame.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file), dtype=np.uint8)
    return np.ascontiguousarray(decoded.transpose(2, 0, 1), dtype=np.uint8)


def _recolour(frame: Picture, rng: np.random.Generator, strength: float) -> Picture:
    """Apply one response curve a channel: exposure, white balance, contrast and gamma.

    ``strength`` 1 changes the exposure by up to 0.75 to 1.3, the others in proportion.
    """
    gain = math.exp(rng.uniform(-0.29, 0.26) * strength)
    tint = np.exp(rng.uniform(-0.1, 0.1, size=3) * strength)
    gamma = math.exp(rng.uniform(-0.22, 0.22) * strength)
    contrast = math.exp(rng.uniform(-0.2, 0.2) * strength)
    levels = (np.arange(256) / 255.0) ** gamma
    curves = ((levels[None] * (gain * tint)[:, None] - 0.5) * contrast + 0.5).clip(0, 1) * 255
    tables = curves.round().astype(np.uint8)
    return np.stack([tables[c][frame[c]] for c in range(3)])
