"""Read PRW (Person Re-identification in the Wild) as it is published.

``frames/cXsY_NNNNNN.jpg``; ``frame_train.mat`` and ``frame_test.mat`` list a split;
``annotations/<frame>.jpg.mat`` holds rows of id, x, y, w, h in pixels (id -2: a person without
identity); ``ID_train.mat`` and ``ID_test.mat`` list identities; ``query_info.txt`` has a line
``pid x y w h frame`` for each query. Worlds of `train.synthetic` are written the same way.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.boxes import LARGEST_IDENTITY, LARGEST_PX
from train.data.faults import STRICT, FaultError, Faults, NoSplitError, UnreadableError
from train.data.matfile import read_names, read_numbers
from train.data.records import (
    SPLITS,
    UNLABELLED,
    ImageRecord,
    PersonSearchSet,
    QueryRecord,
    class_numbers,
)
from train.errors import DatasetError

QUERY_FILE = "query_info.txt"

_ANNOTATION_KEYS = ("box_new", "anno_file", "anno_previous")
_ROW_FIELDS = ("id", "x", "y", "w", "h")


@dataclass(frozen=True, slots=True)
class _SplitFiles:
    frames: str
    frames_key: str
    identities: str
    identities_key: str


_FILES = {
    "train": _SplitFiles("frame_train.mat", "img_index_train", "ID_train.mat", "ID_train"),
    "test": _SplitFiles("frame_test.mat", "img_index_test", "ID_test.mat", "ID_test2"),
}


def load_prw(root: Path, split: str) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of a PRW folder.

    Training identities become class numbers 0..n-1 in ascending order of the published ones; a
    training person whose identity is not in ``ID_train.mat`` counts as one without identity.

    Raises:
        DatasetError: no such split, the split is empty, or a file is missing or damaged; the
            message names the file, and the row, field and value where there are some.
    """
    return read_prw(root, split, STRICT)


def read_prw(root: Path, split: str, faults: Faults) -> PersonSearchSet:
    """Return a split as `load_prw` does; what is wrong goes to ``faults``."""
    if split not in _FILES:
        raise DatasetError(f"PRW has the splits {' and '.join(SPLITS)}, not {split!r}")
    _require_layout(root)
    files = _FILES[split]
    frames = root / files.frames
    names = read_frame_list(frames, files.frames_key, faults)
    if not names:
        raise NoSplitError(frames, "", f"the {split} split has no frames")
    identities = read_identities(root / files.identities, files.identities_key, faults)
    images = faults.each(lambda row: _read_image(root, row[1], frames, row[0], faults), names)
    if split == "train":
        images = class_numbers(images, identities)
    queries = read_queries(root, faults) if split == "test" else ()
    return PersonSearchSet("PRW", root, split, images, queries, identities)


def _require_layout(root: Path) -> None:
    for folder in (root, root / "frames", root / "annotations"):
        if not folder.is_dir():
            raise DatasetError(f"{root} is not a PRW data set: no folder {folder}")


def read_frame_list(path: Path, key: str, faults: Faults = STRICT) -> tuple[tuple[int, str], ...]:
    """Return the frames in a split's list: row and name, without ``.jpg``; may be empty.

    Raises:
        FaultError: the list cannot be read, or names a frame twice.
    """
    return tuple((row, name.removesuffix(".jpg")) for row, name in read_names(path, key, faults))


def read_identities(path: Path, key: str, faults: Faults = STRICT) -> tuple[int, ...]:
    """Return the identities of a list, each once, ascending.

    Raises:
        FaultError: the list cannot be read, or holds something that is no identity.
    """

    def read(entry: tuple[int, float]) -> int:
        row, value = entry
        if not _is_identity(value) or value == UNLABELLED:
            raise FaultError(path, f"{key}, row {row}", f"{value:g} is no identity")
        return int(value)

    values = read_numbers(path, key).ravel()
    return tuple(sorted(set(faults.each(read, enumerate(values, 1)))))


def _is_identity(value: float) -> bool:
    known = 0 <= value < LARGEST_IDENTITY and float(value).is_integer()
    return value == UNLABELLED or known


