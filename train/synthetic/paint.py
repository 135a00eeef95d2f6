"""Colours of the points on a body: clothing patterns, faces, hair, straps.

Points come in body axes (x right, y forward, z up, metres from between the hips) or, on
limbs, in the limb's own axes (z from its upper joint). Colours are linear light, float32
(N, 3): front and back, upper and lower parts of the same garment may differ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.synthetic import body
from train.synthetic.body import Body
from train.synthetic.camera import Floats
from train.synthetic.patterns import Mask, linear, second_colour
from train.synthetic.people import Colour, Identity
from train.synthetic.raycast import surface


@dataclass(frozen=True, slots=True)
class Points:
    """Surface points: in body axes, in the part's own axes, and the part's length."""

    q: Floats
    own: Floats
    length: Floats
    side: Floats

    def at(self, mask: Mask) -> "Points":
        """Return the points where `mask` holds."""
        return Points(self.q[mask], self.own[mask], self.length[mask], self.side[mask])


Painter = Callable[[Identity, Points], Floats]


def paint(
    person: Identity, figure: Body, index: npt.NDArray[np.int16], points: Floats
) -> tuple[Floats, Floats]:
    """Return linear albedo (N, 3) and world normals (N, 3) of world points (N, 3)."""
    own, normals = surface(figure.shapes, index, points)
    q = (points - figure.origin.astype(np.float32)) @ figure.axes.astype(np.float32)
    sides = np.array([s.side for s in figure.shapes], dtype=np.float32)[index]
    lengths = np.array([max(s.length, 1e-3) for s in figure.shapes], dtype=np.float32)[index]
    material = np.array([s.material for s in figure.shapes])[index]
    everything = Points(q, own, lengths, sides)
    albedo = np.empty(points.shape, dtype=np.float32)
    for kind in np.unique(material):
        chosen = material == kind
        albedo[chosen] = _PAINTERS[int(kind)](person, everything.at(chosen))
    return albedo * _folds(person, q, material), normals


def _folds(person: Identity, q: Floats, material: npt.NDArray[np.int64]) -> Floats:
    """Darken cloth a little along soft folds, (N, 1)."""
    x, y, z = q.T
    a = np.sin(34 * z + 9 * np.sin(7 * x + person.phase) + 5 * y)
    b = np.sin(21 * x + 13 * z + 6 * np.sin(9 * z + person.phase))
    depth = np.where(np.isin(material, (body.SKIN, body.HEAD, body.BAG)), 0.02, 0.085)
    folds = (1.0 + depth * (0.6 * a + 0.4 * b)).astype(np.float32)
    return np.asarray(folds[:, None], dtype=np.float32)


def _upper(person: Identity, p: Points) -> Floats:
    """Colour the torso's garment, front and back."""
    s = person.stature
    x, y, z = p.q[:, 0] / s, p.q[:, 1] / s, p.q[:, 2] / s
    colour = _pattern(person, x, y, z)
    front = y > 0.012
    if person.garment == "open":
        gap = 0.026 + 0.03 * np.clip((z - 0.02) / 0.25, 0, 1)
        colour[front & (np.abs(x) < gap)] = linear(person.inner)
    elif person.garment in ("jacket", "coat"):
        _jacket_front(person, colour, front, x, z)
    elif person.garment == "hoodie":
        pocket = front & (np.abs(x) < 0.06) & (z > 0.035) & (z < 0.1)
        colour[pocket] *= 0.8
    elif person.figure < 2 and person.sleeve >= 1.0:
        colour[front & (np.abs(x) < 0.004)] *= 0.6
    _straps(person, colour, x, y, z)
    return colour


def _jacket_front(person: Identity, colour: Floats, front: Mask, x: Floats, z: Floats) -> None:
    colour[front & (np.abs(x) < 0.0045)] *= 0.45
    vee = front & (np.abs(x) < (z - 0.21) * 0.55)
    colour[vee] = linear(person.inner)
    flap = front & (np.abs(np.abs(x) - 0.055) < 0.025) & (np.abs(z - 0.045) < 0.006)
    colour[flap] *= 0.6


def _straps(person: Identity, colour: Floats, x: Floats, y: Floats, z: Floats) -> None:
    if person.bag == "backpack":
        strap = (y > -0.005) & (np.abs(np.abs(x) - 0.062) < 0.013) & (z > 0.09)
    elif person.bag == "shoulder":
        strap = np.abs(x * 0.8 + person.side * (z - 0.14) * 0.6) < 0.0095
    else:
        return
    colour[strap] = linear(person.bag_colour) * 0.8


def _pattern(person: Identity, x: Floats, y: Floats, z: Floats) -> Floats:
    """Mix the garment's two colours by its pattern; x, y, z in statures."""
    second = second_colour(person, x, y, z)
    one, two = linear(person.upper), linear(person.upper2)
    return np.where(second[:, None], two, one).astype(np.float32)


def _hem_height(person: Identity) -> float:
    """Height of the upper garment's lower edge above the hips, in statures."""
    lower = {"jacket": -0.01, "open": -0.02, "hoodie": -0.015, "coat": -0.25}
    return lower.get(person.garment, 0.004 - 0.02 * (person.figure % 3))


def _below_hem(person: Identity, p: Points, colour: Floats) -> Floats:
    """Keep `colour` below the upper garment's edge, take the garment's own above."""
    over = p.q[:, 2] / person.stature > _hem_height(person)
    return np.where(over[:, None], _upper(person, p), colour).astype(np.float32)


def _pelvis(person: Identity, p: Points) -> Floats:
    return _below_hem(person, p, _lower(person, p))


