"""Articulated bodies: from an identity and a moment of its walk to primitives.

Body axes: x to the person's right, y forward, z up. A limb's primitive has its local z
along the limb, from the upper joint to the lower one, and its local y roughly forward.
`Primitive.side` is -1 for left limbs, +1 for right ones, 0 elsewhere.
"""

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic.people import Identity
from train.synthetic.pose import Pose, Skeleton, body_axes, limb_axes, skeleton, to_world
from train.synthetic.raycast import BOX, ROUND, TUBE, Primitive, Vector

(TORSO, SLEEVE, FOREARM, SKIN, PELVIS, THIGH, SHIN, SHOE, HEAD, HAIR, HAT, BAG, STRAP, SKIRT,
 HEM) = range(15)  # fmt: skip
LOWER_DROP = {"shorts": 0.25, "skirt": 0.27, "longskirt": 0.42}  # hem below the waist, statures


@dataclass(frozen=True, slots=True)
class Body:
    """Primitives in the world, with the body axes (columns) and the point between hips."""

    shapes: list[Primitive]
    axes: Vector
    origin: Vector


def build(person: Identity, pose: Pose) -> Body:
    """Return the person's body in the world."""
    k = skeleton(person, pose)
    maker = _Maker(person, pose, k.hip_height)
    _add_torso(maker, k)
    _add_head(maker, k)
    for i, side in enumerate((-1.0, 1.0)):
        _add_arm(maker, k, i, side)
        _add_leg(maker, k, i, side)
    _add_skirt(maker, k)
    _add_bag(maker, k)
    origin = np.array([pose.x, pose.y, k.hip_height])
    return Body(maker.shapes, maker.axes, origin)


class _Maker:
    """Collects primitives given in body axes and turns them into the world."""

    def __init__(self, person: Identity, pose: Pose, hip_height: float) -> None:
        self.person = person
        self.pose = pose
        self.hip_height = hip_height
        self.axes = body_axes(pose.heading)
        self.shapes: list[Primitive] = []

    def part(
        self,
        material: int,
        at: Vector,
        r0: float,
        *,
        r1: float | None = None,
        length: float = 0.0,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
        kind: int = ROUND,
        axes: Vector | None = None,
        side: float = 0.0,
    ) -> None:
        """Add a part aligned with the body axes (or with `axes`, columns in body axes)."""
        origin = to_world(self.pose, self.hip_height, at[None])[0]
        turned = self.axes if axes is None else self.axes @ axes
        end = r0 if r1 is None else r1
        self.shapes.append(
            Primitive(kind, origin, turned, material, r0, end, length, stretch, side)
        )

    def limb(
        self,
        material: int,
        a: Vector,
        b: Vector,
        r0: float,
        r1: float,
        *,
        side: float = 0.0,
        kind: int = ROUND,
        flat: float = 1.0,
    ) -> None:
        """Add a tapered limb from a to b; `flat` stretches it sideways."""
        axes, length = limb_axes(a, b)
        stretch = (flat, 1.0, 1.0)
        self.part(
            material, a, r0, r1=r1, length=length, axes=axes, kind=kind, side=side,
            stretch=stretch,
        )  # fmt: skip


def _add_torso(m: _Maker, k: Skeleton) -> None:
    p, s = m.person, m.person.stature
    bulk = {"coat": 1.12, "jacket": 1.09, "open": 1.07, "hoodie": 1.08}.get(p.garment, 1.0)
    w = p.build * bulk
    lean = k.neck[1] / (0.305 * s)
    axes, _ = limb_axes(np.zeros(3), np.array([0.0, lean * 0.25, 0.25]))
    up = 0.225 * s
    m.part(
        TORSO, np.array([0.0, -0.004 * s, 0.04 * s]), 0.064 * s * w, r1=0.068 * s * w,
        length=up - 0.04 * s, stretch=(1.32 * p.shoulders, 0.98, 1.0), axes=axes,
    )  # fmt: skip
    left, right = (j * 0.86 for j in k.shoulders)
    lift = np.array([0.0, 0.0, 0.022 * s])
    for shoulder in (left, right):
        shoulder[2] = 0.272 * s
        m.part(TORSO, shoulder, 0.04 * s * math.sqrt(w), stretch=(1.1, 1.0, 0.9))
        axes2, length = limb_axes(k.neck * 0.95 + lift * 0.2, shoulder)
        m.shapes.append(_trapezius(m, k.neck * 0.95, axes2, length, s, w))
    hip_w = 0.060 * s * w * p.hips
    m.part(
        PELVIS, np.array([0.0, 0.0, -0.022 * s]), hip_w, r1=hip_w * 0.98, length=0.06 * s,
        stretch=(1.42, 1.05, 1.0),
    )  # fmt: skip
    if p.build > 1.12:
        m.part(TORSO, np.array([0.0, 0.022 * s, 0.07 * s]), 0.072 * s * w, stretch=(1.1, 0.95, 1.1))
    m.limb(SKIN, k.neck - np.array([0, 0, 0.02 * s]), k.head, 0.033 * s, 0.03 * s)
    if p.garment in ("hoodie", "jacket", "open", "coat"):
        back = k.neck + np.array([0.0, -0.012 * s, 0.0])
        big = 0.052 if p.garment == "hoodie" else 0.041
        m.part(TORSO, back, big * s, stretch=(1.15, 0.95, 0.55))
    if p.garment == "coat":
        _add_hem(m, 0.30 * s, w)


