"""What every person-search data set is turned into.

Boxes are float32 x1 y1 x2 y2 in pixels of the picture, origin top left. An identity is an
integer of 0 or more; `UNLABELLED` marks a person who is in the picture without one. In a
training split identities are class numbers 0..n-1, in a test split the data set's own numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "test")

UNLABELLED = -2
"""Identity of a person who is annotated but not identified (PRW's own number for it)."""

IGNORED = -3
"""Identity of a region that counts neither as a person nor as background."""


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
    """A person to look for: a ``box`` float32 (4,) on the whole picture ``name``.

    ``gallery`` int32 (G,): this query's own gallery, as places in the split's ``images``; a
    place that stands twice counts twice. None: the data set gives out none, so that the scoring
    chooses the frames. ``truth``: the places where the person is, each with boxes float32
    (K, 4): one row for each time that the place stands in the gallery with the person in it (in
    CUHK-SYSU K is 1, but for four frames that show a person twice and are listed twice). None:
    where the images' ``ids`` say so.
    """

    name: str
    path: Path
    camera: int
    box: NDArray[np.float32]
    pid: int
    gallery: NDArray[np.int32] | None = None
    truth: Mapping[int, NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        if self.box.shape != (4,):
            raise ValueError(f"query on {self.name}: box of shape {self.box.shape}, want (4,)")
        if self.gallery is not None and (
            self.gallery.ndim != 1 or self.gallery.dtype != np.dtype(np.int32)
        ):
            kind = f"{self.gallery.dtype} {self.gallery.shape}"
            raise ValueError(f"query on {self.name}: gallery {kind}, want int32 (G,)")
        for place, boxes in (self.truth or {}).items():
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(
                    f"query on {self.name}: truth of image {place} has shape {boxes.shape}, "
                    "want (K, 4)"
                )


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


def record_of(
    path: Path, name: str, camera: int, persons: Sequence[tuple[Sequence[float], int]]
) -> ImageRecord:
    """Return the record of a picture with persons (x1 y1 x2 y2 and identity)."""
    boxes = np.array([box for box, _ in persons], np.float32).reshape(-1, 4)
    return ImageRecord(path, name, camera, boxes, np.array([i for _, i in persons], np.int64))


def class_numbers(
    images: Sequence[ImageRecord], identities: Sequence[int]
) -> tuple[ImageRecord, ...]:
    """Return the images of a training split with the places in ``identities`` as their ids.

    A person whose identity is not listed becomes one without identity.
    """
    places = {identity: place for place, identity in enumerate(identities)}
    places[IGNORED] = IGNORED
    return tuple(
        replace(
            image, ids=np.array([places.get(i, UNLABELLED) for i in image.ids.tolist()], np.int64)
        )
        for image in images
    )
