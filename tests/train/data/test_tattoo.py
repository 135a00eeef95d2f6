"""Tattoos as CSV: whole, and with each kind of mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.data.records import UNLABELLED
from train.data.tattoo import load_tattoo
from train.errors import DatasetError

TRAIN = ["a.jpg,7,1,2,10,20,", "a.jpg,30,20,2,10,20,", "b/c.jpg,7,5,5,10,10,", "d.jpg,,,,,,"]
TEST = [
    "q1.jpg,4,1,2,10,20,query",
    "g1.jpg,4,3,3,10,20,gallery",
    "q2.jpg,9,1.5,2,10,20,query",
    "q2.jpg,,30,2,10,20,query",
    "g2.jpg,9,3,3,10,20,gallery",
    "x.jpg,4,3,3,10,20,",
]


@pytest.fixture
def tattoos(sets: Any, tmp_path: Path) -> Any:
    made = sets.TattooFolder(tmp_path / "webtattoo")
    made.split("train", TRAIN)
    made.split("test", TEST)
    return made


def test_training_classes_are_numbered(tattoos: Any) -> None:
    train = load_tattoo(tattoos.root, "train")
    assert train.identities == (7, 30)
    assert [image.name for image in train.images] == ["a.jpg", "b/c.jpg", "d.jpg"]
    assert [image.ids.tolist() for image in train.images] == [[0, 1], [0], []]
    assert train.images[0].boxes.tolist() == [[1, 2, 11, 22], [20, 2, 30, 22]]
    assert train.images[2].boxes.shape == (0, 4)
    assert train.queries == ()


def test_queries_share_the_gallery_of_pictures(tattoos: Any) -> None:
    test = load_tattoo(tattoos.root, "test")
    assert test.identities == (4, 9)
    assert [(q.name, q.pid) for q in test.queries] == [("q1.jpg", 4), ("q2.jpg", 9)]
    assert test.queries[1].box.tolist() == [1.5, 2, 11.5, 22]
    for query in test.queries:
        assert query.gallery is not None
        assert query.gallery.dtype == np.int32
        assert [test.images[place].name for place in query.gallery] == ["g1.jpg", "g2.jpg"]
        assert query.truth is None
    assert test.images[2].ids.tolist() == [9, UNLABELLED]


def test_without_roles_every_tattoo_is_a_query_and_the_scoring_chooses(tattoos: Any) -> None:
    lines = [line.rsplit(",", 1)[0] for line in TEST]
    tattoos.split("test", lines, header="image,class,x,y,w,h")
    queries = load_tattoo(tattoos.root, "test").queries
    assert [(q.name, q.gallery) for q in queries] == [
        (name, None) for name in ("q1.jpg", "g1.jpg", "q2.jpg", "g2.jpg", "x.jpg")
    ]


def test_columns_stand_in_any_order_and_spreadsheets_mark_the_beginning(tattoos: Any) -> None:
    tattoos.split("train", ["a.jpg,1,2,10,20,7"], header="\ufeffimage,x,y,w,h,class")
    (image,) = load_tattoo(tattoos.root, "train").images
    assert (image.boxes.tolist(), image.ids.tolist()) == ([[1, 2, 11, 22]], [0])


def test_a_box_is_cut_at_the_top_and_left_edge(tattoos: Any) -> None:
    tattoos.split("train", ["a.jpg,1,-4,-5,10,20,"])
    assert load_tattoo(tattoos.root, "train").images[0].boxes.tolist() == [[0, 0, 6, 15]]


FAULTS = [
    (["q1.jpg,4,1,2,10,query"], r"test\.csv: line 2: want 7 fields, got 6"),
    ([TEST[0], "g1.jpg,four,1,2,3,4,gallery"], "line 3: class is 'four', want a number"),
    (["g1.jpg,4.5,1,2,3,4,gallery"], r"line 2: class is 4\.5, want an integer of 0 or more"),
    (["g1.jpg,-4,1,2,3,4,gallery"], r"line 2: class is -4\.0, want an integer of 0 or more"),
    (["g1.jpg,99999999999999999999,1,2,3,4,"], "line 2: class is 1e.20, want an integer"),
    (["g1.jpg,4,1,2,,4,gallery"], "line 2: w is '', want a number"),
    (["g1.jpg,4,1,2,nan,4,gallery"], "line 2: w is nan, want a number of pixels"),
    (["g1.jpg,4,1,2,1e40,4,gallery"], r"line 2: w is 1e\+40, want a number of pixels"),
    (["g1.jpg,4,1,2,0,4,gallery"], r"line 2: box x y w h = \(1, 2, 0, 4\) has no area"),
    (["g1.jpg,4,-9,2,5,4,gallery"], r"line 2: box .* lies outside the picture"),
    (["g1.jpg,4,,,,,gallery"], "line 2: class or role query without a box"),
    (["g1.jpg,4,1,2,3,4,probe"], "line 2: role is 'probe', want query, gallery or nothing"),
    (["q1.jpg,4,1,2,3,4,query", "q1.jpg,5,9,2,3,4,"], "line 3: role '', but 'query' in line 2"),
    (["x.jpg,4,1,2,3,4,", "x.jpg,5,1,2,3,4,"], r"line 3: picture 'x\.jpg' has this box already"),
    (["x.jpg,,,,,,", "x.jpg,5,1,2,3,4,"], r"line 3: picture 'x\.jpg' has this box already, or no"),
    ([TEST[0]], r"test\.csv: role: 1 queries, 0 gallery pictures"),
    ([], r"test\.csv: the test split has no pictures"),
]


@pytest.mark.parametrize(("lines", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_names_file_and_line(tattoos: Any, lines: list[str], fault: str) -> None:
    tattoos.split("test", lines)
    with pytest.raises(DatasetError, match=fault):
        load_tattoo(tattoos.root, "test")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("image,class,x,y,w\n", r"line 1: want columns image,class,x,y,w,h\[,role\], got image,"),
        ("image,class,x,y,w,h,colour\n", "line 1: want columns .* got .*colour"),
        ("", r"line 1: want columns .*, got $"),
        ('image,class,x,y,w,h\n"a.jpg,1,1,1,1,1', r"not CSV \(unexpected end of data\)"),
        (b"\xff\xfe\xfa", r"cannot read .*test\.csv: .*utf-8"),
        (",7,1,2,3,4,", "line 2: image is empty"),
        ("gone.jpg,7,1,2,3,4,", r"line 2: no such picture .*gone\.jpg"),
    ],
)
def test_damaged_files_are_named(tattoos: Any, content: str | bytes, fault: str) -> None:
    if isinstance(content, str) and content.endswith(","):
        content = f"image,class,x,y,w,h,role\n{content}\n"
    data = content.encode() if isinstance(content, str) else content
    (tattoos.root / "test.csv").write_bytes(data)
    with pytest.raises(DatasetError, match=fault):
        load_tattoo(tattoos.root, "test")


def test_splits_have_names_and_files(tattoos: Any) -> None:
    with pytest.raises(DatasetError, match="WebTattoo has the splits train and test, not 'val'"):
        load_tattoo(tattoos.root, "val")
    (tattoos.root / "train.csv").unlink()
    with pytest.raises(DatasetError, match=r"train\.csv: no such file"):
        load_tattoo(tattoos.root, "train")
