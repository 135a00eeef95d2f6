"""The CUHK-SYSU loader on a tiny folder in the published layout, whole and damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from train.data.cuhk import GALLERIES, load_cuhk
from train.data.records import UNLABELLED, QueryRecord
from train.errors import DatasetError

TEST_FRAMES = ["t2.jpg", "t1.jpg", "t3.jpg", "t4.jpg", "t5.jpg"]


def listed(query: QueryRecord) -> list[str]:
    assert query.gallery is not None
    return [TEST_FRAMES[place] for place in query.gallery]


def truth(query: QueryRecord) -> dict[str, list[list[float]]]:
    assert query.truth is not None
    return {TEST_FRAMES[place]: boxes.tolist() for place, boxes in query.truth.items()}


def test_training_frames_are_all_but_the_pool(cuhk: Any) -> None:
    train = load_cuhk(cuhk.root, "train")
    assert [image.name for image in train.images] == ["s1.jpg", "s2.jpg", "s3.jpg"]
    assert train.identities == (1, 2)
    assert train.queries == ()
    assert all(image.path.is_file() for image in train.images)


def test_a_box_with_exactly_the_listed_numbers_has_the_identity(cuhk: Any) -> None:
    first, second, third = load_cuhk(cuhk.root, "train").images
    assert first.ids.tolist() == [0, 1]
    assert first.boxes.tolist() == [[1, 2, 11, 22], [30, 5, 40, 25]]
    assert second.ids.tolist() == [0, UNLABELLED]
    assert third.ids.tolist() == [UNLABELLED]


def test_small_unsigned_corners_do_not_overflow(cuhk: Any) -> None:
    cuhk.images({"s1.jpg": [(65000, 1, 1000, 20)], "t1.jpg": [(1, 1, 2, 2)]})
    cuhk.pool(["t1.jpg"])
    cuhk.train([[("s1.jpg", (65000, 1, 1000, 20))]])
    (image,) = load_cuhk(cuhk.root, "train").images
    assert image.boxes.tolist() == [[65000, 1, 66000, 21]]
    assert image.ids.tolist() == [0]


def test_boxes_of_wider_numbers_are_read_as_they_are(cuhk: Any, sets: Any) -> None:
    box = {"idlocate": np.array([[-3.0, 70000.0, 10.0, 20.0]]), "ishard": 0}
    row = {"imname": "t1.jpg", "box": sets.structures([box], ("idlocate", "ishard"))}
    cuhk.save("Images.mat", "Img", sets.structures([row], ("imname", "box")))
    cuhk.pool(["t1.jpg"])
    cuhk.queries("train_test/TestG100.mat", "TestG100", [])
    (image,) = load_cuhk(cuhk.root, "test").images
    assert image.boxes.tolist() == [[-3, 70000, 7, 70020]]


def test_test_frames_stand_in_the_order_of_the_pool(cuhk: Any) -> None:
    test = load_cuhk(cuhk.root, "test")
    assert [image.name for image in test.images] == TEST_FRAMES
    assert {image.camera for image in test.images} == {0}
    assert test.identities == (1, 2)
    by_name = {image.name: image.ids.tolist() for image in test.images}
    assert by_name["t2.jpg"] == [1, 2, UNLABELLED]
    assert by_name["t3.jpg"] == [1, 1]
    assert by_name["t5.jpg"] == []


def test_a_query_has_its_own_list_from_which_nothing_is_removed(cuhk: Any) -> None:
    first, second = load_cuhk(cuhk.root, "test", gallery="50").queries
    assert (first.name, first.pid, first.box.tolist()) == ("t1.jpg", 1, [3, 3, 13, 23])
    assert listed(first) == ["t3.jpg", "t2.jpg", "t3.jpg"]
    assert listed(second) == ["t2.jpg", "t4.jpg", "t1.jpg"]
    assert second.gallery is not None
    assert second.gallery.dtype == np.int32


def test_the_truth_is_where_the_list_has_a_box(cuhk: Any) -> None:
    first, second = load_cuhk(cuhk.root, "test").queries
    assert truth(second) == {"t2.jpg": [[30, 4, 40, 24]], "t4.jpg": [[36, 6, 46, 26]]}
    both = [[2, 2, 12, 22], [40, 2, 50, 22]]
    assert truth(first) == {"t3.jpg": both, "t2.jpg": [[4, 4, 14, 24]]}


def test_all_is_the_list_of_50_and_then_the_rest_but_the_query_frame(cuhk: Any) -> None:
    cuhk.queries("train_test/TestG100.mat", "TestG100", [])
    first, second = load_cuhk(cuhk.root, "test", gallery="all").queries
    assert listed(first) == ["t3.jpg", "t2.jpg", "t3.jpg", "t4.jpg", "t5.jpg"]
    assert listed(second) == ["t2.jpg", "t4.jpg", "t1.jpg", "t3.jpg", "t5.jpg"]
    assert set(truth(first)) == {"t2.jpg", "t3.jpg"}


@pytest.mark.parametrize("gallery", GALLERIES)
def test_every_gallery_is_read(cuhk: Any, gallery: str) -> None:
    names = [query.name for query in load_cuhk(cuhk.root, "test", gallery=gallery).queries]
    wanted = {"occlusion": ["t4.jpg"], "resolution": ["t1.jpg"]}
    assert names == wanted.get(gallery, ["t1.jpg", "t4.jpg"])


def test_plain_files_read_as_compressed_ones(cuhk: Any, tmp_path: Path, sets: Any) -> None:
    plain = sets.CuhkFolder(tmp_path / "plain", compressed=False)
    plain.images({"s1.jpg": [(1, 2, 10, 20)], "t1.jpg": [(3, 3, 10, 20)]})
    plain.pool(["t1.jpg"])
    plain.train([[("s1.jpg", (1, 2, 10, 20))]])
    (image,) = load_cuhk(plain.root, "train").images
    assert image.ids.tolist() == [0]


def test_a_list_of_structures_instead_of_cells_is_read(cuhk: Any, sets: Any) -> None:
    scenes = sets.structures([sets.scene("s1.jpg", (1, 2, 10, 20))], sets.SCENE)
    entry = {"idname": "p1", "nAppear": np.eye(1), "scene": scenes}
    entries = sets.structures([entry], ("idname", "nAppear", "scene"))
    cuhk.save("test/train_test/Train.mat", "Train", entries)
    assert load_cuhk(cuhk.root, "train").identities == (1,)


def test_a_listed_box_that_no_person_has_leaves_everybody_unlabelled(cuhk: Any) -> None:
    cuhk.train([[("s3.jpg", (9, 9, 10, 21))]])
    assert load_cuhk(cuhk.root, "train").images[2].ids.tolist() == [UNLABELLED]


def test_splits_and_galleries_have_names(cuhk: Any) -> None:
    with pytest.raises(DatasetError, match="CUHK-SYSU has the splits train and test, not 'val'"):
        load_cuhk(cuhk.root, "val")
    with pytest.raises(DatasetError, match=r"no gallery '75': choose 50, 100, .*, resolution"):
        load_cuhk(cuhk.root, "test", gallery="75")


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is not a CUHK-SYSU data set: no folder .*SSM"):
        load_cuhk(tmp_path, "test")


def _remove(name: str) -> Callable[[Any, Any], None]:
    return lambda cuhk, _: (cuhk.root / name).unlink()  # type: ignore[no-any-return]


def _pool(*names: str) -> Callable[[Any, Any], None]:
    return lambda cuhk, _: cuhk.pool(names)  # type: ignore[no-any-return]


def _queries(*queries: Any) -> Callable[[Any, Any], None]:
    return lambda cuhk, _: cuhk.queries("train_test/TestG100.mat", "TestG100", queries)  # type: ignore[no-any-return]


def _image(box: Any) -> Callable[[Any, Any], None]:
    def damage(cuhk: Any, sets: Any) -> None:
        people = sets.structures([{"idlocate": box, "ishard": 0}], ("idlocate", "ishard"))
        row = {"imname": "t1.jpg", "nAppear": 1, "box": people}
        cuhk.save("Images.mat", "Img", sets.structures([row], ("imname", "nAppear", "box")))

    return damage


def _no_box_field(cuhk: Any, sets: Any) -> None:
    cuhk.save("Images.mat", "Img", sets.structures([{"imname": "t1.jpg"}], ("imname",)))


def _boxes_are_numbers(cuhk: Any, sets: Any) -> None:
    row = {"imname": "t1.jpg", "box": np.eye(4)}
    cuhk.save("Images.mat", "Img", sets.structures([row], ("imname", "box")))


def _twice(cuhk: Any, sets: Any) -> None:
    row = {"imname": "t1.jpg", "box": np.zeros((0, 0))}
    cuhk.save("Images.mat", "Img", sets.structures([row, row], ("imname", "box")))


def _numbers(cuhk: Any, _: Any) -> None:
    savemat(cuhk.annotation / "Images.mat", {"Img": np.eye(3)})


T1, BOX = "t1.jpg", (3, 3, 10, 20)
FAULTS: list[tuple[Callable[[Any, Any], None], str]] = [
    (_remove("annotation/Images.mat"), r"cannot read .*Images\.mat: no such file"),
    (_remove("annotation/pool.mat"), r"cannot read .*pool\.mat: no such file"),
    (_remove("annotation/test/train_test/TestG100.mat"), r"cannot read .*TestG100\.mat: no such"),
    (_remove("Image/SSM/t2.jpg"), r"Images\.mat: Img, row 4: picture 't2\.jpg' has no image"),
    (_pool("t1.jpg", "x.jpg"), r"pool\.mat: pool, row 2: frame 'x\.jpg' is not in Images\.mat"),
    (_pool("t1.jpg", "t1.jpg"), r"pool\.mat: pool, row 2: frame 't1\.jpg' is listed twice"),
    (_pool(), r"pool\.mat: the test split has no frames"),
    (_numbers, r"cannot read .*Images\.mat: variable Img: want structures"),
    (_no_box_field, r"Images\.mat: Img, row 1: no field box, found imname"),
    (_boxes_are_numbers, r"Images\.mat: Img, row 1: want structures in field box"),
    (_twice, r"Images\.mat: Img, row 2: picture 't1\.jpg' is listed twice"),
    (_image(np.eye(3)), r"Img, row 1, box 1: want x, y, w, h, got shape \(3, 3\)"),
    (_image("text"), r"Img, row 1, box 1: want x, y, w, h, got shape \(1,\)"),
    (_image(np.zeros((0, 0))), r"Img, row 1, box 1: want x, y, w, h, got none"),
    (_image(np.array([[1, 2, np.nan, 4]])), r"box 1: want x, y, w, h in pixels, got .*nan"),
    (_image(np.array([[1, 2, 1e12, 4]])), r"box 1: want x, y, w, h in pixels, got .*1000000"),
    (_queries((T1, BOX, [("t9.jpg", None)])), r"TestG100, row 1, Gallery 1: 't9\.jpg' is not one"),
    (_queries((T1, BOX, []), ("s1.jpg", BOX, [])), r"TestG100, row 2, Query: 's1\.jpg' is not one"),
    (_queries((T1, None, [])), r"TestG100, row 1, Query: want x, y, w, h of the person, got none"),
    (_queries((T1, BOX, [("t3.jpg", (1, 1, 0, 5))])), r"Gallery 1: box .* \(1, 1, 0, 5\) has no"),
    (_queries((T1, BOX, [("", None)])), r"row 1, Gallery 1: want a name, got an array"),
]


@pytest.mark.parametrize(("damage", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_names_file_row_and_value(
    cuhk: Any, sets: Any, damage: Callable[[Any, Any], None], fault: str
) -> None:
    damage(cuhk, sets)
    with pytest.raises(DatasetError, match=fault):
        load_cuhk(cuhk.root, "test")


def test_damaged_training_lists_are_named(cuhk: Any, sets: Any) -> None:
    cuhk.train([[("s1.jpg", (1, 2, 10, 20))], [("s1.jpg", None)]])
    with pytest.raises(DatasetError, match=r"Train\.mat: Train, row 2, scene 1: want x, y, w, h"):
        load_cuhk(cuhk.root, "train")
    cuhk.save("test/train_test/Train.mat", "Train", sets.cells(["p1"]))
    with pytest.raises(DatasetError, match=r"Train\.mat: variable Train: \{1\}: want one struct"):
        load_cuhk(cuhk.root, "train")


def test_every_cut_of_a_list_is_named(cuhk: Any) -> None:
    path = cuhk.annotation / "Images.mat"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"Images\.mat"):
            load_cuhk(cuhk.root, "test")


def _random_set(made: Any, seed: int) -> None:
    """Write 30 pictures, 12 of them for testing, with random persons, scenes and galleries."""
    rng = np.random.default_rng(seed)
    names = [f"s{number}.jpg" for number in rng.permutation(30)]
    boxes = {
        name: [tuple(map(int, rng.integers((0, 0, 0, 1), (50, 30, 14, 18)))) for _ in range(6)]
        for name in names
    }
    made.images(boxes)
    test = sorted(rng.choice(names, 12, replace=False).tolist())
    made.pool(test)
    usable = {name: [b for b in found if b[2] > 0] for name, found in boxes.items()}
    train = [name for name in names if name not in test]
    made.train([[(n, usable[n][k % len(usable[n])]) for n in train[k : k + 3]] for k in range(9)])
    queries = []
    for row in range(5):
        shown = [(name, usable[name][0] if k < 3 else None) for k, name in enumerate(test[row:])]
        queries.append((test[row - 3], usable[test[row - 3]][-1], shown))
    made.queries("train_test/TestG100.mat", "TestG100", queries)


def _read_by_scipy(root: Path) -> tuple[dict[str, Any], list[Any], list[Any], list[str]]:
    """Return all boxes x y w h, training scenes, queries and pool, read the field's way."""
    annotation = root / "annotation"
    boxes = {}
    for name, _, persons in loadmat(annotation / "Images.mat")["Img"].squeeze():
        found = np.concatenate([person[0] for person in persons[0]]).astype(np.int32)
        boxes[str(name[0])] = found[(found[:, 2] > 0) & (found[:, 3] > 0)]
    scenes = []
    for row in loadmat(annotation / "test/train_test/Train.mat")["Train"].squeeze():
        scenes.append([(str(n[0]), b.squeeze().tolist()) for n, b, _ in row[0, 0][2].squeeze()])
    tests = loadmat(annotation / "test/train_test/TestG100.mat")["TestG100"].squeeze()
    queries = [
        (str(row["Query"][0, 0][0][0]), [(str(n[0]), b) for n, b, _ in row["Gallery"].squeeze()])
        for row in tests
    ]
    pool = [str(entry[0]) for entry in loadmat(annotation / "pool.mat")["pool"].squeeze()]
    return boxes, scenes, queries, pool


