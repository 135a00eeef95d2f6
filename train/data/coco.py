"""Read own data in COCO form with identities.

Either one ``annotations.json`` in the root, whose images each have a field ``split`` ("train" or
"test"), or ``train/annotations.json`` and ``test/annotations.json``; pictures are named from the
folder of their json, which `train.data.cocofile` describes. In addition:

- an image has ``camera``, a number or a name. Names are numbered from 1 in order of the
  alphabet. Where no image has one, all have camera 0.
- an annotation has ``identity`` or ``track_id``, an integer of 0 or more that is the same for the
  same person everywhere; without one (or null) it is a person without identity.
- an annotation of the test split may have ``query: true``. Where none has, the queries are the
  largest box of each identity at each camera, of identities in two pictures or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from train.data.boxes import read_identity
from train.data.cocofile import CocoPerson, CocoPicture, number, read_coco
from train.data.faults import STRICT, FaultError, Faults, NoSplitError
from train.data.records import (
    IGNORED,
    SPLITS,
    UNLABELLED,
    ImageRecord,
    PersonSearchSet,
    QueryRecord,
    class_numbers,
    record_of,
)
from train.data.views import largest_views, query_of
from train.errors import DatasetError

NAME = "COCO"
FILE = "annotations.json"
IDENTITY_FIELDS = ("identity", "track_id")


def load_coco(root: Path, split: str) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of own data in COCO form.

    Raises:
        DatasetError: no such split, it is empty, or a file is missing or damaged; the message
            names the file and the entry.
    """
    return read_coco_set(root, split, STRICT)


def read_coco_set(root: Path, split: str, faults: Faults) -> PersonSearchSet:
    """Return a split as `load_coco` does; what is wrong goes to ``faults``."""
    if split not in SPLITS:
        raise DatasetError(f"{NAME} data has the splits {' and '.join(SPLITS)}, not {split!r}")
    path, pictures = _pictures(root, split, faults)
    if not pictures:
        raise NoSplitError(path, "", f"the {split} split has no images")
    cameras = _cameras(path, pictures, faults)
    found = [_image(path, picture, cameras, faults) for picture in pictures]
    images = tuple(one.record for one in found)
    known = {pid for image in images for pid in image.ids.tolist()} - {UNLABELLED, IGNORED}
    identities = tuple(sorted(known))
    if split == "train":
        return PersonSearchSet(NAME, root, split, class_numbers(images, identities), (), identities)
    queries = tuple(query for one in found for query in one.queries)
    return PersonSearchSet(NAME, root, split, images, queries or largest_views(images), identities)


def _pictures(root: Path, split: str, faults: Faults) -> tuple[Path, Sequence[CocoPicture]]:
    """Return the file that holds a split, and the pictures of the split."""
    single, own = root / FILE, root / split / FILE
    if single.is_file() and own.is_file():
        raise DatasetError(f"{root} has both {single} and {own}: which one counts?")
    if not single.is_file():
        if not own.is_file():
            raise NoSplitError(own, "", "no such file")
        return own, read_coco(own, faults)

    def read(picture: CocoPicture) -> tuple[str, CocoPicture]:
        value = picture.fields.get("split")
        if value not in SPLITS:
            raise FaultError(single, picture.where, f"split is {value!r}, want train or test")
        return str(value), picture

    marked = faults.each(read, read_coco(single, faults))
    return single, [picture for value, picture in marked if value == split]


def _cameras(path: Path, pictures: Sequence[CocoPicture], faults: Faults) -> dict[object, int]:
    """Return the number of each value of the field ``camera``."""
    kind = type(pictures[0].fields.get("camera"))

    def read(picture: CocoPicture) -> object:
        camera = picture.fields.get("camera")
        if type(camera) is not kind or kind not in (int, str, type(None)):
            text = f"camera is {camera!r}, want a number or a name, of one kind for all images"
            raise FaultError(path, picture.where, text)
        if kind is int:
            value = number(camera, path, picture.where, "camera")
            read_identity(value, path, picture.where, "camera")
        return camera

    values = set(faults.each(read, pictures))
    if kind is str:
        return {name: place for place, name in enumerate(sorted(map(str, values)), 1)}
    return {value: value if isinstance(value, int) else 0 for value in values}


@dataclass(frozen=True, slots=True)
class _Read:
    record: ImageRecord
    queries: tuple[QueryRecord, ...]


def _image(path: Path, picture: CocoPicture, cameras: dict[object, int], faults: Faults) -> _Read:
    """Return a picture and the queries that are marked in it."""
    seen: dict[int, str] = {}

    def read(person: CocoPerson) -> tuple[CocoPerson, int]:
        pid = IGNORED if person.is_crowd else _identity(path, person)
        if pid >= 0 and pid in seen:
            text = f"identity {pid} is on {picture.name!r} already, {seen[pid]}"
            faults.flaw(path, person.where, text)
        seen.setdefault(pid, person.where)
        return person, pid

    persons = faults.each(read, picture.persons)
    camera = cameras.get(picture.fields.get("camera"), 0)
    record = record_of(picture.path, picture.name, camera, [(p.box, pid) for p, pid in persons])
    marked = [_is_query(path, person, pid) for person, pid in persons]
    return _Read(
        record, tuple(query_of(record, row) for row, is_one in enumerate(marked) if is_one)
    )


def _identity(path: Path, person: CocoPerson) -> int:
    values = {
        field: person.fields[field]
        for field in IDENTITY_FIELDS
        if person.fields.get(field) is not None
    }
    if not values:
        return UNLABELLED
    field, value = next(iter(values.items()))
    if len(values) > 1 and values["identity"] != values["track_id"]:
        text = f"identity {values['identity']!r} but track_id {values['track_id']!r}"
        raise FaultError(path, person.where, text)
    return read_identity(number(value, path, person.where, field), path, person.where, field)


def _is_query(path: Path, person: CocoPerson, pid: int) -> bool:
    marked = person.fields.get("query", False)
    if not isinstance(marked, bool):
        raise FaultError(path, person.where, f"query is {marked!r}, want true or false")
    if marked and pid < 0:
        raise FaultError(path, person.where, "query without an identity")
    return marked
