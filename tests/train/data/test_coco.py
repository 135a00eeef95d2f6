"""Own data in COCO form, with identities and without, whole and with each kind of mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.data.coco import load_coco
from train.data.people import load_people
from train.data.records import IGNORED, UNLABELLED
from train.errors import DatasetError

REAL_PEOPLE = Path(__file__).parents[3].parent / "shared" / "people"


@pytest.fixture
def site(sets: Any, tmp_path: Path) -> Any:
    """Two training images, three test images by two cameras, of persons 3, 5 and 9."""
    made = sets.CocoFolder(tmp_path / "site")
    one = made.image("a.jpg", split="train", camera="hall")
    two = made.image("b.jpg", split="train", camera="door")
    made.person(one, [1, 2, 10, 20], identity=5)
    made.person(one, [20, 2, 10, 20])
    made.person(two, [1, 2, 10, 20], track_id=5)
    made.person(two, [20, 2, 10, 20], track_id=3, iscrowd=0)
    made.person(two, [0, 0, 64, 4], iscrowd=1)
    first = made.image("c.jpg", split="test", camera="hall")
    second = made.image("d.jpg", split="test", camera="door")
    third = made.image("e.jpg", split="test", camera="hall")
    made.person(first, [1, 2, 10, 20], identity=5)
    made.person(first, [30, 2, 5, 5], identity=9)
    made.person(second, [1, 2, 12, 20], identity=5)
    made.person(third, [1, 2, 12, 22], identity=5, track_id=None)
    made.write()
    return made


def test_training_identities_become_class_numbers(site: Any) -> None:
    train = load_coco(site.path.parent, "train")
    assert train.identities == (3, 5)
    assert [image.name for image in train.images] == ["a.jpg", "b.jpg"]
    assert [image.ids.tolist() for image in train.images] == [[1, UNLABELLED], [1, 0, IGNORED]]
    assert train.images[0].boxes.tolist() == [[1, 2, 11, 22], [20, 2, 30, 22]]
    assert [image.camera for image in train.images] == [2, 1]


def test_queries_are_the_largest_box_at_each_camera(site: Any) -> None:
    test = load_coco(site.path.parent, "test")
    assert test.identities == (5, 9)
    found = [(q.pid, q.camera, q.name, q.box.tolist()) for q in test.queries]
    assert found == [(5, 1, "d.jpg", [1, 2, 13, 22]), (5, 2, "e.jpg", [1, 2, 13, 24])]
    assert test.queries[0].gallery is None


def test_marked_queries_are_the_only_ones(site: Any) -> None:
    site.annotations[5]["query"] = True
    site.annotations[6]["query"] = False
    site.write()
    queries = load_coco(site.path.parent, "test").queries
    assert [(query.name, query.pid) for query in queries] == [("c.jpg", 5)]


def test_a_file_for_each_split(sets: Any, tmp_path: Path) -> None:
    for split, camera in (("train", 4), ("test", 12)):
        made = sets.CocoFolder(tmp_path / split)
        for name in ("a.jpg", "b.jpg"):
            made.person(made.image(name, camera=camera), [1, 1, 9, 9], identity=1)
        made.write()
    train, test = load_coco(tmp_path, "train"), load_coco(tmp_path, "test")
    assert train.images[0].path == tmp_path / "train" / "a.jpg"
    assert [image.camera for image in (*train.images, *test.images)] == [4, 4, 12, 12]
    (tmp_path / "train" / "annotations.json").unlink()
    with pytest.raises(DatasetError, match=r"train/annotations\.json: no such file"):
        load_coco(tmp_path, "train")


def test_without_cameras_all_have_camera_0(site: Any) -> None:
    for image in site.images:
        del image["camera"]
    site.write()
    assert {image.camera for image in load_coco(site.path.parent, "test").images} == {0}


def test_only_persons_are_read(site: Any) -> None:
    site.more = {"categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cart"}]}
    for number, annotation in enumerate(site.annotations):
        annotation["category_id"] = 2 if number == 1 else 1
    site.write()
    assert load_coco(site.path.parent, "train").images[0].ids.tolist() == [1]


def test_a_box_is_cut_at_the_edges_of_the_picture(site: Any) -> None:
    site.annotations[0]["bbox"] = [-4, -2, 10, 200]
    site.write()
    boxes = load_coco(site.path.parent, "train").images[0].boxes
    assert boxes[0].tolist() == [0, 0, 6, 48]
    assert boxes.dtype == np.float32


def test_a_split_is_one_of_two_and_holds_something(site: Any) -> None:
    with pytest.raises(DatasetError, match="COCO data has the splits train and test, not 'val'"):
        load_coco(site.path.parent, "val")
    for image in site.images:
        image["split"] = "train"
    site.write()
    with pytest.raises(DatasetError, match=r"annotations\.json: the test split has no images"):
        load_coco(site.path.parent, "test")


def test_two_places_for_one_split_are_refused(site: Any, sets: Any) -> None:
    sets.CocoFolder(site.path.parent / "test").write()
    with pytest.raises(DatasetError, match=r"has both .*annotations\.json and .*: which one"):
        load_coco(site.path.parent, "test")


def _image(number: int, **fields: Any) -> Callable[[Any], None]:
    return lambda site: site.images[number].update(fields)  # type: ignore[no-any-return]


def _person(number: int, **fields: Any) -> Callable[[Any], None]:
    return lambda site: site.annotations[number].update(fields)  # type: ignore[no-any-return]


def _without(kind: str, number: int, field: str) -> Callable[[Any], None]:
    return lambda site: getattr(site, kind)[number].pop(field)  # type: ignore[no-any-return]


def _more(**fields: Any) -> Callable[[Any], None]:
    return lambda site: site.more.update(fields)  # type: ignore[no-any-return]


CARTS = [{"id": 1, "name": "cart"}, {"id": 2, "name": "pram"}]
COMMON = [
    (_image(1, id=1), r"images\[1\] \(id 1\): id 1 is there twice"),
    (_without("images", 1, "id"), r"images\[1\]: want an object with an id"),
    (_image(1, id=[1]), r"images\[1\] \(id \[1\]\): want an object with an id"),
    (_image(1, file_name="a.jpg"), r"images\[1\] \(id 2\): 'a\.jpg' is there already, images\[0\]"),
    (_image(1, file_name=3), r"images\[1\] \(id 2\): missing or wrong field 'file_name'"),
    (_image(1, file_name="z.jpg"), r"images\[1\] \(id 2\): no such picture .*z\.jpg"),
    (_image(1, width=0), r"images\[1\] \(id 2\): width is 0, want pixels"),
    (_without("images", 1, "height"), r"images\[1\] \(id 2\): height is None, want pixels"),
    (_person(1, id=100), r"annotations\[1\] \(id 100\): id 100 is there twice"),
    (_person(1, image_id=77), r"annotations\[1\] \(id 101\): image_id 77 is no id of images"),
    (_person(1, image_id=[]), r"annotations\[1\] \(id 101\): image_id \[\] is no id of images"),
    (_without("annotations", 1, "bbox"), r"annotations\[1\] \(id 101\): bbox is None, want \[x,"),
    (_person(1, bbox=[1, 2, 3]), r"annotations\[1\] .*: bbox is \[1, 2, 3\], want \[x, y, w, h\]"),
    (_person(1, bbox=[1, 2, "3", 4]), r"annotations\[1\] .*: bbox holds '3', want a number"),
    (_person(1, bbox=[1, 2, True, 4]), r"annotations\[1\] .*: bbox holds True, want a number"),
    (_person(1, bbox=[1, 2, 10**400, 4]), r"annotations\[1\] .*: bbox holds a number of 401 dig"),
    (_person(1, bbox=[1, 2, float("nan"), 4]), r"annotations\[1\] .*: w is nan, want a number"),
    (_person(1, bbox=[1, 2, 0, 4]), r"annotations\[1\] .*: box .*\(1, 2, 0, 4\) has no area"),
    (_person(1, bbox=[64, 2, 9, 4]), r"annotations\[1\] .*: box .* lies outside .* 64 x 48 pixels"),
    (
        _person(1, bbox=[1, 2, 10, 20]),
        r"annotations\[1\] .*: same box on 'a\.jpg' as annotations\[",
    ),
    (_person(1, iscrowd=2), r"annotations\[1\] .*: iscrowd is 2, want 0 or 1"),
    (_more(categories=CARTS), "categories: none is named person, found cart, pram"),
    (_more(categories=["person"]), "categories: want a list of objects"),
    (_more(annotations=None), "missing or wrong field 'annotations', want a list"),
]
WITH_IDENTITIES = [
    (_image(1, split="val"), r"images\[1\] \(id 2\): split is 'val', want train or test"),
    (_image(1, camera=3), r"images\[1\] \(id 2\): camera is 3, want a number or a name, of one"),
    (_without("images", 1, "camera"), r"images\[1\] \(id 2\): camera is None, want a number or a"),
    (_person(1, identity="anna"), r"annotations\[1\] .*: identity holds 'anna', want a number"),
    (_person(1, track_id=-2), r"annotations\[1\] .*: track_id is -2\.0, want an integer of 0 or"),
    (_person(0, track_id=6), r"annotations\[0\] .*: identity 5 but track_id 6"),
    (_person(1, query=True), r"annotations\[1\] .*: query without an identity"),
    (_person(0, query="yes"), r"annotations\[0\] .*: query is 'yes', want true or false"),
]


@pytest.mark.parametrize(
    ("damage", "fault"), COMMON + WITH_IDENTITIES, ids=[f for _, f in COMMON + WITH_IDENTITIES]
)
def test_a_fault_names_the_entry(site: Any, damage: Callable[[Any], None], fault: str) -> None:
    damage(site)
    site.write()
    with pytest.raises(DatasetError, match=fault):
        load_coco(site.path.parent, "train")


@pytest.mark.parametrize(("damage", "fault"), COMMON, ids=[fault for _, fault in COMMON])
def test_pictures_without_identities_are_read_as_strictly(
    site: Any, damage: Callable[[Any], None], fault: str
) -> None:
    damage(site)
    site.write()
    with pytest.raises(DatasetError, match=fault):
        load_people(site.path.parent)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", r"annotations\.json: is not JSON"),
        ("[" * 100_000, r"annotations\.json: is not JSON"),
        ("[]", r"annotations\.json: want an object with images and annotations"),
        ('{"images": [3], "annotations": []}', r"images\[0\]: want an object with an id"),
        ('{"images": [], "annotations": [3]}', r"annotations\[0\]: want an object"),
    ],
)
def test_what_is_no_such_json_is_refused(site: Any, content: str, fault: str) -> None:
    site.path.write_text(content)
    with pytest.raises(DatasetError, match=fault):
        load_people(site.path.parent)
    site.path.unlink()
    with pytest.raises(DatasetError, match=r"cannot read .*annotations\.json: no such file"):
        load_people(site.path.parent)


def test_people_have_no_identity_and_regions_can_be_ignored(site: Any) -> None:
    first, second, *_ = load_people(site.path.parent).images
    assert first.ids.tolist() == [UNLABELLED, UNLABELLED]
    assert second.ids.tolist() == [UNLABELLED, UNLABELLED, IGNORED]
    assert second.path.is_file()


def test_a_picture_that_tells_its_licence_is_attributed(site: Any) -> None:
    assert load_people(site.path.parent).attributions == ()
    site.images[0].update(license="CC BY 2.0", source="COCO", flickr_url="https://x.org/1")
    site.images[1].update(license=4)
    site.write()
    lines = load_people(site.path.parent).attributions
    assert lines == ("a.jpg: COCO, CC BY 2.0, https://x.org/1", "b.jpg: 4")


@pytest.mark.skipif(not REAL_PEOPLE.is_dir(), reason="the real pictures of people are not here")
def test_the_real_pictures_are_read() -> None:
    people = load_people(REAL_PEOPLE)
    ids = np.concatenate([image.ids for image in people.images])
    assert (len(people.images), (ids == UNLABELLED).sum(), (ids == IGNORED).sum()) == (
        203,
        466,
        271,
    )
    assert len(people.attributions) == 203
