"""What may enter the store, and what may be asked of it.

Milvus Lite takes NaN, vectors of any length and anything as a name; so we look first.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engines.values import EMBEDDING_DIM
from gallery.errors import InvalidSightingError
from gallery.limits import SIGHTING_ID, TRACKLET
from gallery.values import CAMERA_NAME, LAST_MS, Sighting

NORM_TOLERANCE = 1e-3
MOST_CROP = 255
"""Longest path of a crop inside the gallery, characters."""


def vector_fault(vector: NDArray[np.float32]) -> str:
    """Return what is wrong with one embedding; "" when it is 256 finite numbers of length 1."""
    if vector.shape != (EMBEDDING_DIM,):
        return f"the embedding has shape {vector.shape}, want ({EMBEDDING_DIM},)"
    if not np.isfinite(vector).all():
        return "the embedding holds NaN or infinity"
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(norm - 1.0) > NORM_TOLERANCE:
        return f"the embedding has length {norm:.4f}, want 1"
    return ""


def check_sightings(sightings: Sequence[Sighting], model: str) -> None:
    """Refuse a batch when any of it may not be stored.

    Raises:
        InvalidSightingError: names the sighting and what is wrong with it.
    """
    for index, sighting in enumerate(sightings):
        fault = sighting_fault(sighting, model)
        if fault:
            raise InvalidSightingError(
                f"sighting {index + 1} of {len(sightings)} ({sighting.id!r}, camera "
                f"{sighting.camera!r}): {fault}; nothing of the batch was written"
            )


def sighting_fault(sighting: Sighting, model: str) -> str:
    """Return the first thing wrong with a sighting, or ""."""
    faults = (_name_fault, _number_fault, _crop_fault)
    if sighting.model != model:
        return f"it is of model {sighting.model!r}, the gallery holds {model!r}"
    return next(filter(None, (fault(sighting) for fault in faults)), "") or vector_fault(
        np.asarray(sighting.embedding)
    )


def _name_fault(sighting: Sighting) -> str:
    if not SIGHTING_ID.fullmatch(sighting.id):
        return "the id is not 32 hex digits"
    if not CAMERA_NAME.fullmatch(sighting.camera):
        return (
            "a camera is called by 1 to 64 letters, digits, '_', '.' and '-', "
            "a letter or digit first"
        )
    if not TRACKLET.fullmatch(sighting.tracklet):
        return f"the tracklet is called {sighting.tracklet!r}"
    return ""


def _number_fault(sighting: Sighting) -> str:
    if not 0 <= sighting.captured_at_ms < LAST_MS:
        return f"captured at {sighting.captured_at_ms} ms, outside the years 1970 to 9999"
    numbers = (*sighting.box, sighting.score, sighting.quality)
    if len(sighting.box) != 4 or not all(math.isfinite(number) for number in numbers):
        return f"box {sighting.box}, score {sighting.score}, quality {sighting.quality}"
    x1, y1, x2, y2 = sighting.box
    if x2 <= x1 or y2 <= y1:
        return f"the box {sighting.box} is empty"
    return ""


def _crop_fault(sighting: Sighting) -> str:
    parts = sighting.crop.split("/")
    if len(sighting.crop) > MOST_CROP or "\\" in sighting.crop or ".." in parts:
        return f"the crop path {sighting.crop!r} may lead outside the gallery"
    if sighting.crop and parts[0] == "":
        return f"the crop path {sighting.crop!r} is not relative"
    return ""