def _trapezius(
    m: _Maker, neck: Vector, axes: Vector, length: float, s: float, w: float
) -> Primitive:
    origin = to_world(m.pose, m.hip_height, neck[None])[0]
    return Primitive(
        ROUND, origin, m.axes @ axes, HEM, 0.037 * s, 0.042 * s * math.sqrt(w), length,
        (1.0, 1.0, 1.0),
    )  # fmt: skip


def _add_hem(m: _Maker, drop: float, w: float) -> None:
    """Add the skirt of a coat, open at the bottom."""
    s = m.person.stature
    top = np.array([0.0, 0.0, 0.05 * s])
    axes = np.diag([1.0, -1.0, -1.0])
    m.part(
        HEM, top, 0.064 * s * w, r1=0.082 * s * w, length=drop, kind=TUBE, axes=axes,
        stretch=(1.42, 1.1, 1.0),
    )  # fmt: skip


def _add_head(m: _Maker, k: Skeleton) -> None:
    s = m.person.stature
    r = 0.0675 * s
    m.part(HEAD, k.head, r, stretch=(0.72, 0.86, 1.0))
    m.part(SKIN, k.head + np.array([0.0, 0.058 * s, -0.008 * s]), 0.011 * s, stretch=(0.8, 1, 1.4))
    for side in (-1.0, 1.0):
        at = k.head + np.array([side * 0.048 * s, -0.002 * s, -0.005 * s])
        m.part(SKIN, at, 0.013 * s, stretch=(0.5, 1.0, 1.4))
    _add_hair(m, k, r, s)
    _add_hat(m, k, r, s)


def _add_hair(m: _Maker, k: Skeleton, r: float, s: float) -> None:
    style = m.person.hair_style
    if style == "bald":
        return
    wide = {"crop": 1.03, "afro": 1.5}.get(style, 1.12)
    back_up = (-0.04, 0.028) if style == "afro" else (-0.016, 0.012)
    at = k.head + np.array([0.0, back_up[0] * s, back_up[1] * s])
    m.part(HAIR, at, r * wide, stretch=(0.74, 0.84, 0.95))
    back = k.head + np.array([0.0, -0.042 * s, 0.0])
    if style == "long":
        low = k.head + np.array([0.0, -0.055 * s, -0.15 * s])
        m.limb(HAIR, back, low, 0.044 * s, 0.034 * s, flat=1.45)
    if style == "tail":
        high = k.head + np.array([0.0, -0.068 * s, 0.02 * s])
        m.limb(HAIR, high, high + np.array([0, -0.022 * s, -0.13 * s]), 0.022 * s, 0.014 * s)
    if style == "bun":
        m.part(HAIR, k.head + np.array([0.0, -0.06 * s, 0.045 * s]), 0.03 * s)


def _add_hat(m: _Maker, k: Skeleton, r: float, s: float) -> None:
    kind = m.person.hat
    if kind == "none":
        return
    top = k.head + np.array([0.0, -0.006 * s, 0.026 * s])
    if kind == "beanie":
        m.part(HAT, top, r * 1.08, stretch=(0.8, 0.92, 0.88))
        return
    m.part(HAT, top + np.array([0, 0, 0.008 * s]), r * 1.05, stretch=(0.8, 0.92, 0.78))
    wide = (0.72, 0.95, 0.1) if kind == "cap" else (1.35, 1.45, 0.1)
    ahead = 0.05 * s if kind == "cap" else 0.0
    m.part(HAT, top + np.array([0, ahead, 0.002 * s]), r * 0.98, stretch=wide)


