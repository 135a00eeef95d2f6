"""Whether the pictures of a data set can be read, and its boxes lie on them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from engines.errors import PictureError
from engines.pictures import read_picture
from train.data.faults import Fault, SizeClaim
from train.data.picture_size import picture_hw
from train.data.records import ImageRecord

_TOLERANCE_PX = 1.0

Step = Callable[[int, int], None]
"""Is told how many of how many pictures were looked at."""


class PictureCheck:
    """Goes through the pictures of a data set, each file once.

    ``pixels``: decode them whole; else only their headers are read, and damage behind the header
    is not found. ``faults`` and ``over_edge`` (boxes that reach over the edge of their picture)
    grow as pictures are looked at.
    """

    def __init__(self, *, pixels: bool) -> None:
        self.faults: list[Fault] = []
        self.over_edge = 0
        self._pixels = pixels
        self._sizes: dict[Path, tuple[int, int] | None] = {}

    def look(self, images: Sequence[ImageRecord], step: Step) -> None:
        """Look at the pictures of some records. Missing files are passed over."""
        for number, image in enumerate(images, 1):
            size = self._size(image.path)
            if size is not None:
                self.faults += self._boxes(image, size)
            step(number, len(images))

    def compare(self, claims: Sequence[SizeClaim]) -> None:
        """Compare sizes as annotated with those of the pictures that were looked at."""
        for claim in claims:
            size = self._sizes.get(claim.picture)
            if size is not None and size != claim.hw:
                text = f"says {_pixels(claim.hw)}, but {claim.picture} has {_pixels(size)}"
                self.faults.append(Fault(claim.file, claim.where, text))

    def _size(self, path: Path) -> tuple[int, int] | None:
        if path not in self._sizes:
            self._sizes[path] = self._measured(path) if path.is_file() else None
        return self._sizes[path]

    def _measured(self, path: Path) -> tuple[int, int] | None:
        try:
            if not self._pixels:
                return picture_hw(path)
            height, width = read_picture(path).shape[:2]
        except PictureError as error:
            reason = str(error).removeprefix(f"cannot read picture {path}: ")
            self.faults.append(Fault(path, "", f"cannot be decoded: {reason}"))
            return None
        return height, width

    def _boxes(self, image: ImageRecord, size: tuple[int, int]) -> Iterator[Fault]:
        height, width = size
        corner = image.boxes[:, 2:] - np.array([width, height], np.float32)
        over = (corner > _TOLERANCE_PX).any(axis=1) | (image.boxes < -_TOLERANCE_PX).any(axis=1)
        outside = (image.boxes[:, 0] >= width) | (image.boxes[:, 1] >= height)
        self.over_edge += int((over & ~outside).sum())
        for row in np.flatnonzero(outside):
            edges = ", ".join(f"{edge:g}" for edge in image.boxes[row])
            where = f"box x1 y1 x2 y2 = ({edges}), identity {image.ids[row]}"
            yield Fault(image.path, where, f"lies outside the picture of {_pixels(size)}")


def _pixels(hw: tuple[int, int]) -> str:
    return f"{hw[1]} x {hw[0]} pixels"
