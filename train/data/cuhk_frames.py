"""The pictures of CUHK-SYSU and the persons in them, from ``Images.mat`` and ``pool.mat``."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from train.data.faults import FaultError, Faults, NoSplitError
from train.data.mat5 import Record
from train.data.matfile import as_box, as_name, member, members, read_names, read_records
from train.data.records import UNLABELLED, ImageRecord
from train.errors import DatasetError

Boxes = NDArray[np.int32]
"""Boxes x, y, w, h in pixels, (N, 4), or one of them, (4,)."""


class Scene(NamedTuple):
    """A picture, and where a person is in it: None when the person is not."""

    name: str
    box: Boxes | None
    file: Path
    where: str


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The pictures of a split by name, in order: boxes (N, 4) and identities int64 (N,)."""

    root: Path
    boxes: dict[str, Boxes]
    ids: dict[str, NDArray[np.int64]]

    def path(self, name: str) -> Path:
        """Return where a picture lies."""
        return picture_path(self.root, name)

    def attach(self, name: str, box: Boxes, identity: int) -> str:
        """Give the person with exactly this box an identity; return why it cannot be done."""
        if name not in self.boxes:
            return f"{name!r} is not a picture of this split"
        rows = np.flatnonzero((self.boxes[name] == box).all(axis=1))
        if not len(rows):
            return f"{name!r} has no person with the box x y w h = {tuple(box.tolist())}"
        self.ids[name][rows[0]] = identity
        return ""

    def images(self, camera: int) -> tuple[ImageRecord, ...]:
        """Return the pictures as records."""
        return tuple(
            ImageRecord(self.path(name), name, camera, corners(boxes), self.ids[name])
            for name, boxes in self.boxes.items()
        )


def corners(boxes: Boxes) -> NDArray[np.float32]:
    """Return float32 x1 y1 x2 y2 of boxes x y w h (..., 4)."""
    wide = boxes.astype(np.int64)
    return np.concatenate([wide[..., :2], wide[..., :2] + wide[..., 2:]], -1).astype(np.float32)


def picture_path(root: Path, name: str) -> Path:
    """Return where a picture lies."""
    return root / "Image" / "SSM" / name


def read_frames(root: Path, split: str, faults: Faults) -> Frames:
    """Return the pictures of a split: in the order of the pool, or of ``Images.mat``.

    Raises:
        DatasetError: this is another kind of folder, or a file cannot be used.
    """
    for folder in (root / "Image" / "SSM", root / "annotation"):
        if not folder.is_dir():
            raise DatasetError(f"{root} is not a CUHK-SYSU data set: no folder {folder}")
    pictures = _read_pictures(root / "annotation" / "Images.mat", faults)
    pool_file = root / "annotation" / "pool.mat"
    pool = _read_pool(pool_file, pictures, faults)
    names = pool if split == "test" else [name for name in pictures if name not in pool]
    if not names:
        raise NoSplitError(pool_file, "", f"the {split} split has no frames")
    faults.each(lambda name: _require_picture(root, pictures[name]), names)
    boxes = {name: pictures[name].boxes for name in names}
    ids = {name: np.full(len(found), UNLABELLED, np.int64) for name, found in boxes.items()}
    return Frames(root, boxes, ids)


class _Picture(NamedTuple):
    name: str
    boxes: Boxes
    file: Path
    where: str


def _read_pictures(path: Path, faults: Faults) -> dict[str, _Picture]:
    found: dict[str, _Picture] = {}

    def read(entry: tuple[int, Record]) -> None:
        row, record = entry
        where = f"Img, row {row}"
        name = as_name(member(record, "imname", path, where), path, where)
        if name in found:
            raise FaultError(path, where, f"picture {name!r} is listed twice")
        found[name] = _Picture(name, _read_boxes(record, path, where, faults), path, where)

    faults.each(read, enumerate(read_records(path, "Img"), 1))
    return found


def _read_boxes(record: Record, path: Path, where: str, faults: Faults) -> Boxes:
    def read(entry: tuple[int, Record]) -> Boxes:
        number, person = entry
        place = f"{where}, box {number}"
        box = as_box(member(person, "idlocate", path, place), path, place)
        if box is None:
            raise FaultError(path, place, "want x, y, w, h, got none")
        if box[2] <= 0 or box[3] <= 0:
            faults.remark(path, place, "box without area, left out as the data set's rules say")
        return box

    people = members(record, "box", path, where)
    boxes = np.array(faults.each(read, enumerate(people, 1)), np.int32).reshape(-1, 4)
    return boxes[(boxes[:, 2] > 0) & (boxes[:, 3] > 0)]


def _read_pool(path: Path, pictures: dict[str, _Picture], faults: Faults) -> dict[str, int]:
    """Return the names of the test frames, with their rows."""

    def read(entry: tuple[int, str]) -> tuple[str, int]:
        row, name = entry
        if name not in pictures:
            raise FaultError(path, f"pool, row {row}", f"frame {name!r} is not in Images.mat")
        return name, row

    return dict(faults.each(read, read_names(path, "pool", faults)))


def _require_picture(root: Path, picture: _Picture) -> None:
    path = picture_path(root, picture.name)
    if not path.is_file():
        text = f"picture {picture.name!r} has no image {path}"
        raise FaultError(picture.file, picture.where, text)


def read_scene(record: Record, path: Path, where: str) -> Scene:
    """Return a structure of ``imname`` and ``idlocate``.

    Raises:
        FaultError: a field is missing or of another kind, or the box has no area.
    """
    name = as_name(member(record, "imname", path, where), path, where)
    box = as_box(member(record, "idlocate", path, where), path, where)
    if box is not None and (box[2] <= 0 or box[3] <= 0):
        raise FaultError(path, where, f"box x y w h = {tuple(box.tolist())} has no area")
    return Scene(name, box, path, where)
