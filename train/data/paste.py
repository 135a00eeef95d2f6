"""Lay people and things over a training frame: rendered ones on real pictures, and back.

A pasted person gets a box that is tight to the alpha inside the frame, and no identity. Whoever
is covered too far by what is pasted becomes a region to ignore: neither person nor background.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from train.data.augment import LEAST_AREA_PX, Picture, Sample, random_height
from train.data.cutouts import CutOut, premultiplied, soft_mask
from train.data.records import IGNORED, UNLABELLED

COVERED = 0.5
"""A person whose box is covered by more than this share is no longer labelled."""
TRIES = 6
_HALF = 128


def paste_people(
    sample: Sample, cutouts: Sequence[CutOut], count: int, rng: np.random.Generator
) -> Sample:
    """Return the sample with up to ``count`` cut-outs of people, drawn at random."""
    for _ in range(count):
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        sized = _varied(cutout, sample.frame.shape[1], rng)
        place = _free_place(sample, sized.shape[:2], rng)
        if place is not None:
            sample = paste(sample, _matched(sized, sample, place, rng), place, person=True)
    return sample


def paste_things(sample: Sample, things: Sequence[CutOut], rng: np.random.Generator) -> Sample:
    """Return the sample with things laid over it, each somewhere at random."""
    height, width = sample.frame.shape[1:]
    for thing in things:
        tall = min(thing.shape[0], height)
        left = int(rng.integers(-thing.shape[1] // 2, width - thing.shape[1] // 2))
        top = int(rng.integers(-tall // 3, height - tall // 2))
        place = (top, left)
        if _coverage(sample, thing, place) <= COVERED:
            sample = paste(sample, thing, place, person=False)
    return sample


def paste(sample: Sample, cutout: CutOut, place: tuple[int, int], *, person: bool) -> Sample:
    """Blend a cut-out whose corner comes to ``place`` (top, left), which may lie outside.

    Whoever it covers by more than half is ignored from now on. A person of whom too little is
    inside the frame to be labelled is not pasted at all.
    """
    inside = _inside(sample.frame, cutout, place)
    if inside is None:
        return sample
    rows, columns, part = inside
    box = _tight_box(part[..., 3], rows.start, columns.start)
    if person and (box is None or _visible(cutout, part) < 0.4):
        return sample
    frame = sample.frame.copy()
    frame[:, rows, columns] = _blend(frame[:, rows, columns], part)
    ids = np.where(_covered(sample.boxes, part, rows, columns) > COVERED, IGNORED, sample.ids)
    if not person or box is None:
        return replace(sample, frame=frame, ids=ids)
    return Sample(frame, np.concatenate([sample.boxes, box[None]]), np.append(ids, UNLABELLED))


def furniture(rng: np.random.Generator, frame_hw: tuple[int, int]) -> CutOut:
    """Return a thing of plain shapes: a window, a board, a pillar, or a table on one leg."""
    tall = round(frame_hw[0] * rng.uniform(0.2, 0.8))
    wide = max(8, round(tall * math.exp(rng.uniform(math.log(0.15), math.log(1.2)))))
    picture = np.empty((tall, wide, 3), np.float32)
    shade = np.linspace(rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0), tall)[:, None, None]
    picture[:] = rng.uniform(0, 255) * rng.uniform(0.75, 1.0, size=3) * shade
    alpha = np.ones((tall, wide), np.float32)
    if rng.random() < 0.4:
        alpha = _table(alpha, rng)
    else:
        rim = max(1, round(min(tall, wide) * rng.uniform(0.02, 0.12)))
        middle = picture[rim:-rim, rim:-rim]
        middle[:] = middle * 0.3 + rng.uniform(0, 255) * rng.uniform(0.75, 1.0, size=3) * 0.7
    thing = premultiplied(picture.clip(0, 255).astype(np.uint8), alpha)
    lean = rng.uniform(-0.15, 0.15)
    shift = ((np.arange(tall) - tall / 2) * lean).round().astype(int)
    columns = (np.arange(wide)[None] + shift[:, None]).clip(0, wide - 1)
    return np.ascontiguousarray(thing[np.arange(tall)[:, None], columns], dtype=np.uint8)


def _table(alpha: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Keep an oval top, a thin leg and an oval foot of a rectangle."""
    y, x = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]].astype(np.float32)
    y, x = y / alpha.shape[0], x / alpha.shape[1] * 2 - 1
    high, foot = rng.uniform(0.06, 0.2), rng.uniform(0.3, 0.7)
    top = x**2 + ((y - high) / high) ** 2 < 1
    leg = (np.abs(x) < rng.uniform(0.04, 0.12)) & (y > high) & (y < 0.97)
    base = (x / foot) ** 2 + ((y - 0.93) / 0.07) ** 2 < 1
    return np.asarray(np.where(top | leg | base, alpha, 0.0), dtype=np.float32)


def texture(rng: np.random.Generator, frame_hw: tuple[int, int]) -> CutOut:
    """Return a soft-edged patch of smooth random colours, upright or wide."""
    tall = round(frame_hw[0] * rng.uniform(0.1, 0.5))
    wide = max(8, round(tall * math.exp(rng.uniform(math.log(0.3), math.log(1.5)))))
    cells = (int(rng.integers(2, 9)), int(rng.integers(2, 9)))
    coarse = torch.from_numpy(rng.integers(0, 256, size=(1, 3, *cells), dtype=np.uint8))
    smooth = interpolate(coarse, (tall, wide), mode="bilinear")[0].permute(1, 2, 0).numpy()
    return premultiplied(np.ascontiguousarray(smooth), soft_mask((tall, wide)))


