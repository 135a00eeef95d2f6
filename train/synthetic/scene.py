"""Places: what stands in a camera's area and where one can walk and leave.

Coordinates are those of the camera's area (see `train.synthetic.camera`), in metres. A
gate is a list of points that leads from out of the camera's sight into the area.
"""

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic.camera import Camera, make_camera
from train.synthetic.furniture import Decal, Item, furnish, hang_decals
from train.synthetic.people import Colour
from train.synthetic.texture import Texture
from train.synthetic.world import WorldSpec, stream

Point = tuple[float, float]

FLOORS: tuple[tuple[str, Colour, Colour], ...] = (
    ("tiles", (0.72, 0.70, 0.66), (0.50, 0.48, 0.45)),
    ("tiles", (0.58, 0.62, 0.66), (0.38, 0.40, 0.42)),
    ("tiles", (0.80, 0.74, 0.63), (0.60, 0.54, 0.46)),
    ("chequer", (0.78, 0.77, 0.74), (0.42, 0.43, 0.45)),
    ("wood", (0.62, 0.45, 0.29), (0.48, 0.33, 0.20)),
    ("wood", (0.73, 0.60, 0.44), (0.60, 0.47, 0.33)),
    ("asphalt", (0.42, 0.42, 0.43), (0.78, 0.78, 0.76)),
    ("carpet", (0.36, 0.40, 0.50), (0.55, 0.55, 0.58)),
    ("carpet", (0.48, 0.30, 0.28), (0.62, 0.52, 0.40)),
    ("plain", (0.60, 0.60, 0.58), (0.5, 0.5, 0.5)),
    ("plain", (0.45, 0.52, 0.48), (0.5, 0.5, 0.5)),
)
WALLS: tuple[tuple[str, Colour, Colour], ...] = (
    ("plain", (0.86, 0.84, 0.79), (0.8, 0.8, 0.8)),
    ("plain", (0.66, 0.74, 0.78), (0.8, 0.8, 0.8)),
    ("plain", (0.78, 0.68, 0.55), (0.8, 0.8, 0.8)),
    ("bricks", (0.60, 0.34, 0.26), (0.70, 0.66, 0.60)),
    ("bricks", (0.74, 0.70, 0.64), (0.60, 0.58, 0.55)),
    ("panels", (0.84, 0.83, 0.80), (0.45, 0.52, 0.50)),
    ("panels", (0.80, 0.76, 0.68), (0.50, 0.36, 0.26)),
    ("glass", (0.25, 0.27, 0.30), (0.62, 0.74, 0.82)),
)


@dataclass(frozen=True, slots=True)
class Lamp:
    """A pool of light on the floor."""

    x: float
    y: float
    radius: float
    power: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One camera's place; `left` and `right` are wall positions, None where it is open."""

    camera: Camera
    floor: Texture
    wall: Texture
    ceiling: Texture
    back_y: float
    door_x: float | None
    left: float | None
    right: float | None
    room_height: float
    items: tuple[Item, ...]
    decals: tuple[Decal, ...]
    lamps: tuple[Lamp, ...]
    sun: tuple[float, float, float]
    ambient: float
    gates: tuple[tuple[Point, ...], ...]

    def free(self, x: float, y: float, margin: float = 0.32) -> bool:
        """Tell whether a person may stand at x, y."""
        if self.left is not None and x < self.left + margin:
            return False
        if self.right is not None and x > self.right - margin:
            return False
        return all(
            x < r[0] - margin or x > r[2] + margin or y < r[1] - margin or y > r[3] + margin
            for r in (item.rect for item in self.items)
        )


