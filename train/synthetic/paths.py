"""Paths of people through one camera's area: route, speed, pauses, gait.

Times are seconds from the start of the videos and may be negative: somebody can be in the
middle of a path when recording begins.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from train.synthetic.people import Identity
from train.synthetic.pose import STRIDE_PER_STATURE, Pose
from train.synthetic.scene import Point, Scene

Times = npt.NDArray[np.float64]
STEP_S = 0.1
NEAR_M = 0.55


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One person's path through one camera's area, sampled every STEP_S from `start_s`.

    The track (N, 5) holds x, y (m), heading, gait phase (rad) and gait.
    """

    person: int
    camera: int
    start_s: float
    track: Times

    @property
    def end_s(self) -> float:
        """When the path ends."""
        return self.start_s + STEP_S * (len(self.track) - 1)

    def pose(self, time_s: float) -> Pose | None:
        """Return where the person is, None before the start and after the end."""
        at = (time_s - self.start_s) / STEP_S
        if not 0.0 <= at <= len(self.track) - 1:
            return None
        i = min(int(at), len(self.track) - 2)
        f = at - i
        x, y, heading, phase, gait = (1 - f) * self.track[i] + f * self.track[i + 1]
        return Pose(float(x), float(y), float(heading), float(phase), float(gait))


def make_visit(
    rng: np.random.Generator,
    person: Identity,
    scene: Scene,
    camera: int,
    start_s: float,
    gate_in: int,
    gate_out: int,
    others: list[Visit],
) -> Visit:
    """Try a few paths and keep the one that comes least close to other people."""
    here = [v for v in others if v.camera == camera]
    best, best_hits = None, 10**9
    for _ in range(6):
        visit = _one_visit(rng, person, scene, camera, start_s, gate_in, gate_out)
        hits = sum(_close_samples(visit, other) for other in here)
        if hits < best_hits:
            best, best_hits = visit, hits
        if best_hits == 0:
            break
    assert best is not None
    return best


def _one_visit(
    rng: np.random.Generator,
    person: Identity,
    scene: Scene,
    camera: int,
    start_s: float,
    gate_in: int,
    gate_out: int,
) -> Visit:
    points = _route(rng, scene, gate_in, gate_out)
    speed = float(np.clip(rng.normal(1.3, 0.18), 0.85, 1.8))
    pause_s = float(rng.uniform(2, 7)) if rng.random() < 0.25 else 0.0
    return _walk(rng, person, camera, start_s, points, speed, pause_s)


def _route(rng: np.random.Generator, scene: Scene, gate_in: int, gate_out: int) -> list[Point]:
    """Points from gate to gate over one to three free places in view."""
    entry, leave = list(scene.gates[gate_in]), list(scene.gates[gate_out])[::-1]
    best: list[Point] = []
    best_blocked = 10**9
    for _ in range(40):
        middle = _places(rng, scene, int(rng.integers(1, 4)), entry[-1])
        points = [*entry, *middle, *leave]
        blocked = sum(_blocked(scene, a, b) for a, b in pairwise(points))
        if blocked < best_blocked:
            best, best_blocked = points, blocked
        if blocked == 0:
            break
    return best


def _places(rng: np.random.Generator, scene: Scene, count: int, start: Point) -> list[Point]:
    found: list[Point] = []
    for _ in range(60):
        y = float(rng.uniform(3.0, scene.back_y - 0.6))
        reach = y * scene.camera.width / 2 / scene.camera.focal_px
        x = y * math.tan(scene.camera.yaw) + float(rng.uniform(-reach, reach))
        last = found[-1] if found else start
        near = math.hypot(x - last[0], y - last[1]) < 1.8
        if not near and scene.free(x, y, 0.45) and scene.camera.sees(x, y, 1.75, 0.02):
            found.append((x, y))
        if len(found) == count:
            break
    return found


def _blocked(scene: Scene, a: Point, b: Point) -> int:
    n = max(2, int(math.hypot(b[0] - a[0], b[1] - a[1]) / 0.15))
    return sum(
        not scene.free(a[0] + (b[0] - a[0]) * k / n, a[1] + (b[1] - a[1]) * k / n)
        for k in range(n + 1)
    )


def _walk(
    rng: np.random.Generator,
    person: Identity,
    camera: int,
    start_s: float,
    points: list[Point],
    speed: float,
    pause_s: float,
) -> Visit:
    path = np.array(points)
    legs = np.hypot(*np.diff(path, axis=0).T)
    arc = np.concatenate([[0.0], np.cumsum(legs)])
    along = np.arange(0.0, arc[-1], speed * STEP_S)
    if pause_s > 0:
        stop = arc[int(rng.integers(1, len(points) - 1))]
        k = int(np.searchsorted(along, stop))
        along = np.insert(along, min(k, len(along) - 1), np.full(int(pause_s / STEP_S), stop))
    xy = np.column_stack([np.interp(along, arc, path[:, axis]) for axis in (0, 1)])
    xy = _smooth(xy, 9)
    velocity = np.gradient(xy, STEP_S, axis=0)
    pace = np.hypot(*velocity.T)
    gait = np.clip(_smooth(pace[:, None], 5)[:, 0] / 1.15, 0.0, 1.1)
    heading = _heading(velocity, pace)
    stride = STRIDE_PER_STATURE * person.stature
    phase = person.phase + np.cumsum(pace) * STEP_S / stride * 2 * math.pi
    track = np.column_stack([xy, heading, phase, gait])
    return Visit(person.number, camera, start_s, track)


def _heading(velocity: Times, pace: Times) -> Times:
    """Direction of walking; while standing, the last one."""
    angle = np.arctan2(velocity[:, 1], velocity[:, 0])
    moving = np.flatnonzero(pace > 0.25)
    if len(moving) == 0:
        return angle
    held = moving[np.clip(np.searchsorted(moving, np.arange(len(angle)), "right") - 1, 0, None)]
    return _smooth(np.unwrap(angle[held])[:, None], 7)[:, 0]


def _smooth(values: Times, width: int) -> Times:
    """Moving average over `width` samples, ends kept."""
    if len(values) < 3:
        return values
    half = width // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), padded]), axis=0)
    return np.asarray((sums[width:] - sums[:-width]) / width)


def _close_samples(visit: Visit, other: Visit) -> int:
    """How many samples bring the two closer than NEAR_M."""
    shift = round((visit.start_s - other.start_s) / STEP_S)
    low, high = max(0, -shift), min(len(visit.track), len(other.track) - shift)
    if high <= low:
        return 0
    gap = visit.track[low:high, :2] - other.track[low + shift : high + shift, :2]
    return int(np.count_nonzero(np.hypot(gap[:, 0], gap[:, 1]) < NEAR_M))
