from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gallery.checks import check_sightings, vector_fault
from gallery.errors import InvalidSightingError
from gallery.values import Sighting

Make = Callable[..., Sighting]
UNIT = np.eye(1, 256, dtype=np.float32)[0]


def test_good_sighting_passes(make_sighting: Make, model: str) -> None:
    check_sightings([make_sighting()], model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "x"}, "not 32 hex digits"),
        ({"id": '" or 1 == 1 or id == "'}, "not 32 hex digits"),
        ({"camera": "../etc"}, "a camera is called by"),
        ({"camera": ""}, "a camera is called by"),
        ({"tracklet": 'a" or "b'}, "the tracklet is called"),
        ({"model": "other"}, "it is of model 'other', the gallery holds"),
        ({"captured_at_ms": -1}, "outside the years"),
        ({"captured_at_ms": 253_402_300_800_000}, "outside the years"),
        ({"box": (0.0, 0.0, float("nan"), 1.0)}, "box .*nan"),
        ({"box": (5.0, 5.0, 5.0, 9.0)}, "is empty"),
        ({"score": float("inf")}, "score inf"),
        ({"quality": float("nan")}, "quality nan"),
        ({"crop": "../../secret"}, "may lead outside"),
        ({"crop": "crops\\x.jpg"}, "may lead outside"),
        ({"crop": "x" * 256}, "may lead outside"),
        ({"crop": "/etc/passwd"}, "not relative"),
        ({"embedding": UNIT[:255]}, r"shape \(255,\), want \(256,\)"),
        ({"embedding": UNIT * np.nan}, "NaN or infinity"),
        ({"embedding": UNIT * 1.002}, r"length 1\.0020, want 1"),
        ({"embedding": UNIT * 0}, r"length 0\.0000"),
    ],
)
def test_bad_sighting_is_named(
    make_sighting: Make, model: str, change: dict[str, Any], words: str
) -> None:
    bad = replace(make_sighting("cam2"), **change)
    with pytest.raises(InvalidSightingError, match=rf"sighting 2 of 3 .*{words}.*nothing of the"):
        check_sightings([make_sighting(), bad, make_sighting()], model)


def test_length_may_be_off_by_a_thousandth() -> None:
    assert vector_fault(UNIT * np.float32(1.0009)) == ""
    assert vector_fault(UNIT * np.float32(0.9991)) == ""