def make_scene(spec: WorldSpec, index: int) -> Scene:
    """Furnish the place of camera `index`."""
    rng = stream(spec.seed, "scene", index)
    camera = make_camera(spec, index)
    far = camera.focal_px * 1.65 / (74 * spec.scale)
    back_y = float(min(rng.uniform(9.5, 15.5), far))
    left, right = _side_walls(rng, camera, back_y)
    door_x = _door(rng, camera, back_y, left, right)
    items = furnish(rng, camera, back_y, door_x, left, right)
    tone = float(rng.uniform(0.55, 0.9))
    return Scene(
        camera=camera,
        floor=_surface(rng, FLOORS, float(rng.uniform(0.4, 1.0))),
        wall=_surface(rng, WALLS, float(rng.uniform(0.5, 1.0))),
        ceiling=Texture("tiles", (tone, tone, tone), (0.4, 0.4, 0.4), 0.6),
        back_y=back_y,
        door_x=door_x,
        left=left,
        right=right,
        room_height=float(rng.uniform(camera.mount_m + 0.3, camera.mount_m + 1.5)),
        items=items,
        decals=hang_decals(rng, camera, back_y, door_x),
        lamps=_lamps(rng, back_y),
        sun=_sun(rng),
        ambient=float(rng.uniform(0.5, 0.68)),
        gates=_gates(rng, camera, back_y, door_x, left, right),
    )


def _side_walls(
    rng: np.random.Generator, camera: Camera, back_y: float
) -> tuple[float | None, float | None]:
    reach = camera.half_width(back_y)
    left = -float(rng.uniform(0.6, 0.95)) * reach - 0.5
    right = float(rng.uniform(0.6, 0.95)) * reach + 0.5
    which = rng.integers(4)
    return (left if which in (1, 3) else None), (right if which in (2, 3) else None)


def _door(
    rng: np.random.Generator, camera: Camera, y: float, left: float | None, right: float | None
) -> float | None:
    if rng.random() > 0.7 and not (left is not None and right is not None):
        return None
    centre = y * math.tan(camera.yaw)
    reach = 0.55 * camera.half_width(y)
    low = max(centre - reach, (left if left is not None else -99) + 1.3)
    high = min(centre + reach, (right if right is not None else 99) - 1.3)
    return float(rng.uniform(low, max(high, low + 0.1)))


def _gates(
    rng: np.random.Generator,
    camera: Camera,
    back_y: float,
    door_x: float | None,
    left: float | None,
    right: float | None,
) -> tuple[tuple[Point, ...], ...]:
    gates: list[tuple[Point, ...]] = []
    x = float(rng.uniform(-0.8, 0.8))
    gates.append(((x, 0.3), (x, 1.6)))
    for side, wall in ((-1.0, left), (1.0, right)):
        if wall is None:
            y = float(rng.uniform(0.45, 0.8)) * back_y
            edge = y * math.tan(camera.yaw) + side * (camera.half_width(y) * 1.12 + 1.2)
            gates.append(((edge + side * 0.6, y), (edge - side * 1.2, y)))
    if door_x is not None:
        aside = 3.2 if rng.random() < 0.5 else -3.2
        beyond = back_y + 1.1
        gates.append(((door_x + aside, beyond), (door_x, beyond - 0.2), (door_x, back_y - 0.7)))
    return tuple(gates)


def _surface(
    rng: np.random.Generator, choices: tuple[tuple[str, Colour, Colour], ...], cell: float
) -> Texture:
    kind, one, two = choices[int(rng.integers(len(choices)))]
    shift = rng.uniform(-0.06, 0.06, size=(2, 3))
    r, g, b = np.clip(np.array(one) + shift[0], 0.02, 0.95).tolist()
    r2, g2, b2 = np.clip(np.array(two) + shift[1], 0.02, 0.95).tolist()
    return Texture(kind, (r, g, b), (r2, g2, b2), cell)


def _lamps(rng: np.random.Generator, back_y: float) -> tuple[Lamp, ...]:
    return tuple(
        Lamp(
            float(rng.uniform(-5, 5)), float(rng.uniform(2, back_y)),
            float(rng.uniform(2.0, 4.5)), float(rng.uniform(0.15, 0.5)),
        )
        for _ in range(int(rng.integers(2, 6)))
    )  # fmt: skip


def _sun(rng: np.random.Generator) -> tuple[float, float, float]:
    angle, slant = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.8)
    x, y, z = math.cos(angle) * slant, math.sin(angle) * slant, 1.0
    norm = math.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm
