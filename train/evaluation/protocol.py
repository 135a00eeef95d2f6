"""The rules of person-search scoring, as data: which frames are searched, what is a match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.data.records import ImageRecord, QueryRecord
from train.errors import ConfigError

TOP_RANKS = (1, 5, 10)
DETECTION_THRESHOLD = 0.5
"""Least score of a detection that takes part in the search."""


@dataclass(frozen=True, slots=True)
class GalleryRule:
    """Which frames of a test split are searched for one query."""

    name: str
    with_query_frame: bool
    with_query_camera: bool

    def frames(self, query: QueryRecord, layout: "FrameLayout") -> NDArray[np.int64]:
        """Return how often each frame is in the query's gallery: 0 or 1, int64 (F,)."""
        counts = np.ones(len(layout.cameras), np.int64)
        if not self.with_query_frame and query.name in layout.index:
            counts[layout.index[query.name]] = 0
        if not self.with_query_camera:
            counts[layout.cameras == query.camera] = 0
        return counts


GALLERIES: Mapping[str, GalleryRule] = {
    rule.name: rule
    for rule in (
        GalleryRule("all", with_query_frame=False, with_query_camera=True),
        GalleryRule("cross-camera", with_query_frame=False, with_query_camera=False),
    )
}


@dataclass(frozen=True, slots=True, eq=False)
class FrameLayout:
    """The frames of a split: ``cameras`` int64 (F,), ``index`` from a frame's name."""

    cameras: NDArray[np.int64]
    index: Mapping[str, int]

    @classmethod
    def of(cls, images: Sequence[ImageRecord]) -> "FrameLayout":
        """Return the layout of a split's images, in their order."""
        cameras = np.array([image.camera for image in images], np.int64)
        return cls(cameras, {image.name: number for number, image in enumerate(images)})


@dataclass(frozen=True, slots=True)
class IouRule:
    """How much a detection must overlap a person's box to be that person.

    ``adaptive``: ``min(ceiling, w*h / ((w+10)*(h+10)))`` of the person's box, so that small
    persons need less.
    """

    adaptive: bool = True
    ceiling: float = 0.5

    def threshold(self, box: NDArray[np.float32]) -> float:
        """Return the least overlap with a person's box float32 (4,)."""
        if not self.adaptive:
            return self.ceiling
        width, height = float(box[2]) - float(box[0]), float(box[3]) - float(box[1])
        return min(self.ceiling, width * height / ((width + 10) * (height + 10)))

    def __str__(self) -> str:
        if not self.adaptive:
            return f"{self.ceiling:g}"
        return f"min({self.ceiling:g}, w*h / ((w+10)*(h+10)))"


@dataclass(frozen=True, slots=True)
class SearchProtocol:
    """All that a published search score depends on, the model apart."""

    gallery: GalleryRule
    score_threshold: float = DETECTION_THRESHOLD
    iou: IouRule = IouRule()


def gallery_rule(name: str) -> GalleryRule:
    """Return a gallery rule by name.

    Raises:
        ConfigError: there is no such rule.
    """
    if name not in GALLERIES:
        raise ConfigError(f"no gallery {name!r}: choose {' or '.join(GALLERIES)}")
    return GALLERIES[name]
