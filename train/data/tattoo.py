"""Read tattoo search (WebTattoo) from CSV, as that data set has no published layout.

``train.csv`` and ``test.csv`` lie in the root, the pictures in ``train/`` and ``test/`` beside
them. The first line names the columns, in any order: ``image,class,x,y,w,h`` and, if wanted,
``role``. Each further line is a tattoo: ``image`` the picture's path in the folder of its split,
``class`` an integer of 0 or more (the identity; empty: without one), then the box in pixels from
the picture's top left. A picture without tattoos has one line with class and box empty.

``role`` matters in ``test.csv`` and is that of the whole picture: its tattoos are each a
``query``, or it belongs to the ``gallery`` that all queries are searched in, or neither (empty).
Without the column every tattoo with a class is a query, and the scoring chooses the frames.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.data.boxes import Box, read_box, read_identity
from train.data.faults import STRICT, FaultError, Faults, NoSplitError, UnreadableError
from train.data.records import (
    SPLITS,
    UNLABELLED,
    ImageRecord,
    PersonSearchSet,
    QueryRecord,
    class_numbers,
    record_of,
)
from train.errors import DatasetError

NAME = "WebTattoo"
ROLES = ("query", "gallery", "")

_BOX = ("x", "y", "w", "h")
_COLUMNS = ("image", "class", *_BOX)
_CAMERA = 0


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file; ``box`` is None in a picture without tattoos."""

    line: int
    image: str
    identity: int
    box: Box | None
    role: str


def load_tattoo(root: Path, split: str) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of a folder with ``train.csv``, ``test.csv``.

    Raises:
        DatasetError: no such split, it is empty, or a file is missing or damaged; the message
            names file and line.
    """
    return read_tattoo(root, split, STRICT)


def read_tattoo(root: Path, split: str, faults: Faults) -> PersonSearchSet:
    """Return a split as `load_tattoo` does; what is wrong goes to ``faults``."""
    if split not in SPLITS:
        raise DatasetError(f"{NAME} has the splits {' and '.join(SPLITS)}, not {split!r}")
    path = root / f"{split}.csv"
    if not path.is_file():
        raise NoSplitError(path, "", "no such file")
    columns, rows = _read_rows(path, faults)
    if not rows:
        raise NoSplitError(path, "", f"the {split} split has no pictures")
    pictures = _by_picture(rows)
    faults.each(lambda found: _check_picture(path, root / split, found), pictures.values())
    images = tuple(_image(root / split, name, found) for name, found in pictures.items())
    identities = tuple(sorted({row.identity for row in rows} - {UNLABELLED}))
    if split == "train":
        return PersonSearchSet(NAME, root, split, class_numbers(images, identities), (), identities)
    queries = _queries(path, images, pictures, "role" in columns)
    return PersonSearchSet(NAME, root, split, images, queries, identities)


def _read_rows(path: Path, faults: Faults) -> tuple[tuple[str, ...], tuple[_Row, ...]]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(path, str(error)) from error
    lines = _lines(path, text)
    columns = tuple(word.strip() for word in next(lines, (1, []))[1])
    missing = [name for name in _COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in (*_COLUMNS, "role")]
    if missing or unknown or len(set(columns)) != len(columns):
        wanted = ",".join(_COLUMNS)
        raise FaultError(path, "line 1", f"want columns {wanted}[,role], got {','.join(columns)}")
    return columns, faults.each(lambda line: _row(path, columns, faults, *line), lines)


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty: number and fields."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise FaultError(path, f"line {reader.line_num}", f"not CSV ({error})") from error


def _row(path: Path, columns: Sequence[str], faults: Faults, line: int, fields: list[str]) -> _Row:
    where = f"line {line}"
    if len(fields) != len(columns):
        raise FaultError(path, where, f"want {len(columns)} fields, got {len(fields)}")
    values = dict(zip(columns, (field.strip() for field in fields), strict=True))
    role = values.get("role", "")
    if not values["image"]:
        raise FaultError(path, where, "image is empty")
    if role not in ROLES:
        raise FaultError(path, where, f"role is {role!r}, want query, gallery or nothing")
    identity = _identity(path, where, values["class"])
    box = _box(path, where, values, faults)
    if box is None and (identity != UNLABELLED or role == "query"):
        raise FaultError(path, where, "class or role query without a box")
    return _Row(line, values["image"], identity, box, role)


def _identity(path: Path, where: str, word: str) -> int:
    if not word:
        return UNLABELLED
    return read_identity(_number(path, where, "class", word), path, where, "class")


def _box(path: Path, where: str, values: Mapping[str, str], faults: Faults) -> Box | None:
    if not any(values[name] for name in _BOX):
        return None
    xywh = [_number(path, where, name, values[name]) for name in _BOX]
    return read_box(xywh, path, where, faults)


def _number(path: Path, where: str, field: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise FaultError(path, where, f"{field} is {word!r}, want a number") from None


def _by_picture(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    pictures: dict[str, list[_Row]] = {}
    for row in rows:
        pictures.setdefault(row.image, []).append(row)
    return pictures


def _check_picture(path: Path, folder: Path, rows: list[_Row]) -> None:
    """Raise when a picture is missing, or its lines contradict one another."""
    first, *others = rows
    if not (folder / first.image).is_file():
        raise FaultError(path, f"line {first.line}", f"no such picture {folder / first.image}")
    boxes = {first.box}
    for row in others:
        where = f"line {row.line}"
        if row.role != first.role:
            text = f"role {row.role!r}, but {first.role!r} in line {first.line} of the same picture"
            raise FaultError(path, where, text)
        if row.box in boxes or None in (row.box, first.box):
            raise FaultError(path, where, f"picture {row.image!r} has this box already, or none")
        boxes.add(row.box)


def _image(folder: Path, name: str, rows: Sequence[_Row]) -> ImageRecord:
    found = [(row.box, row.identity) for row in rows if row.box is not None]
    return record_of(folder / name, name, _CAMERA, found)


def _queries(
    path: Path,
    images: Sequence[ImageRecord],
    pictures: Mapping[str, Sequence[_Row]],
    with_roles: bool,
) -> tuple[QueryRecord, ...]:
    roles = [rows[0].role for rows in pictures.values()]
    gallery = np.flatnonzero([role == "gallery" for role in roles]).astype(np.int32)
    queries = tuple(
        QueryRecord(image.name, image.path, _CAMERA, box, int(pid), gallery if with_roles else None)
        for image, role in zip(images, roles, strict=True)
        for box, pid in zip(image.boxes, image.ids, strict=True)
        if pid != UNLABELLED and (role == "query" or not with_roles)
    )
    if with_roles and (not queries or not len(gallery)):
        raise FaultError(path, "role", f"{len(queries)} queries, {len(gallery)} gallery pictures")
    return queries
