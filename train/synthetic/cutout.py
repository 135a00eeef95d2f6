"""Single people drawn on nothing: cut-outs with an alpha channel, to paste onto any picture.

A cut-out is uint8 ``(h, w, 4)``: sRGB-like colours that are already multiplied by their alpha,
so that it can be scaled and blended without a dark rim, and alpha 0..255. It is tight: every
outer row and column holds a pixel of alpha 128 or more.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from train.synthetic.body import Body, build
from train.synthetic.camera import Camera, Floats
from train.synthetic.paint import paint
from train.synthetic.people import Identity, random_identity
from train.synthetic.pose import Pose
from train.synthetic.raycast import Patch, clip_bounds, draw, hull_of
from train.synthetic.world import stream

CutOut = npt.NDArray[np.uint8]
_SAMPLES = 2
"""Rays a pixel along each axis."""
_HALF = 128


def render_cutouts(seed: int, count: int, height_px: int = 400) -> list[CutOut]:
    """Return ``count`` different people of about ``height_px`` each; number k depends on k."""
    return [render_cutout(stream(seed, "cutout", number), height_px) for number in range(count)]


def render_cutout(rng: np.random.Generator, height_px: int) -> CutOut:
    """Draw one random identity in a random pose, view and light."""
    person = random_identity(rng)
    if rng.random() < 0.5:  # dark, plain clothes are commoner than the palettes have them
        person = replace(person, pattern="plain", bag="none")
    distance, mount = rng.uniform(2.2, 7.0), rng.uniform(1.2, 3.4)
    gait = float(rng.choice([0.0, 0.3, 1.0], p=[0.4, 0.2, 0.4]))
    pose = Pose(0.0, distance, rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi), gait)
    camera = _camera(person, distance, mount, height_px * _SAMPLES)
    figure = build(person, pose)
    frame = (0, 0, camera.width, camera.height)
    patch = draw(figure.shapes, camera, clip_bounds(hull_of(figure.shapes, camera), frame))
    return tight(_expose(_colour(person, figure, patch, camera, rng), patch.index >= 0, rng))


def tight(cutout: CutOut) -> CutOut:
    """Return a cut-out without the outer rows and columns that alpha 128 does not reach."""
    solid = cutout[..., 3] >= _HALF
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        raise ValueError(f"a cut-out of {cutout.shape} has no pixel of alpha {_HALF} or more")
    return np.ascontiguousarray(
        cutout[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=np.uint8
    )


def _camera(person: Identity, distance: float, mount: float, height_px: int) -> Camera:
    """Return a camera that looks at the middle of the body, which fills ``height_px`` or so."""
    tilt = math.atan2(mount - person.stature / 2, distance)
    away = math.hypot(distance, mount - person.stature / 2)
    focal = height_px * away / (person.stature * max(math.cos(tilt), 0.5))
    size = round(height_px * 1.5)
    return Camera("cutout", size, size, focal, mount, tilt, 0.0)


def _colour(
    person: Identity, figure: Body, patch: Patch, camera: Camera, rng: np.random.Generator
) -> Floats:
    """Return linear colours ``(h, w, 3)`` of the patch, black where nothing was hit."""
    colour = np.zeros((*patch.index.shape, 3), np.float32)
    hit = patch.index >= 0
    rows, columns = np.nonzero(hit)
    points = _points(camera, rows + patch.bounds[1], columns + patch.bounds[0], patch.depth[hit])
    albedo, normals = paint(person, figure, patch.index[hit], points)
    colour[hit] = albedo * _light(points, normals, rng)[:, None]
    return colour


def _points(
    camera: Camera, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], depth: Floats
) -> Floats:
    u = (columns + 0.5 - camera.width / 2) / camera.focal_px * depth
    v = (rows + 0.5 - camera.height / 2) / camera.focal_px * depth
    points = np.stack([u, v, depth], axis=1) @ camera.rotation + camera.centre
    return np.asarray(points, dtype=np.float32)


def _light(points: Floats, normals: Floats, rng: np.random.Generator) -> Floats:
    """Light of one lamp from anywhere above, of the sky, and less of both near the floor."""
    turn, height = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.95)
    flat = math.sqrt(1 - height * height)
    lamp = np.array([math.cos(turn) * flat, math.sin(turn) * flat, height], np.float32)
    ambient, power = rng.uniform(0.45, 0.95), rng.uniform(0.7, 1.2)
    direct = np.clip(normals @ lamp, 0.0, 1.0)
    low = 0.75 + 0.25 * np.clip(points[:, 2] / 1.0, 0.0, 1.0)
    light = power * low * (ambient * (0.65 + 0.35 * normals[:, 2]) + (1.05 - ambient) * direct)
    return np.asarray(np.maximum(light, 0.0), dtype=np.float32)


def _expose(linear: Floats, hit: npt.NDArray[np.bool_], rng: np.random.Generator) -> CutOut:
    """Average the samples of each pixel and map light to sRGB-like values."""
    height, width = (side // _SAMPLES for side in hit.shape)
    cut = np.s_[: height * _SAMPLES, : width * _SAMPLES]
    grid = (height, _SAMPLES, width, _SAMPLES)
    alpha = hit[cut].reshape(grid).mean(axis=(1, 3), dtype=np.float32)
    light = linear[cut].reshape(*grid, 3).mean(axis=(1, 3)) / np.maximum(alpha, 1e-3)[..., None]
    grain = rng.normal(1.0, rng.uniform(0.0, 0.08), size=(height, width, 1))
    value = np.clip(light * grain, 0.0, 1.0) ** (1 / 2.2) * alpha[..., None]
    out = np.concatenate([value, alpha[..., None]], axis=2) * 255
    return np.asarray(np.round(out), dtype=np.uint8)
