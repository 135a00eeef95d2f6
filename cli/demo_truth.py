"""The truth of a rendered world: whom to follow in the demo, and how right the answer was.

The truth chooses and scores; it never takes part in the search itself.
"""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gallery.journey_scores import LEAST_IOU, TruthVisit, iou
from gallery.values import Box, Sighting
from train.errors import WorldError
from train.evaluation.mot import read_mot

NEAR_MS = 300
"""How far from a sighting the truth's nearest box may be."""

STAY_MS = 2_000
"""Visits shorter than this do not count when somebody to follow is chosen."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person of the world and where they really were, in order of time."""

    number: int
    visits: tuple[TruthVisit, ...]

    @property
    def cameras(self) -> int:
        """In how many cameras the person was."""
        return len({visit.camera for visit in self.visits})


def load_people(world: Path, start: datetime, fps: float) -> list[Person]:
    """Return everybody with an identity in a world whose videos begin at ``start``.

    Raises:
        WorldError: the truth cannot be read.
    """
    try:
        journeys = json.loads((world / "ground_truth" / "journeys.json").read_text("utf-8"))
        visits = {entry["id"]: entry["visits"] for entry in journeys["journeys"]}
    except (OSError, ValueError, KeyError) as error:
        raise WorldError(f"cannot read the journeys of world {world}: {error}") from error
    boxes = _boxes(world / "ground_truth" / "mot", round(start.timestamp() * 1000), fps)
    return [
        Person(number, tuple(_visit(visit, boxes[visit["camera"], number]) for visit in listed))
        for number, listed in visits.items()
    ]


def _boxes(folder: Path, start_ms: int, fps: float) -> dict[tuple[str, int], list[tuple[int, Box]]]:
    """Return the boxes of each camera and person with their times, in order of time."""
    found: dict[tuple[str, int], list[tuple[int, Box]]] = defaultdict(list)
    for camera in sorted(path.name for path in folder.iterdir()):
        for one in read_mot(folder / camera / "gt" / "gt.txt"):
            at_ms = start_ms + round((one.frame - 1) * 1000 / fps)
            found[camera, one.track].append((at_ms, one.xyxy))
    for listed in found.values():
        listed.sort()
    return found


def _visit(visit: dict[str, str], boxes: Sequence[tuple[int, Box]]) -> TruthVisit:
    enter, leave = (_ms(visit[key]) for key in ("enter", "leave"))
    inside = tuple((at, box) for at, box in boxes if enter <= at <= leave)
    return TruthVisit(visit["camera"], enter, leave, inside)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def choose(people: Sequence[Person]) -> list[Person]:
    """Return the people in the order in which the demo would follow them.

    Those who stayed a while in most cameras first, then those who were seen the longest:
    nothing of what the engine makes of them takes part.
    """

    def rank(person: Person) -> tuple[int, int, int]:
        stays = [one for one in person.visits if one.leave_ms - one.enter_ms >= STAY_MS]
        seen = sum(len(visit.boxes) for visit in person.visits)
        return -len({visit.camera for visit in stays}), -seen, person.number

    return sorted(people, key=rank)


def first_sighting(person: Person, sightings: Iterable[Sighting]) -> Sighting | None:
    """Return the clearest sighting of the first visit that the gallery has any sighting of."""
    shown = list(sightings)
    for visit in person.visits:
        mine = [one for one in shown if shows(visit, one)]
        if mine:
            return max(mine, key=lambda one: (one.quality, one.id))
    return None


def shows(visit: TruthVisit, one: Sighting) -> bool:
    """Tell whether a sighting shows the person of a visit."""
    if one.camera != visit.camera or not visit.boxes:
        return False
    times = [at_ms for at_ms, _ in visit.boxes]
    place = bisect_left(times, one.captured_at_ms)
    near = [visit.boxes[i] for i in (place - 1, place) if 0 <= i < len(times)]
    at_ms, box = min(near, key=lambda entry: abs(entry[0] - one.captured_at_ms))
    return abs(at_ms - one.captured_at_ms) <= NEAR_MS and iou(box, one.box) >= LEAST_IOU
