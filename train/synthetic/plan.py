"""Who walks where and when: the graph of cameras and everybody's itinerary."""

import math
from dataclasses import dataclass

import numpy as np

from train.synthetic.paths import Visit, make_visit
from train.synthetic.people import Identity
from train.synthetic.scene import Scene
from train.synthetic.world import WorldSpec, stream


@dataclass(frozen=True, slots=True)
class Link:
    """A way between two cameras: gate numbers and walking time from gate to gate."""

    a: int
    b: int
    gate_a: int
    gate_b: int
    min_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All links and visits of a world."""

    links: tuple[Link, ...]
    visits: tuple[Visit, ...]


def make_plan(spec: WorldSpec, people: list[Identity], scenes: list[Scene]) -> Plan:
    """Send everybody on their way."""
    links = _links(spec, scenes)
    visits: list[Visit] = []
    for person in people:
        visits.extend(_itinerary(spec, person, scenes, links, visits))
    return Plan(links, tuple(visits))


def window(spec: WorldSpec, person: Identity) -> tuple[float, float]:
    """Return the seconds in which a person may be seen; halves when the split is "both"."""
    if spec.split != "both" or person.pid is None:
        return -1e9, 1e9
    half = (spec.people - spec.anonymous) / 2
    first = person.pid <= math.ceil(half)
    return (-1e9, spec.seconds / 2) if first else (spec.seconds / 2, 1e9)


def _links(spec: WorldSpec, scenes: list[Scene]) -> tuple[Link, ...]:
    rng = stream(spec.seed, "links")
    pairs = {(i, i + 1) for i in range(spec.cameras - 1)}
    for i in range(spec.cameras):
        for j in range(i + 2, spec.cameras):
            if rng.random() < 0.35:
                pairs.add((i, j))
    links = []
    for a, b in sorted(pairs):
        low = float(rng.uniform(2.0, 6.0))
        gate_a, gate_b = (int(rng.integers(len(scenes[k].gates))) for k in (a, b))
        links.append(Link(a, b, gate_a, gate_b, low, low + float(rng.uniform(2.0, 6.0))))
    return tuple(links)


def _itinerary(
    spec: WorldSpec,
    person: Identity,
    scenes: list[Scene],
    links: tuple[Link, ...],
    others: list[Visit],
) -> list[Visit]:
    rng = stream(spec.seed, "itinerary", person.number)
    low, high = window(spec, person)
    before_s = 12.0 if links else 4.0
    first, last = max(low, -before_s), min(high, spec.seconds)
    start = first + float(rng.uniform(0, max(0.45 * (last - first), last - first - 22)))
    camera = int(rng.integers(spec.cameras))
    gate, previous = int(rng.integers(len(scenes[camera].gates))), -1
    visits: list[Visit] = []
    count = int(rng.integers(2, 5)) * max(1, round(spec.seconds / 60))
    for _ in range(count):
        link = _next_link(rng, links, camera, previous)
        exit_gate = _own_gate(link, camera, rng, scenes)
        visit = make_visit(rng, person, scenes[camera], camera, start, gate, exit_gate, others)
        if visit.start_s > last or visit.end_s > high or link is None:
            if visit.end_s <= high:
                visits.append(visit)
            break
        visits.append(visit)
        start = visit.end_s + float(rng.uniform(link.min_s, link.max_s))
        previous, camera = camera, link.b if link.a == camera else link.a
        gate = link.gate_b if link.b == camera else link.gate_a
    return [v for v in visits if v.end_s > 0 and v.start_s < spec.seconds]


def _next_link(
    rng: np.random.Generator, links: tuple[Link, ...], camera: int, previous: int
) -> Link | None:
    options = [k for k in links if camera in (k.a, k.b)]
    fresh = [k for k in options if previous not in (k.a, k.b)]
    options = fresh or options
    return options[int(rng.integers(len(options)))] if options else None


def _own_gate(link: Link | None, camera: int, rng: np.random.Generator, scenes: list[Scene]) -> int:
    if link is None:
        return int(rng.integers(len(scenes[camera].gates)))
    return link.gate_a if link.a == camera else link.gate_b
