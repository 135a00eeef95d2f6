"""Move a detector's scores so that 0.5 is the place to cut.

Where training draws easy and hard negatives in fixed shares, the score that separates usefully
is seldom 0.5, while everyone cuts there (the person-search protocol too). One shift of the person
logit, chosen on data that neither trained nor will test, mends it without changing the order of
anything.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines.engine import Engine
from engines.values import Detections
from train.data.records import ImageRecord
from train.data.sets import load_set
from train.evaluation.detection import score_detection
from train.evaluation.engine import find_persons

LOWEST = 0.06
"""Scores below this are not looked at."""
LEAST_PRECISION = 0.65
"""Share of the detections that must be annotated persons. Well below 1 on purpose: a person who
is not detected can never be found again, while a false detection is one more unlikely row of a
gallery; and people too hidden to be annotated count as false here."""


def best_cut(images: Sequence[ImageRecord], found: Sequence[Detections]) -> float:
    """Return the lowest score, 0.06 to 0.9, from which detections are precise enough."""
    for cut in np.arange(LOWEST, 0.9, 0.02):
        scores = score_detection(images, found, score_threshold=float(cut))
        if scores.precision >= LEAST_PRECISION:
            return float(cut)
    return 0.9


def cut_on(engine: Engine, data: Sequence[Path]) -> float:
    """Return the cut of an engine over the test splits of data sets.

    Raises:
        DatasetError: a data set cannot be read.
    """
    images = [image for root in data for image in load_set(root, "test").images]
    return best_cut(images, find_persons(engine, images, LOWEST, 8))


def logit_shift(cut: float) -> float:
    """Return what to add to the person logit so that a score of ``cut`` becomes 0.5."""
    return -math.log(cut / (1 - cut))
