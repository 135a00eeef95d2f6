"""Records refuse arrays that disagree."""

from pathlib import Path

import numpy as np
import pytest

from train.data.records import UNLABELLED, ImageRecord, PersonSearchSet, QueryRecord

PICTURE = Path("c1s1_000001.jpg")


def test_an_image_needs_a_box_for_each_identity() -> None:
    with pytest.raises(ValueError, match=r"image a: boxes \(2, 4\) for ids \(1,\)"):
        ImageRecord(PICTURE, "a", 1, np.zeros((2, 4), np.float32), np.zeros(1, np.int64))


def test_a_query_has_one_box() -> None:
    with pytest.raises(ValueError, match=r"query on a: box of shape \(1, 4\)"):
        QueryRecord("a", PICTURE, 1, np.zeros((1, 4), np.float32), 3)


def test_persons_are_counted_with_those_without_identity() -> None:
    ids = np.array([UNLABELLED, 4])
    image = ImageRecord(PICTURE, "a", 1, np.zeros((2, 4), np.float32), ids)
    assert PersonSearchSet("PRW", Path(), "test", (image, image), (), (4,)).persons == 4