def resized(cutout: CutOut, hw: tuple[int, int]) -> CutOut:
    """Return the cut-out in another size."""
    values = torch.from_numpy(cutout).permute(2, 0, 1)[None]
    smaller = hw[0] < cutout.shape[0] or hw[1] < cutout.shape[1]
    out = interpolate(values, hw, mode="bilinear", antialias=smaller)[0]
    return np.ascontiguousarray(out.permute(1, 2, 0).numpy())


def _varied(cutout: CutOut, frame_height: int, rng: np.random.Generator) -> CutOut:
    """Return the cut-out in a random size, mirrored or not, large ones as often as small."""
    tall = frame_height * random_height(rng)
    tall = min(tall, cutout.shape[0] * 2.5)
    wide = tall * cutout.shape[1] / cutout.shape[0] * math.exp(rng.uniform(-0.1, 0.1))
    flipped = cutout[:, ::-1] if rng.random() < 0.5 else cutout
    return resized(np.ascontiguousarray(flipped), (max(24, round(tall)), max(8, round(wide))))


def _free_place(
    sample: Sample, size_hw: tuple[int, ...], rng: np.random.Generator
) -> tuple[int, int] | None:
    """Return a place (top, left) that covers nobody by more than half; None if there is none."""
    height, width = sample.frame.shape[1:]
    tall, wide = size_hw
    full = np.full((tall, wide, 4), 255, np.uint8)
    for _ in range(TRIES):
        left = int(rng.integers(-(wide // 4), max(width - wide * 3 // 4, 1 - wide // 4)))
        low, high = min(0, height - tall), max(0, height - tall)
        top = int(rng.integers(low, high + 1)) if rng.random() < 0.85 else height - tall * 2 // 3
        if _coverage(sample, full, (top, left)) <= COVERED:
            return top, left
    return None


def _matched(
    cutout: CutOut, sample: Sample, place: tuple[int, int], rng: np.random.Generator
) -> CutOut:
    """Bring a cut-out's light some way towards its surroundings', and its edges' sharpness."""
    inside = _inside(sample.frame, cutout, place)
    if inside is None:
        return cutout
    rows, columns, _ = inside
    around = sample.frame[:, rows, columns].reshape(3, -1).mean(axis=1)
    own = cutout[..., :3].sum(axis=(0, 1)) / max(float(cutout[..., 3].sum()) / 255, 1.0)
    bright = (around.mean() + 10) / (own.mean() + 10)
    cast = (around + 10) / (around.mean() + 10)
    gain = bright ** rng.uniform(0, 0.4) * cast ** rng.uniform(0, 0.6)
    values = cutout.astype(np.float32)
    values[..., :3] = np.minimum(values[..., :3] * gain.clip(0.4, 2.0), values[..., 3:])
    if rng.random() < 0.35:
        values = _softened(values)
    return values.round().astype(np.uint8)


def _softened(values: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth = avg_pool2d(torch.from_numpy(values).permute(2, 0, 1)[None], 3, stride=1, padding=1)
    return np.asarray(smooth[0].permute(1, 2, 0).numpy(), dtype=np.float32)


def _inside(
    frame: Picture, cutout: CutOut, place: tuple[int, int]
) -> tuple[slice, slice, CutOut] | None:
    """Return the frame's rows and columns that a cut-out meets, and that part of it."""
    top, left = place
    y0, y1 = max(top, 0), min(top + cutout.shape[0], frame.shape[1])
    x0, x1 = max(left, 0), min(left + cutout.shape[1], frame.shape[2])
    if y0 >= y1 or x0 >= x1:
        return None
    return slice(y0, y1), slice(x0, x1), cutout[y0 - top : y1 - top, x0 - left : x1 - left]


def _tight_box(alpha: NDArray[np.uint8], top: int, left: int) -> NDArray[np.float32] | None:
    solid = alpha >= _HALF
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if solid.sum() <= LEAST_AREA_PX:
        return None
    edges = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
    return np.array(edges, np.float32)


def _visible(cutout: CutOut, part: CutOut) -> float:
    whole = int(np.count_nonzero(cutout[..., 3] >= _HALF))
    return int(np.count_nonzero(part[..., 3] >= _HALF)) / max(whole, 1)


def _blend(under: Picture, part: CutOut) -> Picture:
    over = part.transpose(2, 0, 1).astype(np.uint16)
    rest = (under * (255 - over[3:]) + 127) // 255
    return np.asarray(np.minimum(rest + over[:3], 255), dtype=np.uint8)


def _covered(
    boxes: NDArray[np.float32], part: CutOut, rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Return for each box ``(N, 4)`` the share of it that lies below alpha 128 or more."""
    solid = part[..., 3] >= _HALF
    shares = np.zeros(len(boxes), np.float32)
    for number, box in enumerate(boxes):
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        hidden = solid[
            max(y0 - rows.start, 0) : max(y1 - rows.start, 0),
            max(x0 - columns.start, 0) : max(x1 - columns.start, 0),
        ]
        shares[number] = np.count_nonzero(hidden) / max((x1 - x0) * (y1 - y0), 1)
    return shares


def _coverage(sample: Sample, cutout: CutOut, place: tuple[int, int]) -> float:
    """Return the largest share of a labelled person that a cut-out would cover."""
    inside = _inside(sample.frame, cutout, place)
    if inside is None:
        return 0.0
    people = sample.boxes[sample.ids != IGNORED]
    rows, columns, part = inside
    return float(_covered(people, part, rows, columns).max(initial=0.0))
