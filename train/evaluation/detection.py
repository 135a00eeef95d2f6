"""Score detections against annotated persons, identities aside.

A detection and a person are a pair when they overlap by at least the threshold and each is the
other's best overlap. Persons without identity count like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import Boxes, iou_matrix
from engines.values import Detections
from train.data.records import ImageRecord
from train.evaluation.average import Curve, average_precision, precision_recall
from train.evaluation.protocol import DETECTION_THRESHOLD

MIN_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class DetectionScores:
    """``ap`` (average precision times recall), ``recall`` and ``precision`` in 0..1.

    ``persons`` were annotated, ``detections`` were made, ``found`` of them are right.
    """

    ap: float
    recall: float
    precision: float
    persons: int
    detections: int
    found: int
    curve: Curve


def found_persons(persons: Boxes, detections: Boxes, min_iou: float = MIN_IOU) -> NDArray[np.bool_]:
    """Return bool (N,): which of detections (N, 4) is one of the persons (M, 4)."""
    right = np.zeros(len(detections), bool)
    if not len(persons) or not len(detections):
        return right
    overlap = iou_matrix(persons, detections)
    best_detection = overlap.argmax(axis=1)
    best_person = overlap.argmax(axis=0)
    rows = np.arange(len(persons))
    mutual = best_person[best_detection] == rows
    enough = overlap[rows, best_detection] >= min_iou
    right[best_detection[mutual & enough]] = True
    return right


def score_detection(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    *,
    score_threshold: float = DETECTION_THRESHOLD,
    min_iou: float = MIN_IOU,
) -> DetectionScores:
    """Score the detections of each image; those below ``score_threshold`` are left out."""
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for image, detections in zip(images, found, strict=True):
        keep = detections.scores >= score_threshold
        scores.append(detections.scores[keep].astype(np.float64))
        hits.append(found_persons(image.boxes, detections.boxes[keep], min_iou))
    persons = sum(len(image.boxes) for image in images)
    return _summary(np.concatenate(scores), np.concatenate(hits), persons)


def _summary(scores: NDArray[np.float64], hits: NDArray[np.bool_], persons: int) -> DetectionScores:
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
    )
