"""Who the people are: build, skin, hair, clothing and what they carry.

Colours are sRGB triples from 0 to 1. `Identity` says how a person looks and nothing about
where they walk. An identity with `pid` None is drawn but never labelled.
"""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from train.synthetic.world import WorldSpec, stream

Colour = tuple[float, float, float]

CLOTH: tuple[tuple[Colour, float], ...] = (
    ((0.06, 0.06, 0.07), 9), ((0.93, 0.93, 0.92), 8), ((0.55, 0.56, 0.58), 6),
    ((0.28, 0.29, 0.31), 5), ((0.09, 0.13, 0.30), 6), ((0.13, 0.30, 0.68), 6),
    ((0.48, 0.68, 0.88), 5), ((0.05, 0.45, 0.47), 4), ((0.10, 0.48, 0.22), 5),
    ((0.36, 0.39, 0.17), 4), ((0.72, 0.63, 0.42), 4), ((0.87, 0.80, 0.66), 4),
    ((0.40, 0.24, 0.13), 4), ((0.45, 0.07, 0.15), 4), ((0.80, 0.10, 0.11), 7),
    ((0.95, 0.45, 0.08), 4), ((0.97, 0.82, 0.15), 5), ((0.80, 0.60, 0.12), 3),
    ((0.95, 0.60, 0.72), 4), ((0.85, 0.15, 0.45), 3), ((0.42, 0.18, 0.55), 4),
    ((0.70, 0.60, 0.86), 3), ((0.15, 0.75, 0.72), 3), ((0.55, 0.80, 0.30), 3),
)  # fmt: skip
LEGS: tuple[tuple[Colour, float], ...] = (
    ((0.07, 0.07, 0.08), 10), ((0.13, 0.18, 0.34), 8), ((0.28, 0.40, 0.60), 7),
    ((0.52, 0.64, 0.78), 4), ((0.30, 0.31, 0.33), 6), ((0.60, 0.60, 0.60), 4),
    ((0.75, 0.66, 0.47), 5), ((0.38, 0.26, 0.16), 4), ((0.33, 0.37, 0.20), 4),
    ((0.90, 0.89, 0.85), 4), ((0.48, 0.10, 0.16), 2), ((0.72, 0.15, 0.14), 2),
    ((0.10, 0.36, 0.34), 2), ((0.45, 0.25, 0.50), 1),
)  # fmt: skip
SKIN: tuple[Colour, ...] = (
    (0.96, 0.80, 0.70), (0.90, 0.72, 0.58), (0.82, 0.62, 0.46),
    (0.68, 0.48, 0.34), (0.50, 0.33, 0.22), (0.34, 0.22, 0.15),
)  # fmt: skip
HAIR: tuple[tuple[Colour, float], ...] = (
    ((0.06, 0.05, 0.05), 8), ((0.20, 0.12, 0.08), 7), ((0.38, 0.24, 0.13), 5),
    ((0.80, 0.64, 0.36), 4), ((0.62, 0.26, 0.10), 2), ((0.66, 0.66, 0.66), 3),
    ((0.90, 0.89, 0.86), 1), ((0.75, 0.20, 0.40), 0.6), ((0.15, 0.35, 0.65), 0.4),
)  # fmt: skip
SHOES: tuple[tuple[Colour, float], ...] = (
    ((0.05, 0.05, 0.05), 7), ((0.92, 0.92, 0.92), 7), ((0.36, 0.22, 0.12), 4),
    ((0.45, 0.46, 0.48), 3), ((0.75, 0.12, 0.12), 2), ((0.12, 0.22, 0.50), 2),
    ((0.90, 0.70, 0.15), 1), ((0.20, 0.60, 0.35), 1),
)  # fmt: skip
HAIR_STYLES = {"short": 7, "crop": 4, "bald": 2, "long": 5, "bun": 2, "tail": 3, "afro": 1.5}
GARMENTS = {"shirt": 10, "jacket": 6, "open": 7, "coat": 3, "hoodie": 3}
PATTERNS = {
    "plain": 9, "hstripes": 4, "vstripes": 2, "checks": 3, "block": 3, "band": 2.5,
    "print": 5, "sides": 1.5, "diagonal": 1.5, "raglan": 2, "hem": 1.5, "dots": 1.5,
}  # fmt: skip
LOWERS = {"trousers": 12, "shorts": 3.5, "skirt": 3, "longskirt": 1.5, "striped": 1.5}
BAGS = {"none": 8, "backpack": 5, "shoulder": 3, "handbag": 2.5, "suitcase": 2, "shopping": 1.5}
HATS = {"none": 12, "cap": 3, "beanie": 2, "hat": 1}


@dataclass(frozen=True, slots=True)
class Identity:
    """How one person looks. Lengths in metres; build 1 is an average width."""

    number: int
    pid: int | None
    stature: float
    build: float
    shoulders: float
    hips: float
    skin: Colour
    hair_style: str
    hair: Colour
    garment: str
    pattern: str
    upper: Colour
    upper2: Colour
    inner: Colour
    period: float
    figure: int
    sleeve: float
    lower_style: str
    lower: Colour
    lower2: Colour
    shoe: Colour
    sole: Colour
    bag: str
    bag_colour: Colour
    hat: str
    hat_colour: Colour
    side: float
    swing: float
    phase: float


