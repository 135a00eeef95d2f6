"""What every person-search data set is turned into.

Boxes are float32 x1 y1 x2 y2 in pixels of the picture, origin top left. An identity is an
integer of 0 or more; `UNLABELLED` marks a person who is in the picture without one. In a
training split identities are class numbers 0..n-1, in a test split the data set's own numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -2
"""Identity of a person who is annotated but not identified (PRW's own number for it)."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageRecord:
    """One picture: ``boxes`` float32 (N, 4), ``ids`` int64 (N,), N may be 0.

    ``name`` is unique in its split; ``camera`` is the number of the camera that took it.
    """

    path: Path
    name: str
    camera: int
    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.ids), 4):
            raise ValueError(
                f"image {self.name}: boxes {self.boxes.shape} for ids {self.ids.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class QueryRecord:
    """A person to look for: a ``box`` float32 (4,) on the whole picture ``name``."""

    name: str
    path: Path
    camera: int
    box: NDArray[np.float32]
    pid: int

    def __post_init__(self) -> None:
        if self.box.shape != (4,):
            raise ValueError(f"query on {self.name}: box of shape {self.box.shape}, want (4,)")


@dataclass(frozen=True, slots=True, eq=False)
class PersonSearchSet:
    """One split of a data set; ``queries`` is empty for a training split.

    ``identities[k]`` is the data set's own number of class k of a training split; for a test
    split it lists the numbers that the data set gives out, ascending.
    """

    name: str
    root: Path
    split: str
    images: tuple[ImageRecord, ...]
    queries: tuple[QueryRecord, ...]
    identities: tuple[int, ...]

    @property
    def persons(self) -> int:
        """Boxes in all images, with identity or without."""
        return sum(len(image.ids) for image in self.images)
