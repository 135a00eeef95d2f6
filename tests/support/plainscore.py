"""Person-search scoring as plain loops, written from the rules alone: slow, for comparison."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def iou(a: Any, b: Any) -> float:
    """Overlap of two boxes x1 y1 x2 y2."""
    ax, ay, aX, aY = (float(v) for v in a)
    bx, by, bX, bY = (float(v) for v in b)
    width, height = min(aX, bX) - max(ax, bx), min(aY, bY) - max(ay, by)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((aX - ax) * (aY - ay) + (bX - bx) * (bY - by) - shared)


def step_average_precision(right: Sequence[bool], scores: Sequence[float]) -> float:
    """Sum of (recall step) x precision over distinct scores, best first."""
    total = sum(right)
    average = last_recall = 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [r for r, s in zip(right, scores, strict=True) if s >= threshold]
        recall = sum(chosen) / total
        average += (recall - last_recall) * sum(chosen) / len(chosen)
        last_recall = recall
    return average


def listing_of(images: Sequence[Any], query: Any, *, cross_camera: bool) -> list[Any]:
    """Return the gallery of a rule: frame number and the person's box, or None, for each."""
    out: list[Any] = []
    for number, image in enumerate(images):
        if image.name == query.name or (cross_camera and image.camera == query.camera):
            continue
        truth = [b for b, i in zip(image.boxes, image.ids, strict=True) if i == query.pid]
        out.append((number, truth[0] if truth else None))
    return out


def own_listing(images: Sequence[Any], query: Any) -> list[Any]:
    """Return the query's own gallery in the same form, listings with the person first."""
    left = {number: list(boxes) for number, boxes in (query.truth or {}).items()}
    out: list[Any] = []
    for number in sorted(int(place) for place in query.gallery):
        if query.truth is not None:
            truth = [left[number].pop(0)] if left.get(number) else []
        else:
            image = images[number]
            truth = [b for b, i in zip(image.boxes, image.ids, strict=True) if i == query.pid]
        out.append((number, truth[0] if truth else None))
    return out


def score_query(
    images: Sequence[Any],
    found: Sequence[Any],
    query: Any,
    feature: Any,
    *,
    cross_camera: bool,
    adaptive: bool = True,
    threshold: float = 0.5,
) -> tuple[float, list[bool]]:
    """Return AP and, best answer first, which answers are right (ties in gallery order)."""
    listing = listing_of(images, query, cross_camera=cross_camera)
    return score_listing(listing, found, feature, adaptive=adaptive, threshold=threshold)


def score_listing(
    listing: Sequence[Any],
    found: Sequence[Any],
    feature: Any,
    *,
    adaptive: bool = True,
    threshold: float = 0.5,
    weighted: bool = False,
    given: Any = None,
) -> tuple[float, list[bool]]:
    """Score a gallery of (frame number, box or None), each listing by itself.

    ``weighted``: similarity times detection score; ``given`` maps a frame number to the
    similarities of its kept detections, instead of cosines.
    """
    answers: list[tuple[float, bool, tuple[int, int]]] = []
    n_gt = n_tp = 0
    for number, truth in listing:
        n_gt += truth is not None
        frame = _frame(found[number], feature, threshold, weighted)
        if given is not None:
            frame = [(float(s), b) for s, (_, b) in zip(given[number], frame, strict=True)]
        labels = [False] * len(frame)
        if truth is not None:
            w, h = (float(truth[k + 2]) - float(truth[k]) for k in (0, 1))
            least = min(0.5, w * h / ((w + 10) * (h + 10))) if adaptive else 0.5
            for at in sorted(range(len(frame)), key=lambda k: -frame[k][0]):
                if iou(frame[at][1], truth) >= least:
                    labels[at] = True
                    n_tp += 1
                    break
        answers += [
            (s, right, (number, row))
            for row, ((s, _), right) in enumerate(zip(frame, labels, strict=True))
        ]
    # Ties: in the order of the split; of two listings of one detection the right one first.
    answers.sort(key=lambda answer: (-answer[0], answer[2], not answer[1]))
    ranked = [right for _, right, _ in answers]
    if not n_tp:
        return 0.0, ranked
    average = step_average_precision(ranked, [s for s, _, _ in answers])
    return average * n_tp / n_gt, ranked


def _frame(detections: Any, feature: Any, threshold: float, weighted: bool) -> list[Any]:
    rows = zip(detections.boxes, detections.scores, detections.embeddings, strict=True)
    return [
        (cosine(e, feature) * (float(s) if weighted else 1.0), b)
        for b, s, e in rows
        if s >= threshold
    ]


def cosine(a: Any, b: Any) -> float:
    """Dot product in float64."""
    return float(np.dot(np.asarray(a, np.float64), np.asarray(b, np.float64)))


def score_detections(
    images: Sequence[Any], found: Sequence[Any], *, threshold: float = 0.5
) -> tuple[float, float]:
    """Return AP x recall, and recall."""
    right: list[bool] = []
    scores: list[float] = []
    persons = 0
    for image, detections in zip(images, found, strict=True):
        kept = [k for k, s in enumerate(detections.scores) if s >= threshold]
        table = [[iou(b, detections.boxes[k]) for k in kept] for b in image.boxes]
        table = [[v if v >= 0.5 else 0.0 for v in row] for row in table]
        persons += len(image.boxes)
        for column, k in enumerate(kept):
            scores.append(float(detections.scores[k]))
            right.append(
                any(
                    row[column] > 0
                    and row[column] == max(row)
                    and row[column] == max(other[column] for other in table)
                    for row in table
                )
            )
    recall = sum(right) / persons
    return (step_average_precision(right, scores) * recall if any(right) else 0.0), recall


def matching_identities(truth: Sequence[Any], predicted: Sequence[Any]) -> int:
    """Most boxes that agree under one assignment of identities, by trying all of them."""
    guesses = sorted({box.track for box in predicted})
    people = sorted({box.track for box in truth})

    def agree(person: int, guess: int) -> int:
        return sum(
            a.track == person
            and b.track == guess
            and (a.camera, a.frame) == (b.camera, b.frame)
            and iou(a.xyxy, b.xyxy) >= 0.5
            for a in truth
            for b in predicted
        )

    table = {(p, g): agree(p, g) for p in people for g in guesses}

    def best(at: int, free: frozenset[int]) -> int:
        if at == len(people):
            return 0
        given = [table[people[at], g] + best(at + 1, free - {g}) for g in free]
        return max([best(at + 1, free), *given])

    return best(0, frozenset(guesses))
