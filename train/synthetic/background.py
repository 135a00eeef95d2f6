"""The empty scene of one camera, drawn once: linear colours, depth and floor positions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.synthetic.camera import Camera, Floats
from train.synthetic.furniture import DOOR_HALF_M, DOOR_HEIGHT_M, Item
from train.synthetic.pose import body_axes
from train.synthetic.raycast import BOX, MISS, ROUND, TUBE, Primitive, draw, surface
from train.synthetic.scene import Scene
from train.synthetic.texture import Texture
from train.synthetic.world import stream

CORRIDOR_M = 2.6
_SAMPLES = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Background:
    """Linear colour (H, W, 3), depth (H, W); floor x, y (H, W, 2), nan off the floor."""

    colour: Floats
    depth: Floats
    floor: Floats


def make_background(scene: Scene) -> Background:
    """Draw the scene without people."""
    solids = _solids(scene)
    views = [_view(scene, solids, du, dv)[0] for du, dv in _SAMPLES]
    _, depth, is_floor = _view(scene, solids, 0.5, 0.5)
    points = scene.camera.rays() * depth[..., None]
    floor = np.where(is_floor[..., None], points[..., :2], np.nan)
    colour = np.asarray(np.mean(np.stack(views), axis=0, dtype=np.float32), dtype=np.float32)
    return Background(colour, depth, floor.astype(np.float32))


def light_at(scene: Scene, x: Floats | np.float32, y: Floats | np.float32) -> Floats:
    """Brightness of the lamps at a place of the floor."""
    total = np.full(np.shape(x), 0.72, dtype=np.float32)
    for lamp in scene.lamps:
        far2 = (x - lamp.x) ** 2 + (y - lamp.y) ** 2
        total = total + np.float32(lamp.power) * np.exp(-far2 / (2 * lamp.radius**2))
    return np.asarray(total, dtype=np.float32)


def _view(
    scene: Scene, solids: list[tuple[Primitive, Texture]], du: float, dv: float
) -> tuple[Floats, Floats, Mask]:
    rays = scene.camera.rays(du, dv)
    colour, depth, is_floor = _room(scene, rays)
    camera = scene.camera
    patch = draw([s for s, _ in solids], camera, (0, 0, camera.width, camera.height))
    front = (patch.index >= 0) & (patch.depth < depth)
    points = (rays[front] * patch.depth[front][:, None]).astype(np.float32)
    points[:, 2] += np.float32(camera.mount_m)
    colour[front] = _paint_solids(scene, solids, patch.index[front], points)
    return colour, np.where(front, patch.depth, depth), is_floor & ~front


def _room(scene: Scene, rays: Floats) -> tuple[Floats, Floats, Mask]:
    """Draw floor, ceiling and walls."""
    h = np.float32(scene.camera.mount_m)
    planes = _planes(scene, rays)
    depth = np.full(rays.shape[:2], np.float32(200.0))
    which = np.full(rays.shape[:2], -1)
    for number, t in enumerate(planes):
        nearer = (t > 0.05) & (t < depth)
        depth[nearer], which[nearer] = t[nearer], number
    points = rays * depth[..., None]
    points[..., 2] += h
    colour = np.full(rays.shape, 0.5, dtype=np.float32)
    for number in range(len(planes)):
        chosen = which == number
        colour[chosen] = _plane_colour(scene, number, points[chosen])
    return colour, depth.astype(np.float32), which == 0


def _planes(scene: Scene, rays: Floats) -> list[Floats]:
    """Ray parameters of floor, ceiling, back wall, corridor wall, left and right wall."""
    h = scene.camera.mount_m
    down = np.where(np.abs(rays[..., 2]) < 1e-6, np.float32(1e-6), rays[..., 2])
    across = np.where(np.abs(rays[..., 0]) < 1e-6, np.float32(1e-6), rays[..., 0])
    ahead = np.maximum(rays[..., 1], 1e-6)
    back = scene.back_y / ahead
    if scene.door_x is not None:
        hole_x = np.abs(rays[..., 0] * back - scene.door_x) < DOOR_HALF_M
        back = np.where(hole_x & (rays[..., 2] * back + h < DOOR_HEIGHT_M), MISS, back)
    sides = [
        np.full(back.shape, MISS) if x is None else _side(scene, x, rays, across)
        for x in (scene.left, scene.right)
    ]
    floor, ceiling = -h / down, (scene.room_height - h) / down
    planes = [floor, ceiling, back, (scene.back_y + CORRIDOR_M) / ahead, *sides]
    return [np.asarray(plane, dtype=np.float32) for plane in planes]


def _side(scene: Scene, x: float, rays: Floats, across: Floats) -> Floats:
    t = np.float32(x) / across
    return np.asarray(np.where(rays[..., 1] * t < scene.back_y, t, MISS), dtype=np.float32)


def _plane_colour(scene: Scene, number: int, p: Floats) -> Floats:
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    light = light_at(scene, x, y)
    if number == 0:
        colour = scene.floor.colour(x, y) * _contact(scene, x, y)[:, None]
        light = light * np.where(y > scene.back_y, 0.45, 1.0)
    elif number == 1:
        colour = scene.ceiling.colour(x, y) * 0.8
    elif number in (2, 3):
        colour = _back_wall(scene, x, z) if number == 2 else scene.wall.colour(x, z) * 0.35
    else:
        colour = scene.wall.colour(y, z) * (0.8 if number == 4 else 0.9)
    if number >= 2:
        colour = np.where((z < 0.09)[:, None], colour * 0.45, colour)
        light = light * (0.8 + 0.2 * np.clip(z / 1.2, 0, 1))
    return np.asarray(colour * light[:, None], dtype=np.float32)


def _back_wall(scene: Scene, x: Floats, z: Floats) -> Floats:
    colour = scene.wall.colour(x, z)
    for decal in scene.decals:
        inside = (x > decal.x0) & (x < decal.x1) & (z > decal.z0) & (z < decal.z1)
        colour[inside] = decal.texture.colour(x[inside] - decal.x0, z[inside])
    if scene.door_x is not None:
        frame = (np.abs(x - scene.door_x) < DOOR_HALF_M + 0.09) & (z < DOOR_HEIGHT_M + 0.09)
        colour[frame] = 0.12
    return colour


def _contact(scene: Scene, x: Floats, y: Floats) -> Floats:
    """Darken the floor near furniture and walls."""
    shade = np.ones(x.shape, dtype=np.float32)
    for item in scene.items:
        x0, y0, x1, y1 = item.rect
        far = np.hypot(
            np.maximum(np.maximum(x0 - x, x - x1), 0), np.maximum(np.maximum(y0 - y, y - y1), 0)
        )
        shade *= 1.0 - 0.5 * np.exp(-far / 0.16)
    near_wall = np.abs(y - scene.back_y)
    return np.asarray(shade * (1.0 - 0.3 * np.exp(-near_wall / 0.25)), dtype=np.float32)


def _paint_solids(
    scene: Scene,
    solids: list[tuple[Primitive, Texture]],
    index: npt.NDArray[np.int16],
    points: Floats,
) -> Floats:
    _, normal = surface([s for s, _ in solids], index, points)
    colour = np.empty(points.shape, dtype=np.float32)
    upright = np.abs(normal[:, 2]) > 0.7
    u = np.where(np.abs(normal[:, 0]) > 0.7, points[:, 1], points[:, 0])
    v = np.where(upright, points[:, 1], points[:, 2])
    for number in np.unique(index):
        chosen = index == number
        colour[chosen] = solids[number][1].colour(u[chosen], v[chosen])
    sun = np.clip(normal @ np.asarray(scene.sun, dtype=np.float32), 0, 1)
    light = light_at(scene, points[:, 0], points[:, 1]) * (0.62 + 0.45 * sun)
    low = 0.75 + 0.25 * np.clip(points[:, 2] / 0.3, 0, 1)
    return np.asarray(colour * (light * low)[:, None], dtype=np.float32)


def _solids(scene: Scene) -> list[tuple[Primitive, Texture]]:
    return [part for item in scene.items for part in _item_parts(item, scene.camera)]


def _item_parts(item: Item, camera: Camera) -> list[tuple[Primitive, Texture]]:
    x0, y0, x1, y1 = item.rect
    cx, cy, h = (x0 + x1) / 2, (y0 + y1) / 2, item.height
    wide, deep = (x1 - x0) / 2, (y1 - y0) / 2
    if item.kind == "pillar":
        return [(_upright(cx, cy, 0.0, 0.25, 0.25, h, TUBE), item.texture)]
    if item.kind == "plant":
        return _plant(cx, cy, h, item.texture)
    body = _block(cx, cy, h / 2, wide, deep, h / 2)
    if item.kind == "bench":
        seat = (_block(cx, cy, h - 0.05, wide, deep, 0.05), item.texture)
        legs = [_block(cx + k * wide * 0.8, cy, h / 2 - 0.05, 0.05, deep * 0.8, h / 2 - 0.05)
                for k in (-1, 1)]  # fmt: skip
        return [seat, *((leg, item.top) for leg in legs)]
    if item.kind in ("counter", "box", "shelf"):
        lid = _block(cx, cy, h - 0.02, wide + 0.02, deep + 0.02, 0.022)
        return [(body, item.texture), (lid, item.top)]
    return [(body, item.texture)]


def _plant(x: float, y: float, height: float, pot: Texture) -> list[tuple[Primitive, Texture]]:
    rng = stream(int(abs(x) * 1000), "plant", int(abs(y) * 1000))
    parts = [(_upright(x, y, 0.0, 0.16, 0.24, 0.42, TUBE), pot)]
    for _ in range(16):
        green = (0.12 + rng.random() * 0.15, 0.30 + rng.random() * 0.28, 0.10)
        tip = np.array([x, y, height]) + rng.uniform(-1, 1, 3) * (0.32, 0.32, 0.35 * height)
        tip[2] = max(tip[2], 0.5)
        axes = body_axes(float(rng.uniform(0, 6.28)))
        size = float(rng.uniform(0.1, 0.2))
        leaf = Primitive(ROUND, tip, axes, 0, size, size, 0.0, (0.5, 1.0, 1.1))
        parts.append((leaf, Texture("plain", green, green)))
    return parts


def _block(x: float, y: float, z: float, wide: float, deep: float, tall: float) -> Primitive:
    return Primitive(BOX, np.array([x, y, z]), np.eye(3), 0, stretch=(wide, deep, tall))


def _upright(
    x: float, y: float, z: float, r0: float, r1: float, length: float, kind: int
) -> Primitive:
    return Primitive(kind, np.array([x, y, z]), np.eye(3), 0, r0, r1, length)
