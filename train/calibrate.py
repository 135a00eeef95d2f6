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
from train.data.people import load_people
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


Answered = tuple[Sequence[ImageRecord], Sequence[Detections]]
"""A data set's pictures, and what an engine found in them."""


def best_cut(sets: Sequence[Answered]) -> float:
    """Return the lowest score, 0.06 to 0.9, from which detections are precise enough.

    Precision is the mean over the sets: a large one does not outvote a small one.
    """
    for cut in np.arange(LOWEST, 0.9, 0.02):
        scores = [
            score_detection(images, found, score_threshold=float(cut)) for images, found in sets
        ]
        if float(np.mean([score.precision for score in scores])) >= LEAST_PRECISION:
            return float(cut)
    return 0.9


def cut_on(engine: Engine, data: Sequence[Path], people: Sequence[Path] = ()) -> float:
    """Return the cut of an engine over the test splits of data sets, and pictures of people.

    ``people`` are folders of pictures without identities, all of whose people count.

    Raises:
        DatasetError: a data set or folder cannot be read.
    """
    sets = [load_set(root, "test").images for root in data]
    sets += [load_people(root).images for root in people]
    return best_cut([(images, find_persons(engine, images, LOWEST, 8)) for images in sets])


def logit_shift(cut: float) -> float:
    """Return what to add to the person logit so that a score of ``cut`` becomes 0.5."""
    return -math.log(cut / (1 - cut))
