"""Read PRW (Person Re-identification in the Wild) as it is published.

``frames/cXsY_NNNNNN.jpg``; ``frame_train.mat`` and ``frame_test.mat`` list a split;
``annotations/<frame>.jpg.mat`` holds rows of id, x, y, w, h in pixels (id -2: a person without
identity); ``ID_train.mat`` and ``ID_test.mat`` list identities; ``query_info.txt`` has a line
``pid x y w h frame`` for each query. Worlds of `train.synthetic` are written the same way.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.matfile import read_numbers, read_strings
from train.data.records import UNLABELLED, ImageRecord, PersonSearchSet, QueryRecord
from train.errors import DatasetError

SPLITS = ("train", "test")
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
    if split not in _FILES:
        raise DatasetError(f"PRW has the splits {' and '.join(SPLITS)}, not {split!r}")
    _require_layout(root)
    files = _FILES[split]
    names = read_frame_list(root / files.frames, files.frames_key)
    if not names:
        raise DatasetError(f"{root / files.frames}: the {split} split has no frames")
    identities = read_identities(root / files.identities, files.identities_key)
    images = tuple(
        _read_image(root, name, f"{root / files.frames}: row {row}")
        for row, name in enumerate(names, 1)
    )
    if split == "train":
        images = _with_classes(images, identities)
    queries = read_queries(root) if split == "test" else ()
    return PersonSearchSet("PRW", root, split, images, queries, identities)


def _require_layout(root: Path) -> None:
    for folder in (root, root / "frames", root / "annotations"):
        if not folder.is_dir():
            raise DatasetError(f"{root} is not a PRW data set: no folder {folder}")


def read_frame_list(path: Path, key: str) -> tuple[str, ...]:
    """Return the names of the frames in a split's list, without ``.jpg``; may be empty.

    Raises:
        DatasetError: the list cannot be read, or names a frame twice.
    """
    names = tuple(name.removesuffix(".jpg") for name in read_strings(path, key))
    seen: set[str] = set()
    for row, name in enumerate(names, 1):
        if name in seen:
            raise DatasetError(f"{path}: {key}, row {row}: frame {name!r} is listed twice")
        seen.add(name)
    return names


def read_identities(path: Path, key: str) -> tuple[int, ...]:
    """Return the identities of a list, each once, ascending.

    Raises:
        DatasetError: the list cannot be read, or holds something that is no identity.
    """
    values = read_numbers(path, key).ravel()
    for row, value in enumerate(values, 1):
        if not _is_identity(value) or value == UNLABELLED:
            raise DatasetError(f"{path}: {key}, row {row}: {value:g} is no identity")
    return tuple(int(value) for value in np.unique(values))


def _is_identity(value: float) -> bool:
    return value == UNLABELLED or (value >= 0 and float(value).is_integer())


def camera_of(name: str, where: str) -> int:
    """Return the camera number in a frame name (``c3s2_000151`` -> 3).

    Raises:
        DatasetError: the name holds none; ``where`` (file, row) is part of the message.
    """
    found = re.match(r"c(\d+)s", name)
    if found is None:
        raise DatasetError(f"{where}: no camera in frame name {name!r}, want cXsY_NNNNNN")
    return int(found.group(1))


def _read_image(root: Path, name: str, where: str) -> ImageRecord:
    path = _frame_path(root, name, where)
    boxes, ids = read_annotation(root / "annotations" / f"{name}.jpg.mat")
    return ImageRecord(path, name, camera_of(name, where), boxes, ids)


def _frame_path(root: Path, name: str, where: str) -> Path:
    path = root / "frames" / f"{name}.jpg"
    if not path.is_file():
        raise DatasetError(f"{where}: frame {name!r} has no image {path}")
    return path


def read_annotation(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return boxes float32 (N, 4) xyxy and ids int64 (N,) of one frame.

    Negative corners become 0; boxes without width or height are left out.

    Raises:
        DatasetError: the file cannot be read, or a row cannot be used.
    """
    rows = read_numbers(path, *_ANNOTATION_KEYS)
    if rows.size == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    if rows.ndim != 2 or rows.shape[1] != len(_ROW_FIELDS):
        raise DatasetError(f"{path}: want rows of id, x, y, w, h, got shape {rows.shape}")
    for number, row in enumerate(rows, 1):
        _check_row(row, f"{path}: row {number}")
    boxes = corners(rows[:, 1:])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[keep], rows[keep, 0].astype(np.int64)


def _check_row(row: NDArray[np.float64], where: str) -> None:
    for field, value in zip(_ROW_FIELDS, row, strict=True):
        if not np.isfinite(value):
            raise DatasetError(f"{where}: {field} is {value}")
    if not _is_identity(row[0]):
        raise DatasetError(f"{where}: id is {row[0]:g}, want an integer of 0 or more, or -2")


def corners(xywh: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return float32 x1 y1 x2 y2 of rows x y w h (..., 4); negative corners become 0."""
    boxes = np.concatenate([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], axis=-1)
    clipped: NDArray[np.float32] = np.maximum(boxes, 0).astype(np.float32)
    return clipped


def _with_classes(
    images: tuple[ImageRecord, ...], identities: tuple[int, ...]
) -> tuple[ImageRecord, ...]:
    classes = {identity: number for number, identity in enumerate(identities)}
    return tuple(
        ImageRecord(
            image.path,
            image.name,
            image.camera,
            image.boxes,
            np.array([classes.get(int(i), UNLABELLED) for i in image.ids], np.int64),
        )
        for image in images
    )


def read_queries(root: Path) -> tuple[QueryRecord, ...]:
    """Return the queries of a PRW folder, in the order of the file; may be empty.

    Raises:
        DatasetError: the file is missing, or a line cannot be used.
    """
    path = root / QUERY_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise DatasetError(f"cannot read {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    lines = enumerate(text.splitlines(), 1)
    return tuple(
        _read_query(root, line, f"{path}: line {row}") for row, line in lines if line.strip()
    )


def _read_query(root: Path, line: str, where: str) -> QueryRecord:
    words = line.split()
    if len(words) != 6:
        raise DatasetError(f"{where}: want 'pid x y w h frame', got {line!r}")
    name = words[5].removesuffix(".jpg")
    pid, *xywh = (_number(word, where) for word in words[:5])
    if not _is_identity(pid) or pid == UNLABELLED:
        raise DatasetError(f"{where}: pid is {words[0]!r}, want an integer of 0 or more")
    box = corners(np.array(xywh, np.float64))
    if box[2] <= box[0] or box[3] <= box[1]:
        raise DatasetError(f"{where}: box {' '.join(words[1:5])} has no area in the picture")
    return QueryRecord(name, _frame_path(root, name, where), camera_of(name, where), box, int(pid))


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise DatasetError(f"{where}: {word!r} is not a number") from None
    if not np.isfinite(value):
        raise DatasetError(f"{where}: {word!r} is not a number")
    return value
