"""Things that stand in a scene or hang on its back wall.

Footprints are axis-aligned rectangles x0, y0, x1, y1 in metres of the camera's area.
"""

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic.camera import Camera
from train.synthetic.people import Colour
from train.synthetic.texture import Texture

Rect = tuple[float, float, float, float]
DOOR_HALF_M = 0.85
DOOR_HEIGHT_M = 2.3

FURNITURE: tuple[Colour, ...] = (
    (0.62, 0.46, 0.30), (0.85, 0.84, 0.82), (0.30, 0.31, 0.33), (0.55, 0.20, 0.18),
    (0.20, 0.36, 0.48), (0.38, 0.48, 0.36), (0.78, 0.66, 0.40),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of furniture: kind, footprint, height and its look."""

    kind: str
    rect: Rect
    height: float
    texture: Texture
    top: Texture


@dataclass(frozen=True, slots=True)
class Decal:
    """A flat picture on the back wall: x and z ranges and what it shows."""

    x0: float
    x1: float
    z0: float
    z1: float
    texture: Texture


def furnish(
    rng: np.random.Generator,
    camera: Camera,
    back_y: float,
    door_x: float | None,
    left: float | None,
    right: float | None,
) -> tuple[Item, ...]:
    """Put three to six things where they block neither the doors nor the way in."""
    items: list[Item] = []
    for _ in range(int(rng.integers(3, 7))):
        for _ in range(12):
            item = _item(rng, camera, back_y)
            if _fits(item.rect, items, back_y, door_x, left, right):
                items.append(item)
                break
    return tuple(items)


def _item(rng: np.random.Generator, camera: Camera, back_y: float) -> Item:
    kind = str(rng.choice(
        ["counter", "box", "shelf", "pillar", "plant", "bench", "sign"],
        p=[0.2, 0.17, 0.13, 0.14, 0.18, 0.13, 0.05],
    ))  # fmt: skip
    sizes = {
        "counter": (rng.uniform(1.2, 2.4), 0.6, rng.uniform(0.85, 1.1)),
        "box": (rng.uniform(0.5, 1.0), rng.uniform(0.5, 0.9), rng.uniform(0.4, 1.1)),
        "shelf": (rng.uniform(1.0, 2.0), 0.45, rng.uniform(1.3, 1.9)),
        "pillar": (0.5, 0.5, 6.0),
        "plant": (0.5, 0.5, rng.uniform(0.9, 1.6)),
        "bench": (rng.uniform(1.2, 1.8), 0.45, 0.45),
        "sign": (0.6, 0.12, rng.uniform(1.1, 1.5)),
    }
    wide, deep, tall = sizes[kind]
    if rng.random() < 0.3 and kind in ("counter", "shelf", "bench"):
        wide, deep = deep, wide
    y = float(rng.uniform(4.8, back_y - 0.5))
    reach = 0.95 * camera.half_width(y)
    x = y * math.tan(camera.yaw) + float(rng.uniform(-reach, reach))
    colour = FURNITURE[int(rng.integers(len(FURNITURE)))]
    other = FURNITURE[int(rng.integers(len(FURNITURE)))]
    look = {"shelf": "shelf", "counter": "panels", "sign": "poster"}.get(kind, "plain")
    return Item(
        kind, (x - wide / 2, y - deep / 2, x + wide / 2, y + deep / 2), float(tall),
        Texture(look, colour, other, float(rng.uniform(0.3, 0.7))), Texture("plain", other, colour),
    )  # fmt: skip


def _fits(
    rect: Rect,
    items: list[Item],
    back_y: float,
    door_x: float | None,
    left: float | None,
    right: float | None,
) -> bool:
    x0, y0, x1, y1 = rect
    if y1 > back_y - 0.05 or (left is not None and x0 < left) or (right is not None and x1 > right):
        return False
    if x0 < 0.9 and x1 > -0.9 and y0 < 6.0:
        return False
    if door_x is not None and x0 < door_x + 1.3 and x1 > door_x - 1.3 and y1 > back_y - 2.5:
        return False
    return all(
        x1 + 1.2 < r[0] or x0 - 1.2 > r[2] or y1 + 1.2 < r[1] or y0 - 1.2 > r[3]
        for r in (item.rect for item in items)
    )


def hang_decals(
    rng: np.random.Generator, camera: Camera, y: float, door_x: float | None
) -> tuple[Decal, ...]:
    """Hang pictures, windows and closed doors on the back wall."""
    decals = []
    reach = camera.half_width(y) * 1.1
    for _ in range(int(rng.integers(2, 6))):
        x = y * math.tan(camera.yaw) + float(rng.uniform(-reach, reach))
        wide = float(rng.uniform(0.4, 1.3))
        if door_x is not None and abs(x - door_x) < DOOR_HALF_M + wide:
            continue
        low, high = (0.0, 2.1) if rng.random() < 0.25 else (1.0, float(rng.uniform(1.6, 2.3)))
        kind = str(rng.choice(["poster", "glass", "plain"]))
        one, two = (FURNITURE[int(k)] for k in rng.integers(len(FURNITURE), size=2))
        texture = Texture(kind, one, two, float(rng.uniform(0.3, 0.8)))
        decals.append(Decal(x - wide / 2, x + wide / 2, low, high, texture))
    return tuple(decals)
