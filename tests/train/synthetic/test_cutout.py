"""Rendered cut-outs: tight, transparent around the body, and the same for the same seed."""

import numpy as np
import pytest

from train.synthetic.cutout import render_cutouts, tight

HEIGHT_PX = 80


def test_a_cutout_depends_on_seed_and_number_alone() -> None:
    few, more = render_cutouts(3, 2, HEIGHT_PX), render_cutouts(3, 4, HEIGHT_PX)
    for one, other in zip(few, more, strict=False):
        assert np.array_equal(one, other)
    assert len({cutout.tobytes() for cutout in more}) == 4
    assert not np.array_equal(few[0], render_cutouts(4, 1, HEIGHT_PX)[0])


def test_cutouts_are_people_sized_tight_and_premultiplied() -> None:
    for cutout in render_cutouts(5, 12, HEIGHT_PX):
        alpha = cutout[..., 3]
        assert cutout.dtype == np.uint8
        assert 0.7 * HEIGHT_PX < cutout.shape[0] < 1.5 * HEIGHT_PX
        assert cutout.shape[1] < cutout.shape[0]
        assert (cutout[..., :3] <= alpha[..., None]).all()
        edges = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
        assert all(edge.max() >= 128 for edge in edges)
        assert 0.2 < (alpha >= 128).mean() < 0.9
        assert (alpha == 0).any()
        assert cutout[..., :3].std() > 5


def test_nothing_to_keep_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel of alpha 128"):
        tight(np.zeros((4, 4, 4), np.uint8))
