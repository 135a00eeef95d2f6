"""Read own data as MOTChallenge folders whose identities are shared by all cameras.

``<split>/<camera>/gt/gt.txt`` and ``<split>/<camera>/seqinfo.ini`` (``imDir``, ``imExt``,
``imWidth``, ``imHeight``), pictures ``<split>/<camera>/<imDir>/<frame number><imExt>``; split is
``train`` or ``test``. Cameras are numbered from 1 in order of the alphabet, over both splits.

Rows of nine columns are ``frame,id,x,y,w,h,counts,class,visibility``: class 1 is a person, and
one whom ``counts`` 0 leaves out is a person without identity (as `train.synthetic` writes);
classes 2, 7, 8 and 12 (people on vehicles, standing like statues, distractors, reflections) are
neither persons nor background; of other classes nothing is read. Rows of ten columns are
``frame,id,x,y,w,h,confidence,x,y,z``; confidence 0 is neither person nor background. An id of -1
is a person without identity. The queries of the test split are the largest box of each identity
at each camera, of identities in two pictures or more.
"""

import configparser
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from train.data.boxes import Box, read_box, read_identity
from train.data.faults import STRICT, FaultError, Faults, NoSplitError, SizeClaim, UnreadableError
from train.data.records import (
    IGNORED,
    SPLITS,
    UNLABELLED,
    ImageRecord,
    PersonSearchSet,
    class_numbers,
    record_of,
)
from train.data.views import largest_views
from train.errors import DatasetError

NAME = "MOTChallenge"

_TRUTH_COLUMNS, _TRACK_COLUMNS = 9, 10
_FIELDS = ("frame", "id", "x", "y", "w", "h", "counts", "class", "visibility", "z")
_PERSON = 1
_NEITHER = frozenset({2, 7, 8, 12})
_NO_IDENTITY = -1