def make_people(spec: WorldSpec) -> list[Identity]:
    """Return everybody in the world; the last `spec.anonymous` people have no pid."""
    people = [_make_person(spec, number) for number in range(spec.people)]
    if spec.difficulty == "hard":
        people = [_look_alike(spec, people, number) for number in range(spec.people)]
    named = spec.people - spec.anonymous
    return [replace(p, pid=i + 1 if i < named else None) for i, p in enumerate(people)]


def random_identity(rng: np.random.Generator, number: int = 0) -> Identity:
    """Draw one identity."""
    garment = _pick(rng, GARMENTS)
    pattern = _pick(rng, PATTERNS)
    upper = _tint(rng, _weighted(rng, CLOTH))
    lower = _tint(rng, _weighted(rng, LEGS))
    female = rng.random() < 0.5
    hat, hair_style = _pick(rng, HATS), _hair_style(rng, female)
    return Identity(
        number=number,
        pid=None,
        stature=float(np.clip(rng.normal(1.66 if female else 1.77, 0.075), 1.47, 1.98)),
        build=float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.38)),
        shoulders=float(rng.normal(0.95 if female else 1.06, 0.04)),
        hips=float(rng.normal(1.06 if female else 0.96, 0.05)),
        skin=_tint(rng, SKIN[int(rng.integers(len(SKIN)))], 0.04),
        hair_style="short" if hat != "none" and hair_style == "afro" else hair_style,
        hair=_tint(rng, _weighted(rng, HAIR), 0.05),
        garment=garment,
        pattern=pattern,
        upper=upper,
        upper2=_contrasting(rng, upper),
        inner=_contrasting(rng, upper),
        period=float(rng.uniform(0.055, 0.15)),
        figure=int(rng.integers(6)),
        sleeve=_sleeve(rng, garment),
        lower_style=_lower_style(rng, female),
        lower=lower,
        lower2=_contrasting(rng, lower),
        shoe=_tint(rng, _weighted(rng, SHOES)),
        sole=(0.9, 0.9, 0.88) if rng.random() < 0.5 else (0.12, 0.11, 0.1),
        bag=_pick(rng, BAGS),
        bag_colour=_tint(rng, _weighted(rng, CLOTH)),
        hat=hat,
        hat_colour=_tint(rng, _weighted(rng, CLOTH)),
        side=1.0 if rng.random() < 0.5 else -1.0,
        swing=float(rng.uniform(0.8, 1.2)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _make_person(spec: WorldSpec, number: int) -> Identity:
    return random_identity(stream(spec.seed, "identity", number), number)


def _look_alike(spec: WorldSpec, people: list[Identity], number: int) -> Identity:
    """In groups of four, three share most of the first one's clothes."""
    rng = stream(spec.seed, "look-alike", number)
    base, own = people[number - number % 4], people[number]
    if number % 4 == 0 or rng.random() < 0.25:
        return own
    changes: dict[str, tuple[str, ...]] = {
        "pattern": ("pattern", "upper2", "period", "figure"),
        "lower": ("lower", "lower_style"),
        "bag": ("bag", "bag_colour"),
        "head": ("hair", "hair_style", "hat", "hat_colour"),
        "upper": ("upper", "inner"),
    }
    kept = rng.choice(sorted(changes), size=2, replace=False)
    fields = {f for key in kept for f in changes[str(key)]}
    fields |= {"number", "stature", "build", "shoulders", "hips", "skin", "shoe", "sole", "phase"}
    return replace(base, **{f: getattr(own, f) for f in fields})


def _hair_style(rng: np.random.Generator, female: bool) -> str:
    weights = dict(HAIR_STYLES)
    for style in ("long", "bun", "tail") if not female else ("bald", "crop", "short"):
        weights[style] *= 0.2
    return _pick(rng, weights)


def _lower_style(rng: np.random.Generator, female: bool) -> str:
    weights = dict(LOWERS)
    if not female:
        weights["skirt"] = weights["longskirt"] = 0.0
    return _pick(rng, weights)


def _sleeve(rng: np.random.Generator, garment: str) -> float:
    """Share of the whole arm that the sleeve covers, 0 to 1."""
    if garment != "shirt":
        return 1.0
    return float(rng.choice([0.0, 0.28, 0.36, 0.5, 1.0], p=[0.08, 0.25, 0.25, 0.07, 0.35]))


def _pick(rng: np.random.Generator, weights: dict[str, float] | dict[str, int]) -> str:
    names = list(weights)
    shares = np.array([float(weights[n]) for n in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _weighted(rng: np.random.Generator, palette: tuple[tuple[Colour, float], ...]) -> Colour:
    shares = np.array([weight for _, weight in palette])
    return palette[int(rng.choice(len(palette), p=shares / shares.sum()))][0]


def _tint(rng: np.random.Generator, colour: Colour, amount: float = 0.08) -> Colour:
    """Shift hue a little, saturation and value by up to `amount`."""
    h, s, v = colorsys.rgb_to_hsv(*colour)
    h = (h + rng.normal(0, 0.014)) % 1.0
    s = float(np.clip(s + rng.uniform(-amount, amount) * (0.3 + s), 0, 1))
    v = float(np.clip(v + rng.uniform(-amount, amount), 0.03, 0.97))
    return colorsys.hsv_to_rgb(h, s, v)


def _contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """Draw a cloth colour that can be told from `colour`."""
    best, best_gap = colour, -1.0
    for _ in range(6):
        other = _tint(rng, _weighted(rng, CLOTH))
        gap = float(np.abs(np.subtract(other, colour)).sum())
        if gap > 0.7:
            return other
        if gap > best_gap:
            best, best_gap = other, gap
    return best
