"""Cutting people and things out of annotated pictures."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from train.data.cutouts import people_cutouts, soft_mask, thing_cutout
from train.data.records import IGNORED, UNLABELLED, ImageRecord

HW = (180, 240)


def record(boxes: list[tuple[float, ...]], ids: list[int], folder: str = "still") -> ImageRecord:
    path = Path(folder) / f"{len(boxes)}.jpg"
    return ImageRecord(path, str(path), 0, np.array(boxes, np.float32).reshape(-1, 4),
                       np.array(ids, np.int64))  # fmt: skip


def still_scene(frames: int) -> tuple[list[ImageRecord], list[NDArray[np.uint8]]]:
    """A red body walks through a grey room; the boxes are 12 pixels too large on each side."""
    room = np.random.default_rng(0).integers(90, 130, size=(*HW, 3), dtype=np.uint8)
    images, pictures = [], []
    for number in range(frames):
        left = 15 + 26 * number
        picture = room.copy()
        picture[40:140, left : left + 26] = (220, 20, 20)
        images.append(record([(left - 8, 36, left + 34, 144)], [UNLABELLED]))
        pictures.append(picture)
    return images, pictures


def test_a_still_scene_is_cut_along_the_body() -> None:
    images, pictures = still_scene(8)
    cutouts = people_cutouts(images, pictures.__getitem__)
    assert len(cutouts) == 8
    for cutout in cutouts:
        solid = cutout[..., 3] >= 128
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        assert (rows[0], rows[-1] + 1) == pytest.approx((4, 104), abs=2)
        assert (columns[0], columns[-1] + 1) == pytest.approx((8, 34), abs=2)
        middle = cutout[20:80, 14:28].astype(int)
        assert (np.abs(middle - (220, 20, 20, 255)).max()) <= 2


def test_too_few_pictures_of_a_scene_are_cut_with_the_whole_box() -> None:
    images, pictures = still_scene(3)
    for cutout in people_cutouts(images, pictures.__getitem__):
        solid = cutout[..., 3] >= 128
        assert solid.mean() > 0.9
        assert solid[:, 0].any()
        assert solid[-1].any()
        assert cutout[0, 0, 3] < 128


def test_small_overlapping_and_ignored_boxes_are_left_out() -> None:
    boxes = [(0, 0, 30, 100), (100, 0, 130, 60), (150, 0, 200, 100), (170, 10, 220, 100),
             (35, 20, 85, 120)]  # fmt: skip
    ids = [UNLABELLED, UNLABELLED, UNLABELLED, IGNORED, IGNORED]
    picture = np.full((*HW, 3), 77, np.uint8)
    cutouts = people_cutouts([record(list(boxes), ids)], lambda _: picture)
    assert [cutout.shape for cutout in cutouts] == [(100, 30, 4)]


def test_things_never_show_a_person() -> None:
    picture = np.zeros((*HW, 3), np.uint8)
    picture[30:150, 100:140] = 255
    boxes = np.array([[100, 30, 140, 150]], np.float32)
    made = [thing_cutout(picture, boxes, np.random.default_rng(seed)) for seed in range(60)]
    found = [thing for thing in made if thing is not None]
    assert len(found) > 10
    assert all(thing[..., :3].max() == 0 for thing in found)


def test_a_picture_full_of_people_gives_no_thing() -> None:
    picture = np.zeros((*HW, 3), np.uint8)
    everywhere = np.array([[0, 0, HW[1], HW[0]]], np.float32)
    assert thing_cutout(picture, everywhere, np.random.default_rng(0)) is None


def test_soft_edges_reach_the_sides_and_not_the_corners() -> None:
    alpha = soft_mask((80, 40))
    assert alpha[40, 0] > 0.5
    assert alpha[0, 20] > 0.5
    assert alpha[0, 0] == 0
    assert (alpha[20:60, 10:30] == 1).all()