def load_mot(root: Path, split: str) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of a folder of MOTChallenge cameras.

    Raises:
        DatasetError: no such split, it is empty, or a file is missing or damaged; the message
            names the file and the line.
    """
    return read_mot_set(root, split, STRICT)


def read_mot_set(root: Path, split: str, faults: Faults) -> PersonSearchSet:
    """Return a split as `load_mot` does; what is wrong goes to ``faults``."""
    if split not in SPLITS:
        raise DatasetError(f"{NAME} data has the splits {' and '.join(SPLITS)}, not {split!r}")
    folders = camera_folders(root, split)
    if not folders:
        raise NoSplitError(root / split, "", "no camera folder with gt/gt.txt")
    names = sorted({folder.name for part in SPLITS for folder in camera_folders(root, part)})
    numbers = {name: number for number, name in enumerate(names, 1)}
    cameras = faults.each(lambda f: _read_camera(f, numbers[f.name], faults), folders)
    images = tuple(image for camera in cameras for image in camera)
    known = {pid for image in images for pid in image.ids.tolist()} - {UNLABELLED, IGNORED}
    identities = tuple(sorted(known))
    if split == "train":
        return PersonSearchSet(NAME, root, split, class_numbers(images, identities), (), identities)
    return PersonSearchSet(NAME, root, split, images, largest_views(images), identities)


def camera_folders(root: Path, split: str) -> tuple[Path, ...]:
    """Return the folders of a split's cameras, by name."""
    return tuple(sorted(path.parent.parent for path in root.glob(f"{split}/*/gt/gt.txt")))


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What ``seqinfo.ini`` tells."""

    pictures: Path
    ending: str
    hw: tuple[int, int]


def _read_sequence(folder: Path) -> _Sequence:
    path = folder / "seqinfo.ini"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UnreadableError(path, "no such file") from None
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise UnreadableError(path, " ".join(str(error).split())) from error
    if "Sequence" not in parser:
        raise FaultError(path, "", "no section [Sequence]")
    section = parser["Sequence"]
    size = [_pixels(path, field, section.get(field)) for field in ("imHeight", "imWidth")]
    pictures = folder / section.get("imDir", "img1")
    return _Sequence(pictures, section.get("imExt", ".jpg"), (size[0], size[1]))


def _pixels(path: Path, field: str, word: str | None) -> int:
    if word is None or not (word.isascii() and word.isdigit() and int(word)):
        raise FaultError(path, "[Sequence]", f"{field} is {word!r}, want pixels")
    return int(word)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    frame: int
    box: Box
    identity: int


def _read_camera(folder: Path, camera: int, faults: Faults) -> tuple[ImageRecord, ...]:
    sequence = _read_sequence(folder)
    pictures = _numbered_pictures(sequence)
    first = next(iter(pictures.values()), None)
    if first is None:
        raise FaultError(sequence.pictures, "", f"no pictures <number>{sequence.ending}")
    faults.claim(SizeClaim(first, sequence.hw, folder / "seqinfo.ini", "[Sequence]"))
    path = folder / "gt" / "gt.txt"
    rows = _Rows(path, sequence, pictures, faults).read()
    persons: dict[int, list[tuple[Box, int]]] = defaultdict(list)
    for row in rows:
        persons[row.frame].append((row.box, row.identity))
    return tuple(
        record_of(picture, f"{folder.name}/{picture.stem}", camera, persons[frame])
        for frame, picture in pictures.items()
    )


def _numbered_pictures(sequence: _Sequence) -> dict[int, Path]:
    """Return the pictures of a camera by frame number, in order."""
    numbered: dict[int, Path] = {}
    for path in sorted(sequence.pictures.glob(f"*{sequence.ending}")):
        if path.stem.isascii() and path.stem.isdigit():
            other = numbered.setdefault(int(path.stem), path)
            if other != path:
                raise FaultError(path, "", f"is the same frame as {other}")
    return dict(sorted(numbered.items()))


class _Rows:
    """Reads the rows of one camera."""

    def __init__(
        self, path: Path, sequence: _Sequence, pictures: dict[int, Path], faults: Faults
    ) -> None:
        self._path, self._sequence, self._pictures = path, sequence, pictures
        self._faults = faults
        self._seen: dict[tuple[int, int], int] = {}

    def read(self) -> list[_Row]:
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableError(self._path, str(error)) from error
        entries = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        return [row for row in self._faults.each(self._row, entries) if row is not None]

    def _row(self, entry: tuple[int, str]) -> _Row | None:
        line, text = entry
        where = f"line {line}"
        values = self._values(text.split(","), where)
        identity = self._identity(values, where)
        if identity is None:
            return None
        frame = self._frame(values[0], where)
        box = read_box(values[2:6], self._path, where, self._faults, self._sequence.hw)
        if identity >= 0 and self._seen.setdefault((frame, identity), line) != line:
            text = f"id {identity} is in frame {frame} already, line {self._seen[frame, identity]}"
            raise FaultError(self._path, where, text)
        return _Row(line, frame, box, identity)

    def _values(self, words: Sequence[str], where: str) -> list[float]:
        if len(words) not in (_TRUTH_COLUMNS, _TRACK_COLUMNS):
            text = f"want {_TRUTH_COLUMNS} or {_TRACK_COLUMNS} columns, got {len(words)}"
            raise FaultError(self._path, where, text)
        return [
            self._number(field, word.strip(), where)
            for field, word in zip(_FIELDS, words, strict=False)
        ]

    def _number(self, field: str, word: str, where: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise FaultError(self._path, where, f"{field} is {word!r}, want a number") from None

    def _identity(self, values: Sequence[float], where: str) -> int | None:
        """Return the identity of a row, or None when nothing is to be read from it."""
        counts = values[6] != 0
        if len(values) == _TRUTH_COLUMNS and values[7] != _PERSON:
            return IGNORED if values[7] in _NEITHER else None
        if not counts:
            return UNLABELLED if len(values) == _TRUTH_COLUMNS else IGNORED
        if values[1] == _NO_IDENTITY:
            return UNLABELLED
        return read_identity(values[1], self._path, where, "id")

    def _frame(self, value: float, where: str) -> int:
        if value not in self._pictures:
            text = f"frame {value:g} has no picture in {self._sequence.pictures}"
            raise FaultError(self._path, where, text)
        return int(value)
