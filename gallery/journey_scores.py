"""How right a journey is, beside the truth.

Precision: the share of the journey's visits that are right. Recall: the share of the true visits
that a right visit found. A visit is right when at least half of its sightings show the person: in
that camera at that time, and, where the truth knows the person's boxes, in that place of the
picture (overlap of boxes, IoU, of 0.5), so that somebody beside them does not count.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gallery.journey import Visit
from gallery.values import Box, Sighting

SLACK_MS = 500
"""Sightings so far outside a true visit still belong to it: the truth is sampled too."""
NEAR_MS = 300
"""How far from a sighting the truth's nearest box may be."""
LEAST_IOU = 0.5


@dataclass(frozen=True, slots=True)
class TruthVisit:
    """The person in one camera; ``boxes`` are (time ms, box) in order of time, if known."""

    camera: str
    enter_ms: int
    leave_ms: int
    boxes: tuple[tuple[int, Box], ...] = ()


@dataclass(frozen=True, slots=True)
class JourneyScores:
    """Precision and recall, each 0..1, and the counts they come from.

    ``right`` and ``found`` tell for each visit, of the journey and of the truth, how it did.
    Without any visit precision is 1 (nothing said, nothing wrong); without truth recall is 1.
    """

    precision: float
    recall: float
    right: tuple[bool, ...]
    found: tuple[bool, ...]


def score_journey(
    visits: Sequence[Visit], truth: Sequence[TruthVisit], *, given: str = ""
) -> JourneyScores:
    """Compare the visits of a journey with the true ones.

    ``given`` is the sighting that was asked with: the visit it belongs to was no finding, so
    neither precision nor recall counts it. Without it all visits count.
    """
    shown = [_shown(visit, truth) for visit in visits]
    right = tuple(whole for whole, _ in shown)
    seen = {place for whole, places in shown if whole for place in places}
    found = tuple(place in seen for place in range(len(truth)))
    asked = [hit.sighting for visit in visits for hit in visit.sightings
             if hit.sighting.id == given]  # fmt: skip
    known = {_true_visit(one, truth) for one in asked}
    own = [any(hit.sighting in asked for hit in visit.sightings) for visit in visits]
    return JourneyScores(
        precision=_share(one for one, is_own in zip(right, own, strict=True) if not is_own),
        recall=_share(one for place, one in enumerate(found) if place not in known),
        right=right,
        found=found,
    )


def _share(flags: Iterable[bool]) -> float:
    counted = list(flags)
    return sum(counted) / len(counted) if counted else 1.0


def _shown(visit: Visit, truth: Sequence[TruthVisit]) -> tuple[bool, set[int]]:
    """Tell whether a visit is right, and the places of the true visits that it shows."""
    hits = [_true_visit(hit.sighting, truth) for hit in visit.sightings]
    places = {place for place in hits if place is not None}
    return bool(places) and 2 * sum(place is not None for place in hits) >= len(hits), places


def _true_visit(shot: Sighting, truth: Sequence[TruthVisit]) -> int | None:
    """Return the place of the true visit that a sighting belongs to."""
    for place, true in enumerate(truth):
        early, late = true.enter_ms - SLACK_MS, true.leave_ms + SLACK_MS
        there = shot.camera == true.camera and early <= shot.captured_at_ms <= late
        if there and (not true.boxes or _is_person(shot, true)):
            return place
    return None


def _is_person(shot: Sighting, true: TruthVisit) -> bool:
    times = [at_ms for at_ms, _ in true.boxes]
    after = bisect_left(times, shot.captured_at_ms)
    near = true.boxes[max(0, after - 1) : after + 1]
    at_ms, box = min(near, key=lambda entry: abs(entry[0] - shot.captured_at_ms))
    return abs(at_ms - shot.captured_at_ms) <= NEAR_MS and iou(box, shot.box) >= LEAST_IOU


def iou(one: Box, other: Box) -> float:
    """Return the overlap of two boxes over their union, 0..1."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = wide * high
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both
    return both / union if union > 0 else 0.0