@pytest.mark.parametrize("seed", range(3))
def test_the_published_files_read_as_the_reference_evaluators_read_them(
    sets: Any, tmp_path: Path, seed: int
) -> None:
    made = sets.CuhkFolder(tmp_path / "random")
    _random_set(made, seed)
    boxes, scenes, queries, pool = _read_by_scipy(made.root)
    ids = {name: [UNLABELLED] * len(found) for name, found in boxes.items()}
    for identity, rows in enumerate(scenes):
        for name, box in rows:
            ids[name][boxes[name].tolist().index(box)] = identity
    train, test = load_cuhk(made.root, "train"), load_cuhk(made.root, "test")
    assert [image.name for image in train.images] == [name for name in boxes if name not in pool]
    for image in train.images:
        assert image.ids.tolist() == ids[image.name]
    for image in (*train.images, *test.images):
        xywh = boxes[image.name]
        np.testing.assert_array_equal(image.boxes[:, :2], xywh[:, :2])
        np.testing.assert_array_equal(image.boxes[:, 2:], xywh[:, :2] + xywh[:, 2:])
    for query, (name, gallery) in zip(test.queries, queries, strict=True):
        assert query.name == name
        assert query.gallery is not None
        assert [test.images[place].name for place in query.gallery] == [n for n, _ in gallery]
        assert query.truth is not None
        shown = {test.images[place].name for place in query.truth}
        assert shown == {n for n, box in gallery if box.size}
