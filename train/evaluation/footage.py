"""Annotated frames of a video: COCO json whose images have a ``frame`` and no file of their own.

``frame`` is the number of the decoded frame from 0, ``width`` and ``height`` its size as shown;
``iscrowd: 1`` marks a region to ignore. All annotations are persons.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engines.orientation import rotate
from train.data.boxes import Box, read_box
from train.data.cocofile import Fields, number, read_json
from train.data.faults import STRICT, FaultError
from train.data.records import IGNORED, UNLABELLED, ImageRecord
from train.errors import DatasetError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Annotated frames of a video, ascending: frame ``numbers[i]`` is ``images[i]``.

    The path of each image is the video itself; ``sizes_hw`` are those annotated, in pixels.
    """

    video: Path
    images: tuple[ImageRecord, ...]
    numbers: tuple[int, ...]
    sizes_hw: tuple[tuple[int, int], ...]

    def pictures(self) -> Iterator[Pixels]:
        """Yield the annotated frames, RGB uint8 (H, W, 3), upright, in order.

        Raises:
            DatasetError: the video cannot be decoded, ends before the last annotated frame, or
                its frames are not of the annotated size.
        """
        place = 0
        for index, frame in enumerate(_decoded(self.video)):
            if index == self.numbers[place]:
                yield self._checked(_upright(frame), place)
                place += 1
                if place == len(self.numbers):
                    return
        raise DatasetError(
            f"{self.video} ends before frame {self.numbers[place]}, which is annotated"
        )

    def _checked(self, picture: Pixels, place: int) -> Pixels:
        wanted, got = self.sizes_hw[place], picture.shape[:2]
        if wanted != got:
            raise DatasetError(
                f"{self.video}: frame {self.numbers[place]} is {got[1]} x {got[0]} pixels, "
                f"annotated as {wanted[1]} x {wanted[0]}"
            )
        return picture


def _decoded(video: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise DatasetError(f"{video} holds no video")
            yield from container.decode(container.streams.video[0])
    except (av.FFmpegError, OSError) as error:
        raise DatasetError(f"cannot decode {video}: {error.strerror or error}") from error


def _upright(frame: av.VideoFrame) -> Pixels:
    return rotate(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), frame.rotation)


def clip_images(video: Path, annotations: Path) -> Clip:
    """Return the annotated frames of a video.

    Raises:
        DatasetError: a file is missing, the annotations are not COCO json, have no images or
            one frame twice, or an entry cannot be used; the message names the entry.
    """
    if not video.is_file():
        raise DatasetError(f"cannot read {video}: no such file")
    entries = sorted(_entries(annotations), key=lambda entry: entry.number)
    if not entries:
        raise FaultError(annotations, "images", "the list is empty")
    return Clip(
        video,
        tuple(_record(video, entry) for entry in entries),
        tuple(entry.number for entry in entries),
        tuple(entry.hw for entry in entries),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """An annotated frame and its boxes, each with whether it is to be ignored."""

    number: int
    hw: tuple[int, int]
    boxes: list[tuple[Box, bool]] = field(default_factory=list)


def _entries(path: Path) -> list[_Entry]:
    content = read_json(path)
    entries: dict[object, _Entry] = {}
    numbers: set[int] = set()
    for where, fields in _listed(content, "images", path):
        entry = _entry(fields, path, where)
        if fields.get("id") in entries or entry.number in numbers:
            raise FaultError(path, where, f"frame {entry.number} or its id is there twice")
        entries[fields.get("id")] = entry
        numbers.add(entry.number)
    for where, fields in _listed(content, "annotations", path):
        image = fields.get("image_id")
        if not isinstance(image, int | str) or image not in entries:
            raise FaultError(path, where, f"image_id {image!r} is no id of images")
        entries[image].boxes.append(_box(fields, entries[image].hw, path, where))
    return list(entries.values())


def _listed(content: Fields, name: str, path: Path) -> Iterator[tuple[str, Fields]]:
    """Yield the objects of a list, each with its place in the file."""
    listed = content.get(name)
    if not isinstance(listed, list):
        raise FaultError(path, name, "missing, or not a list")
    for index, fields in enumerate(listed):
        where = f"{name}[{index}]"
        if not isinstance(fields, dict) or not isinstance(fields.get("id"), int | str):
            raise FaultError(path, where, "want an object with an id")
        yield f"{where} (id {fields['id']})", fields


def _entry(fields: Fields, path: Path, where: str) -> _Entry:
    values = [fields.get(name) for name in ("frame", "height", "width")]
    for name, value, least in zip(("frame", "height", "width"), values, (0, 1, 1), strict=True):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise FaultError(path, where, f"{name} is {value!r}, want an integer from {least}")
    index, height, width = (int(value) for value in values if value is not None)
    return _Entry(index, (height, width))


def _box(fields: Fields, hw: tuple[int, int], path: Path, where: str) -> tuple[Box, bool]:
    bbox = fields.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise FaultError(path, where, f"bbox is {bbox!r}, want [x, y, w, h]")
    xywh = [number(value, path, where, "bbox") for value in bbox]
    return read_box(xywh, path, where, STRICT, hw), bool(fields.get("iscrowd"))


def _record(video: Path, entry: _Entry) -> ImageRecord:
    boxes = np.array([box for box, _ in entry.boxes], np.float32).reshape(-1, 4)
    ids = [IGNORED if ignored else UNLABELLED for _, ignored in entry.boxes]
    name = f"{video.stem} frame {entry.number}"
    return ImageRecord(video, name, 0, boxes, np.array(ids, np.int64))