def _lower(person: Identity, p: Points) -> Floats:
    colour = np.tile(linear(person.lower), (len(p.q), 1))
    if person.lower_style == "striped":
        colour[p.own[:, 0] * p.side < -0.023 * person.stature] = linear(person.lower2)
    return colour


def _sleeve(person: Identity, p: Points) -> Floats:
    return _arm(person, p, 0.0)


def _forearm(person: Identity, p: Points) -> Floats:
    return _arm(person, p, 0.53)


def _arm(person: Identity, p: Points, start: float) -> Floats:
    """Colour an arm part which begins at the share `start` of the whole arm."""
    along = start + np.clip(p.own[:, 2] / p.length, -0.1, 1.0) * (0.53 if start == 0 else 0.47)
    covered = along <= person.sleeve
    cloth = _sleeve_cloth(person, p, along)
    return np.where(covered[:, None], cloth, linear(person.skin)).astype(np.float32)


def _sleeve_cloth(person: Identity, p: Points, along: Floats) -> Floats:
    one, two = linear(person.upper), linear(person.upper2)
    s, name = person.stature, person.pattern
    if name in ("hstripes", "vstripes", "checks", "dots"):
        second = second_colour(person, p.own[:, 0] / s, p.own[:, 1] / s, 0.28 - 0.32 * along)
    elif name == "raglan":
        second = np.ones(len(along), dtype=bool)
    elif name in ("block", "sides"):
        second = along < (0.25 if name == "block" else 2.0)
    else:
        second = np.zeros(len(along), dtype=bool)
    return np.where(second[:, None], two, one)


def _thigh(person: Identity, p: Points) -> Floats:
    return _below_hem(person, p, _leg(person, p))


def _shin(person: Identity, p: Points) -> Floats:
    colour = _leg(person, p)
    if person.lower_style not in ("trousers", "striped") and person.figure % 2:
        colour[p.own[:, 2] > 0.72 * p.length] = linear(person.sole)
    return colour


def _leg(person: Identity, p: Points) -> Floats:
    """Colour a leg: bare below shorts and skirts, whose length counts from the hips."""
    lower = _lower(person, p)
    drop = body.LOWER_DROP.get(person.lower_style)
    if drop is None:
        return lower
    covered = p.q[:, 2] / person.stature > 0.04 - drop
    return np.where(covered[:, None], lower, linear(person.skin)).astype(np.float32)


def _shoe(person: Identity, p: Points) -> Floats:
    height = p.own[:, 1] / person.stature
    return np.where((height < -0.012)[:, None], linear(person.sole), linear(person.shoe)).astype(
        np.float32
    )


def _head(person: Identity, p: Points) -> Floats:
    """Face with eyes, brows and mouth; hair above and behind unless bald."""
    r = 0.0675 * person.stature
    x, y, z = p.own[:, 0] / r, p.own[:, 1] / r, p.own[:, 2] / r
    skin, hair = linear(person.skin), linear(person.hair)
    colour = np.tile(skin, (len(x), 1))
    front = y > 0.3
    eyes = front & (np.abs(np.abs(x) - 0.27) < 0.11) & (np.abs(z - 0.1) < 0.06)
    brows = front & (np.abs(np.abs(x) - 0.28) < 0.16) & (np.abs(z - 0.26) < 0.045)
    mouth = front & (np.abs(x) < 0.2) & (np.abs(z + 0.48) < 0.05)
    colour[eyes] = 0.03
    colour[mouth] = skin * np.array([0.75, 0.35, 0.35], dtype=np.float32)
    if person.hair_style != "bald":
        colour[brows] = hair * 0.7
        edge = np.where(y > 0.25, 0.6 - 0.25 * np.abs(x), np.where(y > -0.05, 0.1, -0.55))
        colour[z > edge] = hair
    if person.figure == 0 and person.hair_style in ("short", "crop", "bald"):
        colour[(y > 0.05) & (z < -0.28) & ~mouth] = hair * 0.8
    return colour.astype(np.float32)


def _bag(person: Identity, p: Points) -> Floats:
    colour = np.tile(linear(person.bag_colour), (len(p.q), 1))
    z = p.own[:, 2]
    if person.bag == "suitcase":
        colour[(np.abs(p.own[:, 0]) % 0.07) < 0.012] *= 0.6
    elif person.bag == "backpack":
        colour[(z > 0.0) & (z < 0.015)] *= 0.5
    elif person.bag == "shopping":
        colour[np.abs(z) < 0.05] = linear(person.upper2)
    else:
        colour[np.abs(z - 0.03) < 0.008] *= 0.5
    return colour


def _plain(name: str, factor: float = 1.0) -> Painter:
    def painter(person: Identity, p: Points) -> Floats:
        colour: Colour = getattr(person, name)
        return np.tile(linear(colour) * np.float32(factor), (len(p.q), 1))

    return painter


def _skirt(person: Identity, p: Points) -> Floats:
    colour = np.tile(linear(person.lower), (len(p.q), 1))
    if person.lower_style != "shorts":
        pleats = np.sin(np.arctan2(p.own[:, 0], p.own[:, 1]) * 22)
        colour *= (1.0 + 0.12 * pleats)[:, None]
    return _below_hem(person, p, colour)


_PAINTERS: dict[int, Painter] = {
    body.TORSO: _upper,
    body.HEM: _upper,
    body.PELVIS: _pelvis,
    body.SLEEVE: _sleeve,
    body.FOREARM: _forearm,
    body.SKIN: _plain("skin"),
    body.THIGH: _thigh,
    body.SHIN: _shin,
    body.SHOE: _shoe,
    body.HEAD: _head,
    body.HAIR: _plain("hair"),
    body.HAT: _plain("hat_colour"),
    body.BAG: _bag,
    body.STRAP: _plain("bag_colour", 0.55),
    body.SKIRT: _skirt,
}
