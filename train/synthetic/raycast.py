"""Ray casting of primitives into depth, only inside each one's projected bounds.

A primitive is a simple shape in its own stretched frame: local = (world - origin) @ axes
/ stretch, where the columns of `axes` are the local axes. A straight ray stays straight
under that map and keeps its parameter, so a hit is directly a camera depth.

ROUND: a cone with round ends along local z, from 0 (r0) to length (r1); a ball if length
is 0. TUBE: the open side surface of a cone, radius r0 at 0 and r1 at length. BOX: the cube
from -1 to 1, so that `stretch` holds the half sizes.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.synthetic.camera import Camera, Floats

ROUND, TUBE, BOX = 0, 1, 2
Bounds = tuple[int, int, int, int]
Vector = npt.NDArray[np.float64]
MISS = np.float32(np.inf)
_ONES = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One shape; `material` and `side` are for whoever paints it."""

    kind: int
    origin: Vector
    axes: Vector
    material: int
    r0: float = 1.0
    r1: float = 1.0
    length: float = 0.0
    stretch: tuple[float, float, float] = _ONES
    side: float = 0.0

    @property
    def to_local(self) -> Vector:
        """Linear map (3, 3) from world directions to stretched local ones."""
        return np.asarray(self.axes.T / np.array(self.stretch)[:, None])


@dataclass(slots=True)
class Patch:
    """The part of the frame where shapes were drawn: depth and index of the nearest."""

    bounds: Bounds
    depth: Floats
    index: npt.NDArray[np.int16]


def bounds_of(shape: Primitive, camera: Camera) -> tuple[float, float, float, float]:
    """Return bounds x0, y0, x1, y1 in pixels (unclipped) that hold the projected shape."""
    turned = camera.rotation @ shape.axes
    stretched = turned * np.array(shape.stretch)
    start = camera.rotation @ (shape.origin - camera.centre)
    if shape.kind == BOX:
        balls = [(start, np.abs(stretched).sum(axis=1))]
    else:
        reach = np.sqrt((stretched**2).sum(axis=1))
        end = start + stretched[:, 2] * shape.length
        balls = [(start, reach * shape.r0), (end, reach * shape.r1)]
    return _hull([_ball_bounds(c, e, camera) for c, e in balls])


def draw(shapes: list[Primitive], camera: Camera, patch_bounds: Bounds) -> Patch:
    """Cast all shapes into a new patch; index is -1 where nothing was hit."""
    x0, y0, x1, y1 = patch_bounds
    depth = np.full((y1 - y0, x1 - x0), MISS, dtype=np.float32)
    patch = Patch(patch_bounds, depth, np.full(depth.shape, -1, dtype=np.int16))
    for number, shape in enumerate(shapes):
        _draw_one(number, shape, camera, patch)
    return patch


def clip_bounds(bounds: tuple[float, float, float, float], within: Bounds) -> Bounds:
    """Round bounds outwards to whole pixels inside `within`; may come out empty."""
    x0, y0 = max(math.floor(bounds[0]), within[0]), max(math.floor(bounds[1]), within[1])
    x1, y1 = min(math.ceil(bounds[2]), within[2]), min(math.ceil(bounds[3]), within[3])
    return x0, y0, max(x1, x0), max(y1, y0)


def hit(shape: Primitive, camera: Camera, bounds: Bounds, offset: float = 0.5) -> Floats:
    """Depth of the first hit for the pixels in `bounds`, infinite where there is none."""
    linear = shape.to_local
    o = linear @ (camera.centre - shape.origin)
    d = _local_rays(linear @ camera.rotation.T, camera, bounds, offset)
    if shape.kind == BOX:
        return _hit_box(o, d)
    side = _hit_side(shape, o, d)
    return side if shape.kind == TUBE else _with_caps(shape, o, d, side)


def _draw_one(number: int, shape: Primitive, camera: Camera, patch: Patch) -> None:
    box = clip_bounds(bounds_of(shape, camera), patch.bounds)
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    px, py = patch.bounds[:2]
    window = np.s_[box[1] - py : box[3] - py, box[0] - px : box[2] - px]
    depth = hit(shape, camera, box)
    nearer = depth < patch.depth[window]
    np.copyto(patch.depth[window], depth, where=nearer)
    np.copyto(patch.index[window], np.int16(number), where=nearer)


def _local_rays(turn: Vector, camera: Camera, bounds: Bounds, offset: float) -> list[Floats]:
    x0, y0, x1, y1 = bounds
    u = (np.arange(x0, x1) + (offset - camera.width / 2)) / camera.focal_px
    v = (np.arange(y0, y1) + (offset - camera.height / 2)) / camera.focal_px
    rows = [(row[0] * u, row[1] * v + row[2]) for row in turn]
    return [a.astype(np.float32)[None, :] + b.astype(np.float32)[:, None] for a, b in rows]


def _slope(shape: Primitive) -> tuple[float, float, float, float]:
    """Return c2, s and the z range in which c2 (x2 + y2) = (r0 - s z)2 is the side."""
    if shape.length <= 0.0:
        return 1.0, 0.0, 1.0, 0.0
    s = (shape.r0 - shape.r1) / shape.length
    if shape.kind == TUBE:
        return 1.0, s, 0.0, shape.length
    s = min(max(s, -0.95), 0.95)
    return 1.0 - s * s, s, shape.r0 * s, shape.length + shape.r1 * s


