"""The layout of a data set is found by what lies in its folder."""

from pathlib import Path
from typing import Any

import pytest

from train.data.sets import load_set, set_layout
from train.errors import DatasetError


def test_cuhk_sysu_and_its_galleries(cuhk: Any) -> None:
    assert set_layout(cuhk.root) == "cuhk-sysu"
    assert load_set(cuhk.root, "train").name == "CUHK-SYSU"
    assert len(load_set(cuhk.root, "test").queries) == 2
    assert len(load_set(cuhk.root, "test", gallery="occlusion").queries) == 1


def test_prw(folder: Any) -> None:
    folder.frame("c1s1_000001", [(1, 1, 1, 5, 5)])
    folder.split("train", ["c1s1_000001"], [1])
    assert set_layout(folder.root) == "prw"
    assert load_set(folder.root, "train").name == "PRW"
    with pytest.raises(DatasetError, match="gallery '50' belongs to CUHK-SYSU, this is prw"):
        load_set(folder.root, "test", gallery="50")


def test_tattoos(sets: Any, tmp_path: Path) -> None:
    sets.TattooFolder(tmp_path / "set").split("train", ["a.jpg,1,1,1,5,5,"])
    assert set_layout(tmp_path / "set") == "webtattoo"
    assert load_set(tmp_path / "set", "train").name == "WebTattoo"


@pytest.mark.parametrize("fields", [{"split": "train"}, {}])
def test_coco_in_one_file_needs_splits(sets: Any, tmp_path: Path, fields: Any) -> None:
    made = sets.CocoFolder(tmp_path)
    made.person(made.image("a.jpg", **fields), [1, 1, 5, 5], track_id=1)
    made.write()
    if fields:
        assert set_layout(tmp_path) == "coco"
        assert load_set(tmp_path, "train").identities == (1,)
    else:
        assert set_layout(tmp_path) == "people"
        with pytest.raises(DatasetError, match=r"people without identities.* the detector alone"):
            load_set(tmp_path, "train")


def test_a_damaged_coco_file_is_still_one(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{")
    assert set_layout(tmp_path) == "coco"
    with pytest.raises(DatasetError, match=r"annotations\.json: is not JSON"):
        load_set(tmp_path, "train")


def test_coco_in_a_file_for_each_split(sets: Any, tmp_path: Path) -> None:
    made = sets.CocoFolder(tmp_path / "test")
    made.person(made.image("a.jpg"), [1, 1, 5, 5], track_id=1)
    made.write()
    assert set_layout(tmp_path) == "coco"
    assert load_set(tmp_path, "test").identities == (1,)


def test_motchallenge(sets: Any, tmp_path: Path) -> None:
    sets.mot_camera(tmp_path / "train" / "hall", ["1,1,1,1,5,5,1,1,1"], 1)
    assert set_layout(tmp_path) == "motchallenge"
    assert load_set(tmp_path, "train").name == "MOTChallenge"


def test_what_was_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        set_layout(tmp_path)
    for mark in ("Images.mat", "frame_train.mat", "train.csv", "annotations.json", "gt/gt.txt"):
        assert mark in str(error.value)
    with pytest.raises(DatasetError, match=r"cannot read data set .*none: no such folder"):
        set_layout(tmp_path / "none")


def test_two_layouts_in_one_folder_are_refused(folder: Any, sets: Any) -> None:
    (folder.root / "train.csv").write_text("image")
    with pytest.raises(DatasetError, match="looks like PRW, and synthetic worlds and WebTattoo"):
        set_layout(folder.root)


def test_splits_have_names(folder: Any) -> None:
    with pytest.raises(DatasetError, match="no split 'val': choose train or test"):
        load_set(folder.root, "val")
