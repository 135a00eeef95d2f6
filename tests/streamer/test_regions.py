"""Zones and masks."""

import numpy as np
import pytest

from streamer.regions import MASK_GREY, PrivacyMask, foot_points, inside_any

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TRIANGLE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
BOW = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))


def test_a_mask_paints_what_is_inside_and_nothing_else() -> None:
    pixels = np.full((10, 20, 3), 7, np.uint8)
    PrivacyMask([LEFT_HALF]).apply(pixels)
    assert (pixels[:, :10] == MASK_GREY).all()
    assert (pixels[:, 10:] == 7).all()


def test_a_mask_follows_the_size_of_the_frame() -> None:
    mask = PrivacyMask([LEFT_HALF])
    for size in ((10, 20), (40, 8), (10, 20)):
        pixels = np.zeros((*size, 3), np.uint8)
        mask.apply(pixels)
        assert (pixels == MASK_GREY).all(axis=(0, 2)).sum() == size[1] // 2


def test_several_masks_add_up_and_none_changes_nothing() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    PrivacyMask([]).apply(pixels)
    assert not pixels.any()
    right = tuple((1 - x, y) for x, y in LEFT_HALF)
    PrivacyMask([LEFT_HALF, right]).apply(pixels)
    assert (pixels == MASK_GREY).all()


@pytest.mark.parametrize(
    ("polygon", "point", "inside"),
    [
        (TRIANGLE, (0.2, 0.2), True),
        (TRIANGLE, (0.8, 0.8), False),
        (BOW, (0.5, 0.2), False),
        (BOW, (0.9, 0.5), True),
        (LEFT_HALF, (0.49, 0.99), True),
        (LEFT_HALF, (0.51, 0.5), False),
    ],
)
def test_points_in_polygons(polygon, point, inside: bool) -> None:
    assert inside_any([polygon], np.array([point]))[0] == inside


def test_feet_are_the_bottom_centre_and_stay_inside_the_frame() -> None:
    boxes = np.array([[10, 20, 30, 60], [0, 0, 100, 100]], np.float32)
    points = foot_points(boxes, (100, 100))
    assert points[0] == pytest.approx([0.2, 0.6])
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert inside_any([whole], points).all()
    assert inside_any([whole], np.zeros((0, 2))).shape == (0,)
