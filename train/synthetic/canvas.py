"""One frame under construction: people drawn into depth, shadows, labels.

A label's box holds the whole projected body inside the frame (also what is hidden);
`visible` is the share of the whole body, including what lies outside the frame, that can
be seen. Drawing order does not matter for people, only for their shadows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.synthetic.background import Background, light_at
from train.synthetic.body import Body, build
from train.synthetic.camera import Floats
from train.synthetic.paint import paint
from train.synthetic.people import Identity
from train.synthetic.pose import Pose
from train.synthetic.raycast import Bounds, clip_bounds, draw, hull_of
from train.synthetic.scene import Scene

MIN_VISIBLE = 0.3
MIN_HEIGHT_PX, MIN_WIDTH_PX = 36, 12


@dataclass(frozen=True, slots=True)
class Label:
    """One person in one frame: box x, y, w, h in pixels, world position in metres."""

    person: int
    pid: int | None
    box: tuple[float, float, float, float]
    visible: float
    world: tuple[float, float]


@dataclass(slots=True)
class _Drawn:
    """A person on the frame: amodal pixels inside the frame and where they won."""

    person: Identity
    pose: Pose
    bounds: Bounds
    amodal: npt.NDArray[np.bool_]
    share_inside: float
    number: int


class Canvas:
    """One frame under construction."""

    def __init__(self, background: Background, scene: Scene) -> None:
        """Start from the empty scene."""
        self.scene = scene
        self.camera = scene.camera
        self.floor = background.floor
        self.colour = background.colour.copy()
        self.depth = background.depth.copy()
        self.owner = np.full(self.depth.shape, -1, dtype=np.int16)
        self.drawn: list[_Drawn] = []
        self.dirty: list[Bounds] = []

    def add(self, person: Identity, pose: Pose) -> None:
        """Draw one person."""
        if pose.y < 0.25:
            return
        frame = (0, 0, self.camera.width, self.camera.height)
        figure = build(person, pose)
        hull = hull_of(figure.shapes, self.camera)
        bounds = clip_bounds(hull, frame)
        self._shadow(person, pose)
        if bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
            return
        patch = draw(figure.shapes, self.camera, bounds)
        amodal = patch.index >= 0
        x0, y0, x1, y1 = bounds
        window = np.s_[y0:y1, x0:x1]
        won = patch.depth < self.depth[window]
        if won.any():
            self._paint(person, figure, patch.index, patch.depth, won, bounds)
            self.depth[window][won] = patch.depth[won]
            self.owner[window][won] = len(self.drawn)
        self.dirty.append(bounds)
        share = _inside_share(hull, bounds)
        self.drawn.append(_Drawn(person, pose, bounds, amodal, share, len(self.drawn)))

    def labels(self, scale: float) -> list[Label]:
        """Return labels of those who are visible and large enough."""
        found = [self._label(drawn) for drawn in self.drawn]
        return [label for label in found if label is not None and _large(label, scale)]

    def touched(self, margin: int) -> list[Bounds]:
        """Changed parts of the frame, overlapping ones joined."""
        height, width = self.depth.shape
        parts: list[Bounds] = []
        for x0, y0, x1, y1 in self.dirty:
            box = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
            parts.append(clip_bounds(box, (0, 0, width, height)))
        return _joined([p for p in parts if p[0] < p[2] and p[1] < p[3]])

    def _paint(
        self,
        person: Identity,
        figure: Body,
        index: npt.NDArray[np.int16],
        depth: Floats,
        won: npt.NDArray[np.bool_],
        bounds: Bounds,
    ) -> None:
        rows, columns = np.nonzero(won)
        points = self._points(rows + bounds[1], columns + bounds[0], depth[won])
        albedo, normals = paint(person, figure, index[won], points)
        light = self._light(points, normals, figure)
        self.colour[bounds[1] : bounds[3], bounds[0] : bounds[2]][won] = albedo * light[:, None]

    def _points(
        self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], depth: Floats
    ) -> Floats:
        c = self.camera
        u = (columns + np.float32(0.5 - c.width / 2)) / np.float32(c.focal_px)
        v = (rows + np.float32(0.5 - c.height / 2)) / np.float32(c.focal_px)
        local = np.stack([u * depth, v * depth, depth], axis=1).astype(np.float32)
        points = local @ c.rotation.astype(np.float32)
        points[:, 2] += np.float32(c.mount_m)
        return np.asarray(points, dtype=np.float32)

    def _light(self, points: Floats, normals: Floats, figure: Body) -> Floats:
        """Lamps, sky from above, one main direction, less light near the floor."""
        sun = np.clip(normals @ np.asarray(self.scene.sun, dtype=np.float32), 0.0, 1.0)
        sky = 0.5 + 0.5 * normals[:, 2]
        x, y = np.float32(figure.origin[0]), np.float32(figure.origin[1])
        place = float(light_at(self.scene, x, y))
        if figure.origin[1] > self.scene.back_y:
            place *= 0.5
        low = 0.8 + 0.2 * np.clip(points[:, 2] / 0.8, 0.0, 1.0)
        ambient = np.float32(self.scene.ambient)
        light = ambient * (0.65 + 0.45 * sky) + (1.05 - ambient) * sun
        return np.asarray(place * low * light, dtype=np.float32)

    def _shadow(self, person: Identity, pose: Pose) -> None:
        """Darken the floor under and beside the person."""
        sun = self.scene.sun
        lean_x, lean_y = -0.55 * sun[0], -0.55 * sun[1]
        reach = 0.85
        corners = [
            [pose.x + dx + k * lean_x, pose.y + dy + k * lean_y, 0.0]
            for dx in (-reach, reach) for dy in (-reach, reach) for k in (0, 1)
        ]  # fmt: skip
        seen = self.camera.project(corners)
        if (seen[:, 2] < 0.3).any():
            return
        hull = (*seen[:, :2].min(axis=0), *seen[:, :2].max(axis=0))
        x0, y0, x1, y1 = clip_bounds(hull, (0, 0, self.camera.width, self.camera.height))
        if x0 >= x1 or y0 >= y1:
            return
        window = np.s_[y0:y1, x0:x1]
        dx = self.floor[window][..., 0] - np.float32(pose.x)
        dy = self.floor[window][..., 1] - np.float32(pose.y)
        contact = 0.5 * np.exp(-(dx * dx + dy * dy) / np.float32(0.055))
        cx, cy = dx - np.float32(lean_x * 0.6), dy - np.float32(lean_y * 0.6)
        along = (cx * lean_x + cy * lean_y) / max(np.hypot(lean_x, lean_y), 1e-6)
        across2 = np.maximum(cx * cx + cy * cy - along * along, 0)
        cast = 0.3 * np.exp(-(across2 / np.float32(0.05) + along * along / np.float32(0.16)))
        shade = np.nan_to_num((1 - contact) * (1 - cast), nan=1.0)
        free = self.owner[window] < 0
        self.colour[window] *= np.where(free, shade, 1.0)[..., None].astype(np.float32)
        self.dirty.append((x0, y0, x1, y1))

    def _label(self, drawn: _Drawn) -> Label | None:
        x0, y0, x1, y1 = drawn.bounds
        total = int(np.count_nonzero(drawn.amodal))
        if total == 0:
            return None
        seen = int(np.count_nonzero(self.owner[y0:y1, x0:x1] == drawn.number))
        rows = np.flatnonzero(drawn.amodal.any(axis=1))
        columns = np.flatnonzero(drawn.amodal.any(axis=0))
        left, top = x0 + int(columns[0]), y0 + int(rows[0])
        wide, tall = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
        visible = seen / total * drawn.share_inside
        ox, oy = self.camera.offset_m
        return Label(
            drawn.person.number, drawn.person.pid,
            (float(left), float(top), float(wide), float(tall)),
            round(visible, 4), (drawn.pose.x + ox, drawn.pose.y + oy),
        )  # fmt: skip


def _large(label: Label, scale: float) -> bool:
    _, _, wide, tall = label.box
    large = tall >= MIN_HEIGHT_PX * scale and wide >= MIN_WIDTH_PX * scale
    return large and label.visible >= MIN_VISIBLE


def _inside_share(hull: tuple[float, float, float, float], bounds: Bounds) -> float:
    whole = max((hull[2] - hull[0]) * (hull[3] - hull[1]), 1e-6)
    return min(1.0, (bounds[2] - bounds[0]) * (bounds[3] - bounds[1]) / whole)


def _joined(boxes: list[Bounds]) -> list[Bounds]:
    """Join boxes that overlap until none does."""
    done: list[Bounds] = []
    for box in boxes:
        current = box
        while True:
            hits = [b for b in done if _overlap(b, current)]
            if not hits:
                break
            done = [b for b in done if b not in hits]
            group = [current, *hits]
            current = (
                min(b[0] for b in group), min(b[1] for b in group),
                max(b[2] for b in group), max(b[3] for b in group),
            )  # fmt: skip
        done.append(current)
    return done


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
