"""Pasting people and things: the new boxes are true, nobody is hidden behind the label's back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from train.data.augment import Sample
from train.data.cutouts import premultiplied
from train.data.paste import (
    COVERED,
    furniture,
    paste,
    paste_people,
    paste_things,
    resized,
    texture,
)
from train.data.records import IGNORED, UNLABELLED

HW = (120, 200)
FURNITURE = {"furniture": furniture, "texture": texture}


def empty(grey: int = 0) -> Sample:
    frame = np.full((3, *HW), grey, np.uint8)
    return Sample(frame, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def with_person(box: tuple[float, ...], identity: int = 5) -> Sample:
    return Sample(empty().frame, np.array([box], np.float32), np.array([identity]))


def disc(size: int = 60, grey: int = 255) -> NDArray[np.uint8]:
    """A round cut-out with a soft rim, half as wide as tall."""
    y, x = np.mgrid[0:size, 0 : size // 2].astype(np.float32)
    far = np.hypot((y + 0.5) / size * 2 - 1, (x + 0.5) / size * 4 - 1)
    alpha = np.clip((1.05 - far) / 0.1, 0, 1).astype(np.float32)
    return premultiplied(np.full((size, size // 2, 3), grey, np.uint8), alpha)


def block(tall: int, wide: int) -> NDArray[np.uint8]:
    return np.full((tall, wide, 4), 255, np.uint8)


def seen_box(frame: NDArray[np.uint8]) -> list[float]:
    mask = frame[0] >= 128
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("place", [(10, 20), (70, 150), (-10, -8), (-15, 190 - 12)])
def test_a_pasted_persons_box_is_tight_to_what_shows(place: tuple[int, int]) -> None:
    sample = paste(empty(), disc(), place, person=True)
    assert sample.ids.tolist() == [UNLABELLED]
    assert sample.boxes.tolist() == [seen_box(sample.frame)]


def test_a_person_who_would_hardly_show_is_not_pasted() -> None:
    before = empty()
    for place in [(100, 50), (20, -25), (300, 300)]:
        after = paste(before, disc(), place, person=True)
        assert len(after.ids) == 0
        assert not after.frame.any()


def test_blending_follows_alpha() -> None:
    cutout = np.zeros((3, 1, 4), np.uint8)
    cutout[1] = (100, 60, 20, 255)
    cutout[2] = (50, 30, 10, 128)  # half of the colour above
    frame = paste(empty(200), cutout, (10, 10), person=False).frame
    assert frame[:, 10, 10].tolist() == [200, 200, 200]
    assert frame[:, 11, 10].tolist() == [100, 60, 20]
    assert frame[:, 12, 10] == pytest.approx([150, 130, 110], abs=1)


def test_a_white_cutout_on_white_has_no_dark_rim_in_any_size() -> None:
    for hw in [(25, 11), (60, 30), (117, 64)]:
        frame = paste(empty(255), resized(disc(), hw), (2, 3), person=True).frame
        assert frame.min() >= 252


def test_whoever_is_covered_by_more_than_half_is_ignored_from_then_on() -> None:
    person = (50.0, 20.0, 90.0, 100.0)
    more = paste(with_person(person), block(80, 22), (20, 50), person=False)
    less = paste(with_person(person), block(80, 18), (20, 50), person=False)
    assert more.ids.tolist() == [IGNORED]
    assert less.ids.tolist() == [5]
    assert more.boxes.tolist() == less.boxes.tolist() == [list(person)]


def test_pasting_never_hides_a_labelled_person_and_labels_the_new_ones() -> None:
    pasted = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        before = with_person((60.0, 10.0, 100.0, 110.0))
        after = paste_people(before, [disc(), disc(90)], 2, rng)
        assert after.ids[0] == 5
        box = before.boxes[0].astype(int)
        part = after.frame[0, box[1] : box[3], box[0] : box[2]]
        assert (part >= 128).mean() <= 2 * COVERED  # two of them, each at most half
        assert all(i in (UNLABELLED, IGNORED) for i in after.ids[1:])
        pasted += len(after.ids) - 1
    assert pasted > 40


def test_pasted_people_are_small_and_large_and_inside() -> None:
    heights = []
    for seed in range(150):
        sample = paste_people(empty(), [disc(200)], 1, np.random.default_rng(seed))
        for x0, y0, x1, y1 in sample.boxes:
            assert 0 <= x0 < x1 <= HW[1]
            assert 0 <= y0 < y1 <= HW[0]
            heights.append((y1 - y0) / HW[0])
    assert (np.array(heights) > 0.6).mean() > 0.25
    assert (np.array(heights) < 0.4).mean() > 0.15


def test_things_add_no_person_and_spare_those_who_are_there() -> None:
    changed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        before = with_person((60.0, 10.0, 100.0, 110.0))
        after = paste_things(before, [furniture(rng, HW), texture(rng, HW)], rng)
        assert after.boxes.tolist() == before.boxes.tolist()
        assert after.ids.tolist() == [5]
        changed += not np.array_equal(before.frame, after.frame)
    assert changed > 20


@pytest.mark.parametrize("name", FURNITURE)
def test_things_are_cutouts_with_colours_below_alpha(name: str) -> None:
    for seed in range(30):
        thing = FURNITURE[name](np.random.default_rng(seed), HW)
        assert thing.dtype == np.uint8
        assert thing.shape[0] <= HW[0]
        assert (thing[..., :3] <= thing[..., 3:]).all()
        assert (thing[..., 3] >= 128).mean() > 0.1


def test_the_same_generator_pastes_the_same() -> None:
    def make(seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        return paste_people(empty(90), [disc(), disc(90)], 2, rng)

    for seed in range(5):
        assert np.array_equal(make(seed).frame, make(seed).frame)
        assert np.array_equal(make(seed).boxes, make(seed).boxes)
    assert not np.array_equal(make(0).frame, make(1).frame)
