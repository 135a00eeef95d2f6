"""Own data as MOTChallenge folders of several cameras."""

from pathlib import Path
from typing import Any

import pytest

from train.data.mot_set import load_mot
from train.data.records import IGNORED, UNLABELLED
from train.errors import DatasetError
from train.synthetic.canvas import Label
from train.synthetic.tracks import write_mot
from train.synthetic.world import WorldSpec

HALL = [
    "1,4,1,2,10,20,1,1,1.0",
    "1,7,30,2,10,20,1,1,0.5",
    "2,4,2,2,12,20,1,1,1",
    "2,1009,40,2,10,20,0,1,1",
    "2,12,1,30,9,9,0,8,1",
    "2,13,50,30,9,9,0,3,1",
]
DOOR = ["2,4,5,5,9,18,0.9,-1,-1,-1", "2,-1,20,5,9,18,1,-1,-1,-1", "3,8,1,1,9,9,0,-1,-1,-1"]


@pytest.fixture
def site(sets: Any, tmp_path: Path) -> Path:
    sets.mot_camera(tmp_path / "test" / "hall", HALL, 2)
    sets.mot_camera(tmp_path / "test" / "door", DOOR, 3)
    sets.mot_camera(tmp_path / "train" / "hall", HALL, 2)
    return tmp_path


def test_identities_are_shared_by_the_cameras(site: Path) -> None:
    test = load_mot(site, "test")
    assert test.identities == (4, 7)
    names = ["door/000001", "door/000002", "door/000003", "hall/000001", "hall/000002"]
    assert [image.name for image in test.images] == names
    assert [image.camera for image in test.images] == [1, 1, 1, 2, 2]
    assert all(image.path.is_file() for image in test.images)
    ids = [image.ids.tolist() for image in test.images]
    assert ids == [[], [4, UNLABELLED], [IGNORED], [4, 7], [4, UNLABELLED, IGNORED]]
    assert test.images[1].boxes.tolist() == [[5, 5, 14, 23], [20, 5, 29, 23]]


def test_a_camera_has_the_same_number_in_both_splits(site: Path) -> None:
    train = load_mot(site, "train")
    assert {image.camera for image in train.images} == {2}
    assert train.identities == (4, 7)
    assert train.images[0].ids.tolist() == [0, 1]


def test_queries_are_the_largest_boxes_of_who_is_seen_twice(site: Path) -> None:
    queries = load_mot(site, "test").queries
    assert [(q.pid, q.camera, q.name) for q in queries] == [
        (4, 1, "door/000002"),
        (4, 2, "hall/000002"),
    ]


def test_what_a_synthetic_world_writes_is_read(sets: Any, tmp_path: Path) -> None:
    spec = WorldSpec(cameras=1, people=2)
    folder = tmp_path / "train" / "cam1"
    known = Label(1, 11, (1.0, 2.0, 10.0, 20.0), 0.9, (0.0, 0.0))
    unknown = Label(2, None, (20.0, 2.0, 10.0, 20.0), 0.9, (0.0, 0.0))
    write_mot(folder, spec, "cam1", [[known, unknown], [known]])
    for number in (1, 2):
        sets.picture(folder / "img1" / f"{number:06d}.jpg")
    train = load_mot(tmp_path, "train")
    assert train.identities == (11,)
    assert [image.ids.tolist() for image in train.images] == [[0, UNLABELLED], [0]]
    assert train.images[0].boxes.tolist() == [[1, 2, 11, 22], [20, 2, 30, 22]]


def test_boxes_are_cut_at_the_edges(sets: Any, tmp_path: Path) -> None:
    sets.mot_camera(tmp_path / "train" / "a", ["1,1,-5,30,20,100,1,1,1"], 1)
    assert load_mot(tmp_path, "train").images[0].boxes.tolist() == [[0, 30, 15, 48]]


ROWS = [
    ("1,4,1,2,10,20,1,1", r"gt\.txt: line 2: want 9 or 10 columns, got 8"),
    ("1,4,1,b,10,20,1,1,1", r"line 2: y is 'b', want a number"),
    ("1,4.5,1,2,10,20,1,1,1", r"line 2: id is 4\.5, want an integer of 0 or more"),
    ("1,-3,1,2,10,20,1,1,1", r"line 2: id is -3\.0, want an integer of 0 or more"),
    ("1,9,1,2,0,20,1,1,1", r"line 2: box x y w h = \(1, 2, 0, 20\) has no area"),
    ("1,9,64,2,9,20,1,1,1", r"line 2: box .* lies outside the picture of 64 x 48 pixels"),
    ("1,9,nan,2,9,20,1,1,1", r"line 2: x is nan, want a number of pixels"),
    ("3,9,1,2,9,20,1,1,1", r"line 2: frame 3 has no picture in .*img1"),
    ("nan,9,1,2,9,20,1,1,1", r"line 2: frame nan has no picture in .*img1"),
    ("1,4,1,9,9,20,1,1,1", r"line 2: id 4 is in frame 1 already, line 1"),
]


@pytest.mark.parametrize(("row", "fault"), ROWS, ids=[fault for _, fault in ROWS])
def test_a_fault_names_file_and_line(sets: Any, tmp_path: Path, row: str, fault: str) -> None:
    sets.mot_camera(tmp_path / "train" / "a", [HALL[0], row], 2)
    with pytest.raises(DatasetError, match=fault):
        load_mot(tmp_path, "train")


INFO = [
    ("[Sequence]\nimWidth=64\n", r"seqinfo\.ini: \[Sequence\]: imHeight is None, want pixels"),
    ("[Sequence]\nimHeight=1\nimWidth=w\n", r"\[Sequence\]: imWidth is 'w', want pixels"),
    ("[Other]\n", r"seqinfo\.ini: no section \[Sequence\]"),
    ("imWidth=64\n", r"cannot read .*seqinfo\.ini: File contains no section headers"),
    ("[Sequence]\nimDir=x\nimHeight=48\nimWidth=64\n", r"/x: no pictures <number>\.jpg"),
    (None, r"cannot read .*seqinfo\.ini: no such file"),
]


@pytest.mark.parametrize(("text", "fault"), INFO, ids=[fault for _, fault in INFO])
def test_damaged_camera_files_are_named(site: Path, text: str | None, fault: str) -> None:
    path = site / "train" / "hall" / "seqinfo.ini"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(DatasetError, match=fault):
        load_mot(site, "train")


def test_two_pictures_of_one_frame_are_refused(site: Path, sets: Any) -> None:
    sets.picture(site / "train" / "hall" / "img1" / "1.jpg")
    with pytest.raises(DatasetError, match=r"img1/1\.jpg: is the same frame as .*000001\.jpg"):
        load_mot(site, "train")


def test_a_split_without_cameras_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"test: no camera folder with gt/gt\.txt"):
        load_mot(tmp_path, "test")
    with pytest.raises(DatasetError, match="has the splits train and test, not 'val'"):
        load_mot(tmp_path, "val")
