"""Records refuse arrays that disagree."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.data.records import (
    IGNORED,
    UNLABELLED,
    ImageRecord,
    PersonSearchSet,
    QueryRecord,
    class_numbers,
    record_of,
)

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


@pytest.mark.parametrize(
    ("gallery", "kind"),
    [
        (np.zeros(2, np.int64), r"int64 \(2,\)"),
        (np.zeros((1, 2), np.int32), r"int32 \(1, 2\)"),
    ],
)
def test_a_gallery_is_a_row_of_places(gallery: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"query on a: gallery {kind}, want int32"):
        QueryRecord("a", PICTURE, 1, np.zeros(4, np.float32), 3, gallery)


def test_the_truth_has_a_box_for_each_listing() -> None:
    box = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"query on a: truth of image 7 has shape \(4,\), want"):
        QueryRecord("a", PICTURE, 1, box, 3, np.zeros(2, np.int32), {7: box})


def test_classes_are_places_in_the_list_of_identities() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    image = record_of(PICTURE, "a", 1, [(box, pid) for pid in (40, UNLABELLED, 7, IGNORED, 5)])
    (found,) = class_numbers([image], [7, 40])
    assert found.ids.tolist() == [1, UNLABELLED, 0, IGNORED, UNLABELLED]
    assert found.ids.dtype == np.int64
    assert found.boxes.tolist() == [list(box)] * 5


def test_a_picture_without_persons() -> None:
    empty = record_of(PICTURE, "a", 1, [])
    assert (empty.boxes.shape, empty.ids.shape) == ((0, 4), (0,))
