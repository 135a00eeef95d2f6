"""MOTChallenge and AI City rows, there and back, and what is refused."""

from pathlib import Path

import pytest

from train.errors import DatasetError
from train.evaluation.mot import TrackedBox, read_ai_city, read_mot, write_ai_city, write_mot

BOXES = (
    TrackedBox(3, 1, 4, 10.5, 20, 30, 60.25, 0.75),
    TrackedBox(3, 1, 9, 0, 0, 5, 6),
    TrackedBox(3, 2, 4, 11, 20, 30, 60),
)


def test_mot_rows_have_ten_columns(tmp_path: Path) -> None:
    path = tmp_path / "cam3.txt"
    write_mot(path, reversed(BOXES))
    assert path.read_text().splitlines() == [
        "1,4,10.5,20,30,60.25,0.75,-1,-1,-1",
        "1,9,0,0,5,6,1,-1,-1,-1",
        "2,4,11,20,30,60,1,-1,-1,-1",
    ]
    assert read_mot(path, camera=3) == BOXES
    assert list(tmp_path.iterdir()) == [path]


def test_ground_truth_keeps_the_pedestrians_that_count(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,4,1,2,3,4,1,1,0.8\n1,5,1,2,3,4,0,1,0.8\n\n1,6,1,2,3,4,1,3,0.8\n")
    assert read_mot(path) == (TrackedBox(1, 1, 4, 1, 2, 3, 4, 1.0),)


def test_ai_city_rows(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    boxes = (
        TrackedBox(1, 7, 4, 10, 20, 30, 60.5, world=(42.125, -90.5)),
        TrackedBox(2, 1, 4, 0, 0, 5, 6),
    )
    write_ai_city(path, reversed(boxes))
    assert path.read_text() == "1 4 7 10 20 30 60.5 42.125 -90.5\n2 4 1 0 0 5 6 -1 -1\n"
    assert read_ai_city(path) == boxes


def test_corners() -> None:
    assert BOXES[0].xyxy == (10.5, 20, 40.5, 80.25)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1,2,3\n", "line 1: want 9 or 10 columns, got 3"),
        ("1,1,1,2,3,4,1,-1,-1,-1\n0,1,1,2,3,4,1,-1,-1,-1\n", "line 2: frame is '0', want an int"),
        ("1,1.5,1,2,3,4,1,-1,-1,-1\n", "line 1: id is '1.5', want an integer"),
        ("1,1,x,2,3,4,1,-1,-1,-1\n", "line 1: x is 'x', want a number"),
        ("1,1,1,nan,3,4,1,-1,-1,-1\n", "line 1: y is 'nan', want a number"),
        ("1,1,1,2,0,4,1,-1,-1,-1\n", "line 1: w is '0', want more than 0"),
    ],
)
def test_a_bad_mot_row_is_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"bad\.txt: {fault}"):
        read_mot(path)


def test_a_bad_ai_city_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("1 2 3 4 5 6 7\n")
    with pytest.raises(DatasetError, match="line 1: want 9 columns, got 7"):
        read_ai_city(path)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*none\.txt: No such file"):
        read_mot(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"cannot read .*binary: not a text file"):
        read_ai_city(tmp_path / "binary")
    with pytest.raises(DatasetError, match=r"cannot write .*out\.txt: No such file"):
        write_mot(tmp_path / "no" / "out.txt", BOXES)
    with pytest.raises(DatasetError, match=r"one file a camera, got cameras \[1, 3\]"):
        write_mot(tmp_path / "out.txt", [*BOXES, TrackedBox(1, 1, 1, 0, 0, 1, 1)])
    assert not (tmp_path / "out.txt").exists()
