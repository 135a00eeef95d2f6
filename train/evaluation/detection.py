"""Score detections against annotated persons, identities aside.

A detection and a person are a pair when they overlap by at least the threshold and each is the
other's best overlap. Persons without identity count like all others. A detection that is no
person's pair and lies for the most part inside a region to ignore is neither right nor wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import Boxes, iou_matrix
from engines.values import Detections
from train.data.records import IGNORED, ImageRecord
from train.evaluation.average import Curve, average_precision, precision_recall
from train.evaluation.protocol import DETECTION_THRESHOLD

MIN_IOU = 0.5
MOST = 0.5
"""Share of a detection's area inside one region from which it is ignored (COCO's crowd rule)."""

_CURVE_POINTS = 500


@dataclass(frozen=True, slots=True, eq=False)
class DetectionScores:
    """``ap`` (average precision times recall), ``recall`` and ``precision`` in 0..1.

    ``persons`` were annotated, ``detections`` were made, ``found`` of them are right;
    ``ignored`` further ones lie in regions to ignore and are in no other number.
    """

    ap: float
    recall: float
    precision: float
    persons: int
    detections: int
    found: int
    curve: Curve
    ignored: int = 0


def found_persons(persons: Boxes, detections: Boxes, min_iou: float = MIN_IOU) -> NDArray[np.bool_]:
    """Return bool (N,): which of detections (N, 4) is one of the persons (M, 4)."""
    return _pairs(iou_matrix(persons, detections), min_iou)


def _pairs(overlap: NDArray[np.float64], min_iou: float) -> NDArray[np.bool_]:
    """Return bool (N,): which column of overlaps (M, N) is the best of its own best row."""
    right = np.zeros(overlap.shape[1], bool)
    if not overlap.size:
        return right
    best_detection = overlap.argmax(axis=1)
    best_person = overlap.argmax(axis=0)
    rows = np.arange(len(overlap))
    mutual = best_person[best_detection] == rows
    enough = overlap[rows, best_detection] >= min_iou
    right[best_detection[mutual & enough]] = True
    return right


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Detections of one image, (N,) each: ``scores`` and which are ``covered`` by a region.

    ``overlap`` (M, N) with its persons.
    """

    scores: NDArray[np.float64]
    covered: NDArray[np.bool_]
    overlap: NDArray[np.float64]

    @classmethod
    def of(cls, image: ImageRecord, found: Detections) -> "_Frame":
        ignore = image.ids == IGNORED
        return cls(
            found.scores.astype(np.float64),
            _covered(found.boxes, image.boxes[ignore]),
            iou_matrix(image.boxes[~ignore], found.boxes),
        )

    def judge(self, threshold: float, min_iou: float) -> "_Judged":
        keep = self.scores >= threshold
        hits = _pairs(self.overlap[:, keep], min_iou)
        counts = hits | ~self.covered[keep]
        return _Judged(
            self.scores[keep][counts], hits[counts], len(self.overlap), int((~counts).sum())
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Detections that count: ``scores`` (N,), bool ``hits`` (N,); and how much else there was."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    persons: int
    ignored: int


def _covered(boxes: Boxes, regions: Boxes) -> NDArray[np.bool_]:
    """Return bool (N,): which box (N, 4) lies for the most part in one of regions (R, 4)."""
    a, b = boxes[:, None].astype(np.float64), regions[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    area = np.prod(a[..., 2:] - a[..., :2], axis=-1)
    inside: NDArray[np.bool_] = ((shared >= MOST * area) & (shared > 0)).any(axis=1)
    return inside


def score_detection(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    *,
    score_threshold: float = DETECTION_THRESHOLD,
    min_iou: float = MIN_IOU,
) -> DetectionScores:
    """Score the detections of each image; those below ``score_threshold`` are left out."""
    return _summary(_judge(_frames(images, found), score_threshold, min_iou))


def detection_curve(
    images: Sequence[ImageRecord], found: Sequence[Detections], *, min_iou: float = MIN_IOU
) -> Curve:
    """Return precision and recall of `score_detection` at each score, the lowest included.

    Pairs are sought anew at each threshold, as they would be were it the only one; of very many
    distinct scores 500 evenly spread ones are taken.
    """
    frames = _frames(images, found)
    scores = np.unique(np.concatenate([np.zeros(0), *(frame.scores for frame in frames)]))
    if len(scores) > _CURVE_POINTS:
        scores = scores[np.linspace(0, len(scores) - 1, _CURVE_POINTS).astype(np.int64)]
    points = [_summary(_judge(frames, float(score), min_iou)) for score in scores[::-1]]
    return Curve(
        scores[::-1],
        np.array([point.precision for point in points], np.float64),
        np.array([point.recall for point in points], np.float64),
    )


def _frames(images: Sequence[ImageRecord], found: Sequence[Detections]) -> list[_Frame]:
    return [_Frame.of(image, answer) for image, answer in zip(images, found, strict=True)]


def _judge(frames: Sequence[_Frame], threshold: float, min_iou: float) -> _Judged:
    judged = [frame.judge(threshold, min_iou) for frame in frames]
    return _Judged(
        np.concatenate([np.zeros(0), *(one.scores for one in judged)]),
        np.concatenate([np.zeros(0, bool), *(one.hits for one in judged)]),
        sum(one.persons for one in judged),
        sum(one.ignored for one in judged),
    )


def _summary(judged: _Judged) -> DetectionScores:
    hits, scores, persons = judged.hits, judged.scores, judged.persons
    right = int(hits.sum())
    recall = right / max(1, persons)
    return DetectionScores(
        ap=average_precision(hits, scores) * recall,
        recall=recall,
        precision=right / max(1, len(hits)),
        persons=persons,
        detections=len(hits),
        found=right,
        curve=precision_recall(hits, scores, persons),
        ignored=judged.ignored,
    )
