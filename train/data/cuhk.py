"""Read CUHK-SYSU as it is published.

``Image/SSM/*.jpg``; ``annotation/Images.mat`` has all pictures with their boxes, ``pool.mat``
names those of the test split, and the training split is what is left;
``test/train_test/Train.mat`` has the training identities, ``TestG<N>.mat`` the queries with a
gallery of N frames each, ``test/subset`` two smaller lists of queries with galleries of 100.

Boxes are cast to int32 before anything is added, and those without width or height are left out.
An identity is attached by exact equality of the box; everybody else is a person without one. The
pictures come from no fixed cameras, so that all have camera 0, and every query brings its own
gallery, from which nothing is removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.cuhk_frames import Frames, Scene, corners, read_frames, read_scene
from train.data.faults import STRICT, FaultError, Faults
from train.data.mat5 import Record
from train.data.matfile import members, read_records
from train.data.records import SPLITS, PersonSearchSet, QueryRecord
from train.errors import DatasetError

NAME = "CUHK-SYSU"
CAMERA = 0
"""Camera of every picture: the data set does not say."""

DEFAULT_GALLERY = "100"


@dataclass(frozen=True, slots=True)
class _QueryList:
    file: Path
    variable: str
    with_all_frames: bool = False


def _sized(size: int) -> _QueryList:
    return _QueryList(Path("test", "train_test", f"TestG{size}.mat"), f"TestG{size}")


GALLERIES: Mapping[str, _QueryList] = {
    **{str(size): _sized(size) for size in (50, 100, 500, 1000, 2000, 4000)},
    "all": _QueryList(_sized(50).file, "TestG50", with_all_frames=True),
    "occlusion": _QueryList(Path("test", "subset", "Occlusion.mat"), "Occlusion1"),
    "resolution": _QueryList(Path("test", "subset", "Resolution.mat"), "Test_Size"),
}
"""The galleries by name. ``all`` is TestG50's list and then every other test frame but the
query's own; ``occlusion`` and ``resolution`` have queries of their own."""

_TRAIN = Path("test", "train_test", "Train.mat")


def load_cuhk(root: Path, split: str, *, gallery: str = DEFAULT_GALLERY) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of a CUHK-SYSU folder.

    The class of a training identity is its place in ``Train.mat``. The identity of a test person
    is the row, from 1, of the query in the file of the ``gallery`` (of `GALLERIES`); a training
    split has no gallery.

    Raises:
        DatasetError: no such split or gallery, or a file is missing or damaged; the message
            names the file, and the row and value where there are some.
    """
    return read_cuhk(root, split, STRICT, gallery=gallery)


def read_cuhk(
    root: Path, split: str, faults: Faults, *, gallery: str = DEFAULT_GALLERY
) -> PersonSearchSet:
    """Return a split as `load_cuhk` does; what is wrong goes to ``faults``."""
    if split not in SPLITS:
        raise DatasetError(f"{NAME} has the splits {' and '.join(SPLITS)}, not {split!r}")
    if gallery not in GALLERIES:
        raise DatasetError(f"{NAME} has no gallery {gallery!r}: choose {', '.join(GALLERIES)}")
    frames = read_frames(root, split, faults)
    if split == "train":
        identities = _read_train(root, frames, faults)
        return PersonSearchSet(NAME, root, split, frames.images(CAMERA), (), identities)
    queries = _Queries(root, frames, GALLERIES[gallery], faults).read()
    identities = tuple(sorted({query.pid for query in queries}))
    return PersonSearchSet(NAME, root, split, frames.images(CAMERA), queries, identities)


def gallery_file(root: Path, gallery: str) -> Path:
    """Return the file that a gallery of `GALLERIES` is read from."""
    return root / "annotation" / GALLERIES[gallery].file


def _read_train(root: Path, frames: Frames, faults: Faults) -> tuple[int, ...]:
    """Attach the training identities; return their places in the list, from 1."""
    path = root / "annotation" / _TRAIN

    def read(entry: tuple[int, Record]) -> int:
        row, record = entry
        where = f"Train, row {row}"
        for number, scene in enumerate(members(record, "scene", path, where), 1):
            _attach(frames, read_scene(scene, path, f"{where}, scene {number}"), row - 1, faults)
        return row

    rows = faults.each(read, enumerate(read_records(path, "Train"), 1))
    return tuple(range(1, 1 + max(rows, default=0)))


def _attach(frames: Frames, scene: Scene, identity: int, faults: Faults) -> None:
    """Give a person an identity; a scene that does not fit is a flaw."""
    if scene.box is None:
        raise FaultError(scene.file, scene.where, "want x, y, w, h of the person, got none")
    reason = frames.attach(scene.name, scene.box, identity)
    if reason:
        faults.flaw(scene.file, scene.where, reason)


class _Queries:
    """Reads a list of queries, each with its gallery."""

    def __init__(self, root: Path, frames: Frames, wanted: _QueryList, faults: Faults) -> None:
        self._path = root / "annotation" / wanted.file
        self._frames, self._wanted, self._faults = frames, wanted, faults
        self._places = {name: place for place, name in enumerate(frames.boxes)}

    def read(self) -> tuple[QueryRecord, ...]:
        entries = enumerate(read_records(self._path, self._wanted.variable), 1)
        return self._faults.each(self._query, entries)

    def _query(self, entry: tuple[int, Record]) -> QueryRecord:
        row, record = entry
        where = f"{self._wanted.variable}, row {row}"
        heads = members(record, "Query", self._path, where)
        if len(heads) != 1:
            raise FaultError(self._path, where, f"want one Query, got {len(heads)}")
        head = read_scene(heads[0], self._path, f"{where}, Query")
        place = self._place(head)
        _attach(self._frames, head, row, self._faults)
        gallery, truth = self._gallery(record, where, row)
        if self._wanted.with_all_frames:
            gallery = self._with_the_rest(gallery, place)
        assert head.box is not None
        path, box = self._frames.path(head.name), corners(head.box)
        return QueryRecord(head.name, path, CAMERA, box, row, gallery, truth)

    def _gallery(
        self, record: Record, where: str, row: int
    ) -> tuple[NDArray[np.int32], dict[int, NDArray[np.float32]]]:
        """Return the places of the listed frames, and where the person is."""
        truth: dict[int, list[NDArray[np.float32]]] = {}

        def read(entry: tuple[int, Record]) -> int:
            number, listed = entry
            scene = read_scene(listed, self._path, f"{where}, Gallery {number}")
            place = self._place(scene)
            if scene.box is not None:
                _attach(self._frames, scene, row, self._faults)
                truth.setdefault(place, []).append(corners(scene.box))
            return place

        listed = members(record, "Gallery", self._path, where)
        places = self._faults.each(read, enumerate(listed, 1))
        boxes = {place: np.stack(found) for place, found in truth.items()}
        return np.array(places, np.int32), boxes

    def _place(self, scene: Scene) -> int:
        place = self._places.get(scene.name)
        if place is None:
            text = f"{scene.name!r} is not one of the test frames in pool.mat"
            raise FaultError(scene.file, scene.where, text)
        return place

    def _with_the_rest(self, listed: NDArray[np.int32], query: int) -> NDArray[np.int32]:
        rest = np.ones(len(self._places), bool)
        rest[listed] = False
        rest[query] = False
        return np.concatenate([listed, np.flatnonzero(rest).astype(np.int32)])
