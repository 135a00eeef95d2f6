"""The rules of person-search scoring, as data: which frames are searched, what is a match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.data.records import ImageRecord, QueryRecord
from train.errors import ConfigError, DatasetError

TOP_RANKS = (1, 5, 10)
DETECTION_THRESHOLD = 0.5
"""Least score of a detection that takes part in the search."""


@dataclass(frozen=True, slots=True)
class GalleryRule:
    """Which frames of a test split are searched for one query.

    ``own``: those that the data set lists for the query, as often as it lists them; nothing is
    removed from such a list, not even the query's own frame.
    """

    name: str
    with_query_frame: bool = False
    with_query_camera: bool = True
    own: bool = False

    def frames(self, query: QueryRecord, layout: "FrameLayout") -> NDArray[np.int64]:
        """Return how often each frame is in the query's gallery, int64 (F,).

        Raises:
            DatasetError: the query has no gallery of its own where one is asked for, or its
                gallery names a frame that the split does not have.
        """
        if self.own:
            return _listed(query, len(layout.cameras))
        counts = np.ones(len(layout.cameras), np.int64)
        if not self.with_query_frame and query.name in layout.index:
            counts[layout.index[query.name]] = 0
        if not self.with_query_camera:
            counts[layout.cameras == query.camera] = 0
        return counts


def _listed(query: QueryRecord, frames: int) -> NDArray[np.int64]:
    where = f"query of person {query.pid} on {query.name}"
    if query.gallery is None:
        raise DatasetError(f"{where}: the data set gives it no gallery of its own")
    truth = np.array(list(query.truth or ()), np.int64)
    for field, places in (("gallery", query.gallery), ("truth", truth)):
        outside = places[(places < 0) | (places >= frames)]
        if len(outside):
            raise DatasetError(f"{where}: {field} has frame number {outside[0]} of {frames} frames")
    return np.bincount(query.gallery, minlength=frames).astype(np.int64)


GALLERIES: Mapping[str, GalleryRule] = {
    rule.name: rule
    for rule in (
        GalleryRule("all"),
        GalleryRule("cross-camera", with_query_camera=False),
        GalleryRule("own", with_query_frame=True, own=True),
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
        if self.ceiling == 0:
            return "none: any answer in a frame with the person is right"
        if not self.adaptive:
            return f"{self.ceiling:g}"
        return f"min({self.ceiling:g}, w*h / ((w+10)*(h+10)))"


ANYWHERE = IouRule(adaptive=False, ceiling=0.0)
"""No overlap is asked for: the rule where a whole frame is one answer."""


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
        *first, last = GALLERIES
        raise ConfigError(f"no gallery {name!r}: choose {', '.join(first)} or {last}")
    return GALLERIES[name]
