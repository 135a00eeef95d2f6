"""Letterbox: pixels and boxes land where they must, and come back."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engines.letterbox import PAD_VALUE, Letterbox

INPUT_HW = (512, 896)
SIZES = [(1080, 1920), (1920, 1080), (333, 777), (37, 61), (512, 896), (1, 1), (1, 5000), (5000, 1)]


def grey(hw: tuple[int, int], value: int = 0) -> np.ndarray:
    return np.full((*hw, 3), value, np.uint8)


@pytest.mark.parametrize("hw", SIZES)
def test_the_whole_frame_lands_inside_the_input(hw: tuple[int, int]) -> None:
    box = Letterbox(hw, INPUT_HW).to_input(np.array([[0, 0, hw[1], hw[0]]], np.float32))[0]
    slack = 1e-3
    assert box.min() >= 0
    assert box[2] <= INPUT_HW[1] + slack
    assert box[3] <= INPUT_HW[0] + slack
    fills_width = box[0] == 0 and box[2] >= INPUT_HW[1] - slack
    fills_height = box[1] == 0 and box[3] >= INPUT_HW[0] - slack
    assert fills_width or fills_height


@pytest.mark.parametrize("hw", SIZES)
def test_padding_surrounds_the_frame_and_nothing_else(hw: tuple[int, int]) -> None:
    letterbox = Letterbox(hw, INPUT_HW)
    out = letterbox.fit(grey(hw, 7))
    whole = np.array([[0, 0, hw[1], hw[0]]], np.float32)
    x1, y1, x2, y2 = letterbox.to_input(whole)[0].round().astype(int)
    assert out.shape == (3, *INPUT_HW)
    assert out.dtype == np.uint8
    assert (out[:, y1:y2, x1:x2] == 7).all()
    assert np.count_nonzero(out == 7) == 3 * (y2 - y1) * (x2 - x1)
    assert np.count_nonzero(out == PAD_VALUE) == out.size - np.count_nonzero(out == 7)


@pytest.mark.parametrize("hw", SIZES)
def test_boxes_return_to_where_they_came_from(hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 1, (50, 2, 2)) * (hw[1], hw[0])
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    letterbox = Letterbox(hw, INPUT_HW)
    assert_allclose(letterbox.to_source(letterbox.to_input(boxes)), boxes, atol=max(hw) * 2e-6)


@pytest.mark.parametrize("hw", [(1024, 1792), (1024, 512), (256, 448), (512, 896), (300, 896)])
def test_a_block_lands_where_its_box_says(hw: tuple[int, int]) -> None:
    picture = grey(hw)
    picture[64:128, 32:96] = (255, 128, 0)
    letterbox = Letterbox(hw, INPUT_HW)
    out = letterbox.fit(picture)
    box = letterbox.to_input(np.array([[32, 64, 96, 128]], np.float32))[0]
    rows, columns = np.nonzero(out[0] > 127)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert_allclose(seen, box, atol=0.5)
    y, x = int((box[1] + box[3]) / 2), int((box[0] + box[2]) / 2)
    assert_array_equal(out[:, y, x], (255, 128, 0))


def test_a_known_size_has_known_offsets() -> None:
    wide = Letterbox((100, 400), (512, 896))
    assert (wide.inner_hw, wide.top, wide.left) == ((224, 896), 144, 0)
    tall = Letterbox((400, 100), (512, 896))
    assert (tall.inner_hw, tall.top, tall.left) == ((512, 128), 0, 384)
    assert_allclose(tall.to_input(np.array([[50, 200, 100, 400]], np.float32)),
                    [[448, 256, 512, 512]])  # fmt: skip


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = grey((1024, 1792))
    stripes[:, ::2] = 200
    assert_array_equal(Letterbox((1024, 1792), INPUT_HW).fit(stripes), 100)


def test_a_frame_of_the_input_size_is_left_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*INPUT_HW, 3), dtype=np.uint8)
    out = Letterbox(INPUT_HW, INPUT_HW).fit(picture)
    assert_array_equal(out, picture.transpose(2, 0, 1))


def test_a_view_with_strides_is_fitted_like_its_copy() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (80, 200, 3), dtype=np.uint8)
    view = whole[::2, 10:150, ::-1]
    letterbox = Letterbox((40, 140), INPUT_HW)
    assert_array_equal(letterbox.fit(view), letterbox.fit(view.copy()))


def test_boxes_beyond_the_frame_are_cut_at_its_edges() -> None:
    letterbox = Letterbox((100, 400), INPUT_HW)
    boxes = np.array([[-50, 0, 2000, 2000]], np.float32)
    assert_array_equal(letterbox.to_source(boxes), [[0, 0, 400, 100]])


def test_no_boxes_stay_no_boxes() -> None:
    letterbox = Letterbox((100, 400), INPUT_HW)
    none = np.empty((0, 4), np.float32)
    assert letterbox.to_input(none).shape == (0, 4)
    assert letterbox.to_source(none).shape == (0, 4)


def test_a_picture_of_another_size_or_type_is_refused() -> None:
    letterbox = Letterbox((10, 20), INPUT_HW)
    with pytest.raises(ValueError, match=r"uint8 \(20, 10, 3\), this letterbox takes .*10, 20, 3"):
        letterbox.fit(grey((20, 10)))
    with pytest.raises(ValueError, match="picture is float32"):
        letterbox.fit(grey((10, 20)).astype(np.float32))


@pytest.mark.parametrize("hw", [(0, 5), (5, 0)])
def test_an_empty_size_is_refused(hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="sizes of at least 1"):
        Letterbox(hw, INPUT_HW)
