"""Random views and lights of a frame: boxes stay on their persons, frames can be made again."""

import numpy as np
import pytest
from numpy.typing import NDArray

from train.data.augment import (
    KEPT_SHARE,
    Sample,
    clipped,
    light,
    mirror,
    random_height,
    strong_light,
    strong_view,
)
from train.data.records import IGNORED, UNLABELLED

HW = (96, 160)
PERSON, REGION = (40.0, 30.0, 60.0, 80.0), (120.0, 20.0, 150.0, 90.0)
NO_IDS = np.zeros(0, np.int64)
SEEDS = range(60)


def painted(box: tuple[float, ...], channel: int, picture: NDArray[np.uint8]) -> None:
    x0, y0, x1, y1 = (int(v) for v in box)
    picture[channel, y0:y1, x0:x1] = 250


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """A black picture (3, 108, 192) with a red person and a blue region to ignore."""
    picture = np.zeros((3, 108, 192), np.uint8)
    painted(PERSON, 0, picture)
    painted(REGION, 2, picture)
    return picture


def view(picture: NDArray[np.uint8], seed: int) -> Sample:
    boxes = np.array([PERSON, REGION], np.float32)
    ids = np.array([7, IGNORED])
    return strong_view(picture, boxes, ids, HW, np.random.default_rng(seed))


def seen_box(frame: NDArray[np.uint8], channel: int) -> tuple[float, ...] | None:
    """Where a colour is, found in the pixels; padding is grey and has all colours."""
    rest = [c for c in range(3) if c != channel]
    mask = (frame[channel] > 125) & (frame[rest].max(axis=0) < 100)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("channel", [0, 2])
def test_boxes_lie_where_the_pixels_went(picture: NDArray[np.uint8], channel: int) -> None:
    met = 0
    for seed in SEEDS:
        sample = view(picture, seed)
        seen = seen_box(sample.frame, channel)
        gaps = [np.abs(box - np.array(seen)).max() for box in sample.boxes] if seen else []
        if seen is not None and (seen[2] - seen[0]) * (seen[3] - seen[1]) > 40:
            assert min(gaps) <= 2.0, (seed, seen, sample.boxes)
            met += 1
    assert met > 20


def test_a_person_in_a_view_keeps_the_identity_and_a_region_stays_one(
    picture: NDArray[np.uint8],
) -> None:
    ids = [tuple(view(picture, seed).ids) for seed in SEEDS]
    assert any(7 in row for row in ids)
    assert any(IGNORED in row for row in ids)
    assert {i for row in ids for i in row} == {7, IGNORED}


def test_views_show_people_large_and_small(picture: NDArray[np.uint8]) -> None:
    heights = []
    for seed in range(300):
        sample = view(picture, seed)
        heights += [(b[3] - b[1]) / HW[0] for b, i in zip(sample.boxes, sample.ids, strict=True)
                    if i == 7]  # fmt: skip
    shares = np.array(heights)
    assert (shares > 0.7).mean() > 0.2
    assert (shares < 0.4).mean() > 0.1
    drawn = np.array([random_height(np.random.default_rng(s)) for s in range(400)])
    assert 0.4 < (drawn >= 0.5).mean() < 0.65


def test_a_picture_without_people_gives_views_too(picture: NDArray[np.uint8]) -> None:
    sample = strong_view(
        picture, np.zeros((0, 4), np.float32), NO_IDS, HW, np.random.default_rng(1)
    )
    assert sample.frame.shape == (3, *HW)
    assert sample.boxes.shape == (0, 4)


def test_cutting_at_the_frame_ignores_whom_too_little_is_left_of() -> None:
    frame = np.zeros((3, 100, 100), np.uint8)
    share = 100 * KEPT_SHARE
    boxes = [
        [-100 + share + 1, 0, share + 1, 50],  # a little more than the share is inside
        [-100 + share - 1, 0, share - 1, 50],  # a little less
        [150, 0, 250, 50],  # none
        [90, 90, 300, 300],  # a region, mostly outside
    ]
    sample = clipped(Sample(frame, np.array(boxes, np.float32), np.array([1, 2, 3, IGNORED])))
    assert sample.ids.tolist() == [1, IGNORED, IGNORED]
    assert sample.boxes.tolist() == [
        [0, 0, share + 1, 50], [0, 0, share - 1, 50], [90, 90, 100, 100]
    ]  # fmt: skip


def test_mirroring_twice_changes_nothing_and_once_moves_the_box_to_the_other_side() -> None:
    frame = np.zeros((3, 20, 100), np.uint8)
    frame[:, 5:10, 10:30] = 200
    sample = Sample(frame, np.array([[10, 5, 30, 10]], np.float32), np.array([UNLABELLED]))
    once = mirror(sample)
    assert once.boxes.tolist() == [[70, 5, 90, 10]]
    assert (once.frame[:, 5:10, 70:90] == 200).all()
    assert np.array_equal(mirror(once).frame, frame)


@pytest.mark.parametrize("change", ["light", "strong"])
def test_the_same_generator_makes_the_same_frame(picture: NDArray[np.uint8], change: str) -> None:
    def make(seed: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        if change == "light":
            return light(Sample(picture, np.zeros((0, 4), np.float32), NO_IDS), rng).frame
        return strong_light(view(picture, seed).frame, rng)

    frames = [make(seed) for seed in range(12)]
    for seed, frame in enumerate(frames):
        assert np.array_equal(frame, make(seed))
    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_light_and_faults_leave_things_where_they_are() -> None:
    frame = np.full((3, *HW), 40, np.uint8)
    frame[:, 30:60, 70:100] = 200
    for seed in range(40):
        changed = strong_light(frame, np.random.default_rng(seed)).astype(np.float64).mean(axis=0)
        assert changed.shape == HW
        bright = changed > (changed.min() + changed.max()) / 2
        rows, columns = np.nonzero(bright)
        assert abs(rows.mean() - 44.5) < 2
        assert abs(columns.mean() - 84.5) < 2
