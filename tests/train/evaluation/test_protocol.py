"""Galleries and overlap rules as data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.data.records import ImageRecord, QueryRecord
from train.errors import ConfigError, DatasetError
from train.evaluation.protocol import ANYWHERE, GALLERIES, FrameLayout, IouRule, gallery_rule

NAMES = {"a": 1, "b": 1, "c": 2, "d": 3}
LAYOUT = FrameLayout.of(
    [
        ImageRecord(Path(name), name, camera, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        for name, camera in NAMES.items()
    ]
)


def query(name: str, camera: int) -> QueryRecord:
    return QueryRecord(name, Path(name), camera, np.array([0, 0, 1, 1], np.float32), 5)


def test_all_leaves_out_the_query_frame_alone() -> None:
    assert GALLERIES["all"].frames(query("a", 1), LAYOUT).tolist() == [0, 1, 1, 1]


def test_cross_camera_leaves_out_the_query_camera() -> None:
    assert GALLERIES["cross-camera"].frames(query("a", 1), LAYOUT).tolist() == [0, 0, 1, 1]


def test_a_query_frame_outside_the_split() -> None:
    assert GALLERIES["all"].frames(query("x", 3), LAYOUT).tolist() == [1, 1, 1, 1]
    assert GALLERIES["cross-camera"].frames(query("x", 3), LAYOUT).tolist() == [1, 1, 1, 0]


def listed(*places: int, truth: dict[int, np.ndarray] | None = None) -> QueryRecord:
    return replace(query("a", 1), gallery=np.array(places, np.int32), truth=truth)


def test_an_own_gallery_is_taken_as_it_stands() -> None:
    own = GALLERIES["own"]
    assert own.frames(listed(3, 0, 3), LAYOUT).tolist() == [1, 0, 0, 2]
    assert own.frames(listed(), LAYOUT).tolist() == [0, 0, 0, 0]


def test_faults_of_an_own_gallery_are_named() -> None:
    own = GALLERIES["own"]
    with pytest.raises(DatasetError, match="query of person 5 on a: the data set gives it no gal"):
        own.frames(query("a", 1), LAYOUT)
    with pytest.raises(DatasetError, match="on a: gallery has frame number 4 of 4 frames"):
        own.frames(listed(0, 4), LAYOUT)
    with pytest.raises(DatasetError, match="on a: truth has frame number -1 of 4 frames"):
        own.frames(listed(0, truth={-1: np.zeros((1, 4), np.float32)}), LAYOUT)


def test_a_whole_frame_needs_no_overlap() -> None:
    assert ANYWHERE.threshold(np.array([0, 0, 1, 1], np.float32)) == 0
    assert str(ANYWHERE) == "none: any answer in a frame with the person is right"


def test_an_unknown_gallery_is_named() -> None:
    with pytest.raises(ConfigError, match="no gallery 'half': choose all, cross-camera or own"):
        gallery_rule("half")


def test_small_persons_need_less_overlap() -> None:
    small = np.array([50, 50, 60, 70], np.float32)
    large = np.array([0, 0, 100, 300], np.float32)
    assert IouRule().threshold(small) == pytest.approx(200 / (20 * 30), abs=1e-15)
    assert IouRule().threshold(large) == 0.5
    assert IouRule(adaptive=False).threshold(small) == 0.5
    assert str(IouRule()) == "min(0.5, w*h / ((w+10)*(h+10)))"
    assert str(IouRule(adaptive=False)) == "0.5"