def camera_of(name: str, file: Path, where: str) -> int:
    """Return the camera number in a frame name (``c3s2_000151`` -> 3).

    Raises:
        FaultError: the name holds none; ``file`` and ``where`` are part of the message.
    """
    found = re.match(r"c(\d+)s", name)
    if found is None:
        raise FaultError(file, where, f"no camera in frame name {name!r}, want cXsY_NNNNNN")
    return int(found.group(1))


def _read_image(root: Path, name: str, file: Path, row: int, faults: Faults) -> ImageRecord:
    path = _frame_path(root, name, file, f"row {row}")
    camera = camera_of(name, file, f"row {row}")
    boxes, ids = read_annotation(root / "annotations" / f"{name}.jpg.mat", faults)
    return ImageRecord(path, name, camera, boxes, ids)


def _frame_path(root: Path, name: str, file: Path, where: str) -> Path:
    path = root / "frames" / f"{name}.jpg"
    if not path.is_file():
        raise FaultError(file, where, f"frame {name!r} has no image {path}")
    return path


def read_annotation(
    path: Path, faults: Faults = STRICT
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return boxes float32 (N, 4) xyxy and ids int64 (N,) of one frame.

    Negative corners become 0; boxes without width or height are left out.

    Raises:
        FaultError: the file cannot be read, or a row cannot be used.
    """
    rows = read_numbers(path, *_ANNOTATION_KEYS)
    if rows.size == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    if rows.ndim != 2 or rows.shape[1] != len(_ROW_FIELDS):
        raise FaultError(path, "", f"want rows of id, x, y, w, h, got shape {rows.shape}")
    usable = faults.each(lambda number: _checked(rows, number, path), range(len(rows)))
    rows = rows[np.array(usable, np.int64)]
    boxes = corners(rows[:, 1:])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    for number in np.flatnonzero(~keep):
        faults.flaw(path, f"row {usable[number] + 1}", "box without area in the picture")
    return boxes[keep], rows[keep, 0].astype(np.int64)


def _checked(rows: NDArray[np.float64], number: int, path: Path) -> int:
    where = f"row {number + 1}"
    for field, value in zip(_ROW_FIELDS, rows[number], strict=True):
        if not abs(value) < LARGEST_PX:
            raise FaultError(path, where, f"{field} is {value}")
    identity = rows[number, 0]
    if not _is_identity(identity):
        text = f"id is {identity:g}, want an integer of 0 or more, or -2"
        raise FaultError(path, where, text)
    return number


def corners(xywh: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return float32 x1 y1 x2 y2 of rows x y w h (..., 4); negative corners become 0."""
    boxes = np.concatenate([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], axis=-1)
    clipped: NDArray[np.float32] = np.maximum(boxes, 0).astype(np.float32)
    return clipped


def read_queries(root: Path, faults: Faults = STRICT) -> tuple[QueryRecord, ...]:
    """Return the queries of a PRW folder, in the order of the file; may be empty.

    Raises:
        FaultError: the file is missing, or a line cannot be used.
    """
    path = root / QUERY_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UnreadableError(path, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(path, str(error)) from error
    lines = [(row, line) for row, line in enumerate(text.splitlines(), 1) if line.strip()]
    return faults.each(lambda entry: _read_query(root, path, *entry), lines)


def _read_query(root: Path, file: Path, row: int, line: str) -> QueryRecord:
    words, where = line.split(), f"line {row}"
    if len(words) != 6:
        raise FaultError(file, where, f"want 'pid x y w h frame', got {line!r}")
    name = words[5].removesuffix(".jpg")
    pid, *xywh = (_number(word, file, where) for word in words[:5])
    if not _is_identity(pid) or pid == UNLABELLED:
        raise FaultError(file, where, f"pid is {words[0]!r}, want an integer of 0 or more")
    box = corners(np.array(xywh, np.float64))
    if box[2] <= box[0] or box[3] <= box[1]:
        box_words = " ".join(words[1:5])
        raise FaultError(file, where, f"box {box_words} has no area in the picture")
    path = _frame_path(root, name, file, where)
    return QueryRecord(name, path, camera_of(name, file, where), box, int(pid))


def _number(word: str, file: Path, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) < LARGEST_PX:
        raise FaultError(file, where, f"{word!r} is not a number")
    return value