def _hit_side(shape: Primitive, o: Vector, d: list[Floats]) -> Floats:
    c2, s, low, high = (np.float32(v) for v in _slope(shape))
    if low > high:
        return np.full(d[0].shape, MISS, dtype=np.float32)
    ox, oy, oz = (np.float32(v) for v in o)
    k0 = np.float32(shape.r0) - s * oz
    dx, dy, dz = d
    a = c2 * (dx * dx + dy * dy) - (s * s) * dz * dz
    b = c2 * (ox * dx + oy * dy) + (s * k0) * dz
    c = c2 * (ox * ox + oy * oy) - k0 * k0
    disc = b * b - a * c
    root = np.sqrt(np.maximum(disc, 0.0))
    a = np.asarray(np.where(np.abs(a) < 1e-9, np.float32(1e-9), a), dtype=np.float32)
    t = _within((-b - root) / a, oz, dz, disc, low, high)
    if shape.kind == TUBE:
        t = np.minimum(t, _within((-b + root) / a, oz, dz, disc, low, high))
    return t


def _within(
    t: Floats, oz: np.float32, dz: Floats, disc: Floats, low: np.float32, high: np.float32
) -> Floats:
    z = oz + t * dz
    valid = (disc > 0) & (t > 0.05) & (z >= low) & (z <= high)
    return np.where(valid, t, MISS)


def _with_caps(shape: Primitive, o: Vector, d: list[Floats], side: Floats) -> Floats:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    best = _hit_ball(o, 0.0, shape.r0, d, a)
    if shape.length > 0.0:
        best = np.minimum(best, _hit_ball(o, shape.length, shape.r1, d, a))
    return np.where(side < MISS, side, best)


def _hit_ball(o: Vector, z: float, radius: float, d: list[Floats], a: Floats) -> Floats:
    ox, oy, oz = np.float32(o[0]), np.float32(o[1]), np.float32(o[2] - z)
    b = ox * d[0] + oy * d[1] + oz * d[2]
    c = np.float32(o[0] ** 2 + o[1] ** 2 + (o[2] - z) ** 2 - radius**2)
    disc = b * b - a * c
    t = (-b - np.sqrt(np.maximum(disc, 0.0))) / a
    return np.where((disc > 0) & (t > 0.05), t, MISS)


def _hit_box(o: Vector, d: list[Floats]) -> Floats:
    near, far = np.float32(-np.inf), MISS
    low: Floats | np.float32 = near
    high: Floats | np.float32 = far
    for axis in range(3):
        safe = np.where(np.abs(d[axis]) < 1e-9, np.float32(1e-9), d[axis])
        one = np.float32(-1.0 - o[axis]) / safe
        two = np.float32(1.0 - o[axis]) / safe
        low = np.maximum(low, np.minimum(one, two))
        high = np.minimum(high, np.maximum(one, two))
    return np.where((high >= low) & (low > 0.05), low, MISS).astype(np.float32)


def _ball_bounds(
    centre: Vector, extent: Vector, camera: Camera
) -> tuple[float, float, float, float]:
    (x, y, z), (ex, ey, ez) = centre.tolist(), extent.tolist()
    near, far = 1.0 / max(z - ez, 0.1), 1.0 / max(z + ez, 0.1)
    f, cx, cy = camera.focal_px, camera.width / 2, camera.height / 2
    x0, x1, y0, y1 = x - ex, x + ex, y - ey, y + ey
    return (
        f * x0 * (near if x0 < 0 else far) + cx, f * y0 * (near if y0 < 0 else far) + cy,
        f * x1 * (near if x1 > 0 else far) + cx, f * y1 * (near if y1 > 0 else far) + cy,
    )  # fmt: skip


def _hull(
    boxes: list[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def hull_of(shapes: list[Primitive], camera: Camera) -> tuple[float, float, float, float]:
    """Bounds (unclipped) that hold all of the projected shapes."""
    return _hull([bounds_of(shape, camera) for shape in shapes])


def surface(
    shapes: list[Primitive], index: npt.NDArray[np.int16], points: Floats
) -> tuple[Floats, Floats]:
    """Return local positions in metres (N, 3) and world normals (N, 3) of hit points."""
    maps = np.stack([s.to_local for s in shapes]).astype(np.float32)[index]
    origins = np.stack([s.origin for s in shapes]).astype(np.float32)[index]
    local = np.einsum("nij,nj->ni", maps, points - origins)
    stretch = np.array([s.stretch for s in shapes], dtype=np.float32)[index]
    normal = np.einsum("nij,ni->nj", maps, _local_normals(shapes, index, local))
    length = np.sqrt((normal * normal).sum(axis=1, keepdims=True))
    return local * stretch, normal / np.maximum(length, 1e-6)


def _local_normals(shapes: list[Primitive], index: npt.NDArray[np.int16], local: Floats) -> Floats:
    table = np.array([(*_slope(s)[:2], s.r0, s.length) for s in shapes], dtype=np.float32)
    c2, s, r0, length = table[index].T
    kind = np.array([s.kind for s in shapes])[index]
    axis_z = np.clip((local[:, 2] - s * r0) / np.maximum(c2, 1e-3), 0.0, length)
    normal = local.copy()
    normal[:, 2] -= axis_z
    tube = kind == TUBE
    normal[tube, 2] = (s * np.hypot(local[:, 0], local[:, 1]))[tube]
    box = kind == BOX
    largest = np.abs(local).argmax(axis=1)[:, None] == np.arange(3)
    normal[box] = np.where(largest, np.sign(local), 0.0)[box]
    return normal
