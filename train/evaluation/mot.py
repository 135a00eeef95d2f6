"""Read and write tracks: MOTChallenge (a file per camera) and AI City (one file for all).

MOTChallenge: ``frame,id,x,y,w,h,confidence,-1,-1,-1``; its ground truth has nine columns,
``frame,id,x,y,w,h,counts,class,visibility``. AI City: ``camera id frame x y w h xworld yworld``.
Frames count from 1 in both. Lengths are pixels, world coordinates are what the data set says.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.errors import DatasetError

_PEDESTRIAN = 1
_NEITHER = (2, 7, 8, 12)
"""On a vehicle, standing like a statue, distractor, reflection."""
_NO_WORLD = (-1.0, -1.0)
_MOT_FIELDS = ("frame", "id", "x", "y", "w", "h", "confidence", "x3d", "y3d", "z3d")
_MOT_TRUTH_FIELDS = (*_MOT_FIELDS[:6], "counts", "class", "visibility")
_CITY_FIELDS = ("camera", "id", "frame", "x", "y", "w", "h", "xworld", "yworld")


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One box of one track: top left ``x`` ``y``, size ``w`` ``h``; ``frame`` counts from 1."""

    camera: int
    frame: int
    track: int
    x: float
    y: float
    w: float
    h: float
    confidence: float = 1.0
    world: tuple[float, float] = _NO_WORLD

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The box as x1 y1 x2 y2."""
        return (self.x, self.y, self.x + self.w, self.y + self.h)


def read_mot(path: Path, *, camera: int = 1) -> tuple[TrackedBox, ...]:
    """Return the tracks of one camera's MOTChallenge file.

    Of a ground truth (nine columns) only pedestrians that count are returned.

    Raises:
        DatasetError: the file is missing, or a row cannot be used.
    """
    rows = _rows(path, ",", {len(f): f for f in (_MOT_FIELDS, _MOT_TRUTH_FIELDS)})
    return tuple(_mot_box(camera, row) for row in rows if _counts(row))


def read_mot_truth(path: Path) -> tuple[tuple[TrackedBox, ...], tuple[TrackedBox, ...]]:
    """Return the persons of a ground truth that count, and the boxes that are neither.

    Nobody is asked to find the second, and finding them is no mistake (MOTChallenge): pedestrians
    that do not count, people on vehicles, standing like statues, distractors, reflections.

    Raises:
        DatasetError: the file is missing, or a row cannot be used.
    """
    rows = _rows(path, ",", {len(_MOT_TRUTH_FIELDS): _MOT_TRUTH_FIELDS})
    counted = tuple(_mot_box(1, row) for row in rows if _counts(row))
    neither = (row for row in rows if not _counts(row) and row[7] in (_PEDESTRIAN, *_NEITHER))
    return counted, tuple(_mot_box(1, row) for row in neither)


def _counts(row: Sequence[float]) -> bool:
    if len(row) != len(_MOT_TRUTH_FIELDS):
        return True
    return row[6] != 0 and row[7] == _PEDESTRIAN


def _mot_box(camera: int, row: Sequence[float]) -> TrackedBox:
    frame, track, x, y, w, h, confidence = row[:7]
    return TrackedBox(camera, int(frame), int(track), x, y, w, h, confidence)


def write_mot(path: Path, boxes: Iterable[TrackedBox]) -> None:
    """Write the tracks of one camera as MOTChallenge rows, by frame and identity.

    Raises:
        DatasetError: the boxes come from several cameras, or the file cannot be written.
    """
    ordered = sorted(boxes, key=lambda box: (box.frame, box.track))
    cameras = sorted({box.camera for box in ordered})
    if len(cameras) > 1:
        raise DatasetError(f"cannot write {path}: one file a camera, got cameras {cameras}")
    _write(path, (_mot_line(box) for box in ordered))


def _mot_line(box: TrackedBox) -> str:
    numbers = (box.x, box.y, box.w, box.h, box.confidence)
    return ",".join([str(box.frame), str(box.track), *map(_text, numbers), "-1", "-1", "-1"])


def read_ai_city(path: Path) -> tuple[TrackedBox, ...]:
    """Return the tracks of all cameras of an AI City file.

    Raises:
        DatasetError: the file is missing, or a row cannot be used.
    """
    return tuple(_city_box(row) for row in _rows(path, None, {len(_CITY_FIELDS): _CITY_FIELDS}))


def _city_box(row: Sequence[float]) -> TrackedBox:
    camera, track, frame, x, y, w, h, xworld, yworld = row
    world = (xworld, yworld)
    return TrackedBox(int(camera), int(frame), int(track), x, y, w, h, world=world)


def write_ai_city(path: Path, boxes: Iterable[TrackedBox]) -> None:
    """Write tracks of any cameras as AI City rows, by camera, frame and identity.

    Raises:
        DatasetError: the file cannot be written.
    """
    ordered = sorted(boxes, key=lambda box: (box.camera, box.frame, box.track))
    _write(path, (_city_line(box) for box in ordered))


def _city_line(box: TrackedBox) -> str:
    numbers = (box.x, box.y, box.w, box.h, *box.world)
    return " ".join([str(box.camera), str(box.track), str(box.frame), *map(_text, numbers)])


def _text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _rows(
    path: Path, separator: str | None, layouts: dict[int, tuple[str, ...]]
) -> list[tuple[float, ...]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DatasetError(f"cannot read {path}: {reason}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return [
        _row(line.strip().split(separator), layouts, f"{path}: line {number}")
        for number, line in numbered
    ]


def _row(words: list[str], layouts: dict[int, tuple[str, ...]], where: str) -> tuple[float, ...]:
    fields = layouts.get(len(words))
    if fields is None:
        wanted = " or ".join(map(str, sorted(layouts)))
        raise DatasetError(f"{where}: want {wanted} columns, got {len(words)}")
    return tuple(
        _value(field, word.strip(), where) for field, word in zip(fields, words, strict=True)
    )


_CHECKS: dict[str, tuple[Callable[[float], bool], str]] = {
    "frame": (lambda value: value.is_integer() and value >= 1, "an integer of 1 or more"),
    "camera": (float.is_integer, "an integer"),
    "id": (float.is_integer, "an integer"),
    "w": (lambda value: value > 0, "more than 0"),
    "h": (lambda value: value > 0, "more than 0"),
}


def _value(field: str, word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(f"{where}: {field} is {word!r}, want a number")
    holds, wanted = _CHECKS.get(field, (math.isfinite, "a number"))
    if not holds(value):
        raise DatasetError(f"{where}: {field} is {word!r}, want {wanted}")
    return value


def _write(path: Path, lines: Iterable[str]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DatasetError(f"cannot write {path}: {error.strerror}") from error