def _add_arm(m: _Maker, k: Skeleton, i: int, side: float) -> None:
    p, s = m.person, m.person.stature
    w = math.sqrt(p.build) * (1.12 if p.garment != "shirt" else 1.0)
    a, b, c = k.shoulders[i], k.elbows[i], k.wrists[i]
    m.limb(SLEEVE, a, b, 0.034 * s * w, 0.026 * s * w, side=side)
    m.limb(FOREARM, b, c, 0.026 * s * w, 0.019 * s * w, side=side)
    hand = c + (c - b) / max(float(np.linalg.norm(c - b)), 1e-6) * 0.035 * s
    m.limb(SKIN, c, hand, 0.017 * s, 0.018 * s, side=side, flat=0.75)


def _add_leg(m: _Maker, k: Skeleton, i: int, side: float) -> None:
    p, s = m.person, m.person.stature
    w = math.sqrt(p.build)
    hip, knee, ankle, toe = k.hips[i], k.knees[i], k.ankles[i], k.toes[i]
    loose = p.lower_style in ("trousers", "striped")
    m.limb(THIGH, hip, knee, 0.054 * s * w * math.sqrt(p.hips), 0.038 * s * w, side=side)
    m.limb(SHIN, knee, ankle, 0.037 * s * w, (0.032 if loose else 0.024) * s * w, side=side)
    if p.lower_style == "shorts":
        low = hip + 0.92 * (knee - hip)
        m.limb(SKIRT, hip, low, 0.05 * s * w, 0.052 * s * w, side=side, kind=TUBE)
    heel = ankle + np.array([0.0, -0.012 * s, -0.012 * s])
    m.limb(SHOE, heel, toe, 0.0265 * s, 0.021 * s, side=side)


def _add_skirt(m: _Maker, k: Skeleton) -> None:
    p, s = m.person, m.person.stature
    if p.lower_style not in ("skirt", "longskirt"):
        return
    drop = LOWER_DROP[p.lower_style] * s
    stride = max(abs(j[1]) for j in (*k.knees, *k.ankles)) * (0.6 if drop < 0.3 * s else 0.8)
    wide = 0.085 * s * math.sqrt(p.build) * p.hips
    axes = np.diag([1.0, -1.0, -1.0])
    m.part(
        SKIRT, np.array([0.0, 0.0, 0.05 * s]), 0.058 * s * p.build * p.hips, r1=wide,
        length=drop, kind=TUBE, axes=axes, stretch=(1.35, 1.1 + 3.0 * stride, 1.0),
    )  # fmt: skip


def _add_bag(m: _Maker, k: Skeleton) -> None:
    p, s = m.person, m.person.stature
    i = 0 if p.side < 0 else 1
    if p.bag == "backpack":
        at = np.array([0.0, -0.115 * s * math.sqrt(p.build), 0.075 * s])
        m.part(BAG, at, 0.055 * s, r1=0.048 * s, length=0.12 * s, stretch=(1.6, 0.95, 1.0))
        low = at + np.array([0.0, -0.045 * s, 0.0])
        m.part(STRAP, low, 0.04 * s, length=0.04 * s, stretch=(1.4, 0.5, 1.0))
    elif p.bag == "shoulder":
        at = np.array([p.side * 0.125 * s * p.build, -0.01 * s, -0.02 * s])
        _box(m, at, (0.03 * s, 0.085 * s, 0.062 * s))
    elif p.bag in ("handbag", "shopping"):
        half = 0.055 if p.bag == "handbag" else 0.1
        hand = k.wrists[i] + np.array([0.0, 0.0, -0.05 * s])
        m.limb(STRAP, hand, hand + np.array([0, 0, -0.05 * s]), 0.008 * s, 0.008 * s)
        _box(m, hand + np.array([0, 0, -(0.045 + half) * s]), (0.028 * s, 0.085 * s, half * s))
    elif p.bag == "suitcase":
        _add_suitcase(m, k.wrists[i])


def _add_suitcase(m: _Maker, wrist: Vector) -> None:
    half = (0.13, 0.10, 0.27)
    foot = np.array([wrist[0], wrist[1] - 0.42, -m.hip_height + 0.06])
    m.limb(STRAP, wrist, foot + np.array([0.0, 0.02, 0.5]), 0.012, 0.012)
    axes, _ = limb_axes(foot, wrist)
    m.part(BAG, foot + axes[:, 2] * half[2], 1.0, kind=BOX, axes=axes, stretch=half)
    for side in (-0.09, 0.09):
        m.part(STRAP, foot + np.array([side, 0.0, -0.02]), 0.035)


def _box(m: _Maker, at: Vector, half: tuple[float, float, float]) -> None:
    m.part(BAG, at, 1.0, kind=BOX, stretch=half)
