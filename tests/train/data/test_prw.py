"""The PRW loader on tiny folders in the published layout, whole and damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from train.data.prw import load_prw
from train.data.records import UNLABELLED
from train.errors import DatasetError

A, B, C = "c1s1_000001", "c6s2_000031", "c12s1_000004"


@pytest.fixture
def full(folder: Any) -> Any:
    """Two training frames, one test frame, one query."""
    folder.frame(A, [(932, 5, 6, 10, 20), (-2, 1, 1, 4, 8), (7, 30, 5, 10, 20)])
    folder.frame(B, [(44, 2, 3, 10, 20)], key="anno_file")
    folder.frame(C, [(44, 10, 10, 20, 30), (9, 1, 1, 5, 5)], key="anno_previous")
    folder.split("train", [A, B], [932, 7, 1])
    folder.split("test", [C], [44])
    folder.queries([f"44 10 10.5 20 30 {C}"])
    return folder


def test_training_identities_become_class_numbers(full: Any) -> None:
    train = load_prw(full.root, "train")
    assert train.identities == (1, 7, 932)
    first, second = train.images
    assert first.ids.tolist() == [2, UNLABELLED, 1]
    assert first.ids.dtype == np.int64
    assert first.boxes.tolist() == [[5, 6, 15, 26], [1, 1, 5, 9], [30, 5, 40, 25]]
    assert first.boxes.dtype == np.float32
    assert second.ids.tolist() == [UNLABELLED]
    assert train.queries == ()
    assert train.persons == 4


def test_test_identities_and_queries_keep_their_numbers(full: Any) -> None:
    test = load_prw(full.root, "test")
    assert [(image.name, image.camera) for image in test.images] == [(C, 12)]
    assert test.images[0].ids.tolist() == [44, 9]
    (query,) = test.queries
    assert (query.name, query.camera, query.pid) == (C, 12, 44)
    assert query.box.tolist() == [10, 10.5, 30, 40.5]
    assert query.box.dtype == np.float32
    assert query.path == test.images[0].path


def test_cameras_are_the_digits_after_c(full: Any) -> None:
    assert [image.camera for image in load_prw(full.root, "train").images] == [1, 6]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_query_lines_end_either_way(full: Any, newline: str) -> None:
    full.queries([f"44 10 10 20 30 {C}", f"44 -3 1 20 30 {C}.jpg", ""], newline=newline)
    queries = load_prw(full.root, "test").queries
    assert [query.box.tolist() for query in queries] == [[10, 10, 30, 40], [0, 1, 17, 31]]
    assert {query.name for query in queries} == {C}


def test_negative_corners_become_0_and_empty_boxes_go(folder: Any) -> None:
    rows = [(1, -4, -5, 10, 20), (2, 3, 3, 0, 9), (3, 3, 3, 9, -1), (4, -9, 3, 8, 9)]
    folder.frame(A, rows)
    folder.split("train", [A], [1, 2, 3, 4])
    (image,) = load_prw(folder.root, "train").images
    assert image.boxes.tolist() == [[0, 0, 6, 15]]
    assert image.ids.tolist() == [0]


def test_small_unsigned_numbers_do_not_overflow(folder: Any) -> None:
    folder.frame(A, [])
    savemat(folder.annotation(A), {"box_new": np.array([[3, 250, 200, 100, 90]], np.uint8)})
    folder.split("train", [A], [3])
    assert load_prw(folder.root, "train").images[0].boxes.tolist() == [[250, 200, 350, 290]]


def test_a_frame_without_persons(folder: Any) -> None:
    folder.frame(A, [])
    folder.split("train", [A], [])
    (image,) = load_prw(folder.root, "train").images
    assert image.boxes.shape == (0, 4)
    assert image.ids.shape == (0,)


def test_box_new_goes_before_the_older_variables(folder: Any) -> None:
    folder.frame(A, [])
    old, new = np.array([[1, 0, 0, 5, 5.0]]), np.array([[2, 0, 0, 7, 7.0]])
    savemat(folder.annotation(A), {"anno_file": old, "box_new": new, "anno_previous": old})
    folder.split("train", [A], [2])
    assert load_prw(folder.root, "train").images[0].boxes.tolist() == [[0, 0, 7, 7]]


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_is_named(folder: Any, split: str) -> None:
    with pytest.raises(DatasetError, match=f"frame_{split}.mat: the {split} split has no frames"):
        load_prw(folder.root, split)


def test_only_train_and_test_exist(folder: Any) -> None:
    with pytest.raises(DatasetError, match="splits train and test, not 'val'"):
        load_prw(folder.root, "val")


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere is not a PRW data set: no folder .*nowhere"):
        load_prw(tmp_path / "nowhere", "test")
    (tmp_path / "frames").mkdir()
    with pytest.raises(DatasetError, match=r"no folder .*annotations"):
        load_prw(tmp_path, "test")


def _replace(name: str, content: bytes) -> Callable[[Any], None]:
    return lambda folder: (folder.root / name).write_bytes(content)  # type: ignore[no-any-return]


def _remove(name: str) -> Callable[[Any], None]:
    return lambda folder: (folder.root / name).unlink()  # type: ignore[no-any-return]


def _rows(*rows: tuple[float, ...]) -> Callable[[Any], None]:
    return lambda folder: savemat(folder.annotation(C), {"box_new": np.array(rows)})


def _query(*lines: str) -> Callable[[Any], None]:
    return lambda folder: folder.queries(lines)  # type: ignore[no-any-return]


ANNOTATION = f"annotations/{C}.jpg.mat"
FAULTS: list[tuple[Callable[[Any], None], str]] = [
    (_remove("frame_test.mat"), r"cannot read .*frame_test\.mat: no such file"),
    (_remove("ID_test.mat"), r"cannot read .*ID_test\.mat: no such file"),
    (_remove("query_info.txt"), r"cannot read .*query_info\.txt: no such file"),
    (_remove(f"frames/{C}.jpg"), rf"frame_test\.mat: row 1: frame '{C}' has no image .*{C}\.jpg"),
    (_remove(ANNOTATION), rf"cannot read .*{C}\.jpg\.mat: no such file"),
    (_replace(ANNOTATION, b"not matlab"), rf"cannot read .*{C}\.jpg\.mat: 10 bytes are too few"),
    (_replace("frame_test.mat", b"x" * 300), r"frame_test\.mat: not a MATLAB 5 file"),
    (_replace("query_info.txt", b"\xff\xfe\xfa"), r"cannot read .*query_info\.txt: .*utf-8"),
    (_rows((1, 2, 3, 4)), rf"{C}\.jpg\.mat: want rows of id, x, y, w, h, got shape \(1, 4\)"),
    (_rows((1, 2, 3, 4, 5), (1, 2, np.nan, 4, 5)), rf"{C}\.jpg\.mat: row 2: y is nan"),
    (_rows((1.5, 2, 3, 4, 5)), r"row 1: id is 1\.5, want an integer of 0 or more, or -2"),
    (_rows((-7, 2, 3, 4, 5)), r"row 1: id is -7, want"),
    (_query("44 1 2 3"), r"query_info\.txt: line 1: want 'pid x y w h frame', got '44 1 2 3'"),
    (_query(f"44 1 2 3 4 {C}", f"44 1 2 w 4 {C}"), r"query_info\.txt: line 2: 'w' is not a number"),
    (_query(f"44 1 2 inf 4 {C}"), "line 1: 'inf' is not a number"),
    (_query(f"-2 1 2 3 4 {C}"), "line 1: pid is '-2', want an integer of 0 or more"),
    (_query(f"44 1 2 0 4 {C}"), "line 1: box 1 2 0 4 has no area in the picture"),
    (_query("44 1 2 3 4 c9s1_000009"), "line 1: frame 'c9s1_000009' has no image"),
]


@pytest.mark.parametrize(("damage", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_names_file_row_and_value(
    full: Any, damage: Callable[[Any], None], fault: str
) -> None:
    damage(full)
    with pytest.raises(DatasetError, match=fault):
        load_prw(full.root, "test")


def test_wrong_variables_are_named(full: Any) -> None:
    savemat(full.annotation(C), {"boxes": np.eye(5)})
    with pytest.raises(DatasetError, match="no variable box_new or anno_file or anno_previous, "):
        load_prw(full.root, "test")
    savemat(full.annotation(C), {"box_new": ["text"]})
    with pytest.raises(DatasetError, match=r"want numbers in box_new or .*, got text or cells"):
        load_prw(full.root, "test")


def test_frame_lists_hold_names_once_and_with_a_camera(full: Any) -> None:
    full.split("test", [C, C], [44])
    with pytest.raises(DatasetError, match=f"img_index_test, row 2: frame '{C}' is listed twice"):
        load_prw(full.root, "test")
    full.frame("hall_1", [])
    full.split("test", ["hall_1"], [44])
    with pytest.raises(DatasetError, match="row 1: no camera in frame name 'hall_1', want cXsY_"):
        load_prw(full.root, "test")
    savemat(full.root / "frame_test.mat", {"img_index_test": np.eye(2)})
    with pytest.raises(DatasetError, match=r"img_index_test, row 1: want a name, got .*1\.0"):
        load_prw(full.root, "test")


def test_an_identity_list_holds_identities(full: Any) -> None:
    full.split("train", [A], [3, -2])
    with pytest.raises(DatasetError, match=r"ID_train\.mat: ID_train, row 2: -2 is no identity"):
        load_prw(full.root, "train")
