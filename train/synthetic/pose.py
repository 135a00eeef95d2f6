"""How people move: joints of a walking or standing body.

Body axes: x to the person's right, y forward, z up, origin between the hips. Pairs of
joints are left, right. Joint angles follow the gait phase, which grows by 2 pi with every
two steps and is tied to the distance walked, so that feet do not slide.
"""

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic.people import Identity
from train.synthetic.raycast import Vector

STRIDE_PER_STATURE = 0.82


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a person is: feet at x, y (m), heading (rad, 0 along x), gait phase (rad).

    `gait` is 0 when standing and 1 at a normal walk.
    """

    x: float
    y: float
    heading: float
    phase: float
    gait: float


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints in body axes with the hips at the origin, metres; pairs are left, right."""

    shoulders: tuple[Vector, Vector]
    elbows: tuple[Vector, Vector]
    wrists: tuple[Vector, Vector]
    hips: tuple[Vector, Vector]
    knees: tuple[Vector, Vector]
    ankles: tuple[Vector, Vector]
    toes: tuple[Vector, Vector]
    neck: Vector
    head: Vector
    hip_height: float


def skeleton(person: Identity, pose: Pose) -> Skeleton:
    """Return the joints at this moment; the lowest foot touches the floor."""
    s = person.stature
    legs = [_leg(person, pose, side) for side in (-1.0, 1.0)]
    lowest = min(min(leg[2][2] - 0.036 * s, leg[3][2] - 0.018 * s) for leg in legs)
    arms = [_arm(person, pose, side) for side in (-1.0, 1.0)]
    lean = 0.035 * s * pose.gait
    neck = np.array([0.0, 0.55 * lean + 0.004 * s, 0.305 * s])
    head = np.array([0.0, lean + 0.014 * s, 0.402 * s])
    shoulders, elbows, wrists = _pairs(arms)
    hips, knees, ankles, toes = _pairs(legs)
    return Skeleton(
        shoulders, elbows, wrists, hips, knees, ankles, toes, neck, head, hip_height=-lowest
    )


def joints(person: Identity, pose: Pose) -> Vector:
    """World positions (18, 3) of all joints, e.g. to check a box against them."""
    k = skeleton(person, pose)
    pairs = (k.shoulders, k.elbows, k.wrists, k.hips, k.knees, k.ankles, k.toes)
    local = np.stack([j for pair in pairs for j in pair] + [k.neck, k.head])
    return to_world(pose, k.hip_height, local)


def body_axes(heading: float) -> Vector:
    """Return body axes as columns in the world, (3, 3)."""
    c, s = math.cos(heading), math.sin(heading)
    return np.array([[s, c, 0.0], [-c, s, 0.0], [0.0, 0.0, 1.0]])


def limb_axes(a: Vector, b: Vector) -> tuple[Vector, float]:
    """Return axes (3, 3) whose third column runs from a to b, and the length."""
    x, y, z = (float(v) for v in b - a)
    length = max(math.sqrt(x * x + y * y + z * z), 1e-6)
    x, y, z = x / length, y / length, z / length
    ux, uy, uz = (z, 0.0, -x) if abs(y) < 0.9 else (-y, x, 0.0)
    norm = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / norm, uy / norm, uz / norm
    vx, vy, vz = y * uz - z * uy, z * ux - x * uz, x * uy - y * ux
    return np.array([[ux, vx, x], [uy, vy, y], [uz, vz, z]]), length


def to_world(pose: Pose, hip_height: float, local: Vector) -> Vector:
    """Turn points (N, 3) in body axes into world points."""
    offset: Vector = np.array([pose.x, pose.y, hip_height])
    return offset + local @ body_axes(pose.heading).T


def _pairs(limbs: list[tuple[Vector, ...]]) -> list[tuple[Vector, Vector]]:
    return [(left, right) for left, right in zip(*limbs, strict=True)]


def _swing(angle: float) -> Vector:
    """Return the direction of a limb that hangs down, swung forward by `angle`."""
    return np.array([0.0, math.sin(angle), -math.cos(angle)])


def _leg(person: Identity, pose: Pose, side: float) -> tuple[Vector, ...]:
    s, g = person.stature, pose.gait
    phase = pose.phase + (math.pi if side > 0 else 0.0)
    thigh = g * (0.07 + 0.43 * math.sin(phase)) + 0.02
    knee = 0.05 + g * (0.10 + 0.95 * max(0.0, math.cos(phase - 0.25)) ** 2)
    hip = np.array([side * 0.052 * s * person.hips, 0.0, 0.0])
    knee_at = hip + 0.245 * s * _swing(thigh)
    ankle = knee_at + 0.246 * s * _swing(thigh - knee)
    pitch = 0.6 * (thigh - knee) * (1.0 if thigh < knee else 0.4)
    forward = np.array([side * 0.18, math.cos(pitch), math.sin(pitch)])
    toe = ankle + 0.105 * s * forward + np.array([0.0, 0.0, -0.018 * s])
    return hip, knee_at, ankle, toe


def _arm(person: Identity, pose: Pose, side: float) -> tuple[Vector, ...]:
    s, g = person.stature, pose.gait
    phase = pose.phase + (0.0 if side > 0 else math.pi)
    busy = _hand_busy(person, side)
    swing = g * person.swing * (0.02 + 0.42 * math.sin(phase)) * (0.25 if busy else 1.0)
    bend = 0.12 + g * (0.22 + 0.2 * math.sin(phase)) * (0.3 if busy else 1.0)
    shoulder = np.array([side * 0.107 * s * person.shoulders, 0.008 * s, 0.282 * s])
    shoulder[1] += 0.02 * s * g * math.sin(phase)
    out = np.array([side * (0.13 + 0.06 * (person.build - 1)), 0.0, 0.0])
    elbow = shoulder + 0.172 * s * (_swing(swing - 0.06) + out)
    wrist = elbow + 0.150 * s * (_swing(swing + bend) + 0.3 * out)
    if busy and person.bag == "suitcase":
        wrist = elbow + 0.150 * s * (_swing(-0.5) + 0.5 * out)
    return shoulder, elbow, wrist


def _hand_busy(person: Identity, side: float) -> bool:
    return person.bag in ("handbag", "suitcase", "shopping") and side == person.side
