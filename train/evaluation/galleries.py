"""Galleries of several sizes, and how search falls off as they grow (the paper's Fig. 12c).

CUHK-SYSU gives out galleries of 50 to 4000 frames. For data sets that give out none, random
ones are drawn here by the same idea: every frame that shows the person, and others up to the
size. A larger gallery of a query holds the smaller ones drawn with the same seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.values import Detections
from train.data.cuhk import NAME as CUHK_SYSU
from train.data.records import ImageRecord, PersonSearchSet, QueryRecord
from train.data.sets import load_set
from train.errors import ConfigError, DatasetError
from train.evaluation.protocol import (
    DETECTION_THRESHOLD,
    GALLERIES,
    FrameLayout,
    GalleryRule,
    IouRule,
    SearchProtocol,
)
from train.evaluation.search import Search

CUHK_SYSU_SIZES = (50, 100, 500, 1000, 2000, 4000)
"""The sizes of the galleries that CUHK-SYSU gives out, and of the paper's Fig. 12c."""
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
"""The sizes that are drawn from other data sets, as far as they have frames."""


@dataclass(frozen=True, slots=True)
class GalleryPoint:
    """Scores in 0..1 at one ``size``; ``frames`` is the mean length of the galleries used."""

    size: int
    frames: float
    mean_ap: float
    top: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        """Return the point as JSON values."""
        top = {f"top{k}": share for k, share in self.top.items()}
        return {"size": self.size, "frames": self.frames, "map": self.mean_ap, **top}


def gallery_curve(
    images: Sequence[ImageRecord],
    found: Sequence[Detections],
    features: NDArray[np.float32],
    queries: Mapping[int, Sequence[QueryRecord]],
    *,
    score_threshold: float = DETECTION_THRESHOLD,
    iou: IouRule | None = None,
) -> tuple[GalleryPoint, ...]:
    """Return the scores at each size, smallest first.

    ``queries`` maps a size to the queries with their own galleries of that size, in the order
    of ``features`` (Q, D): a data set's own, or those of `sub_galleries`.

    Raises:
        DatasetError: a query has no gallery of its own, or one that is not of this split.
    """
    protocol = SearchProtocol(GALLERIES["own"], score_threshold, iou or IouRule())
    return tuple(
        _point(size, Search(images, found, queries[size], features, protocol))
        for size in sorted(queries)
    )


def _point(size: int, search: Search) -> GalleryPoint:
    scores = search.score()
    lengths = [len(query.gallery) for query in search.queries if query.gallery is not None]
    return GalleryPoint(size, float(np.mean(lengths)), scores.mean_ap, scores.top)


def queries_by_size(
    test: PersonSearchSet,
    sizes: Sequence[int] | None = None,
    *,
    rule: GalleryRule = GALLERIES["all"],
    seed: int = 0,
) -> dict[int, tuple[QueryRecord, ...]]:
    """Return a test split's queries with galleries of each size, for `gallery_curve`.

    CUHK-SYSU's are read from its files; of other data sets they are drawn from the rule's.
    ``sizes``: by default `CUHK_SYSU_SIZES`, or those of `SIZES` that the split has frames for.

    Raises:
        DatasetError: a file of galleries is missing or damaged, or lists other queries.
        ConfigError: a size is below 1.
    """
    if test.name == CUHK_SYSU:
        return {size: _published(test, size) for size in sizes or CUHK_SYSU_SIZES}
    chosen = sizes or [size for size in SIZES if size <= len(test.images)]
    return {
        size: sub_galleries(test.images, test.queries, size, rule=rule, seed=seed)
        for size in chosen
    }


def _published(test: PersonSearchSet, size: int) -> tuple[QueryRecord, ...]:
    queries = load_set(test.root, "test", gallery=str(size)).queries
    for row, (mine, other) in enumerate(zip(test.queries, queries, strict=False), 1):
        if mine.name != other.name or (mine.box != other.box).any():
            raise DatasetError(
                f"{test.root}: galleries of {size} have query {row} on {other.name}, "
                f"not on {mine.name} as the others"
            )
    if len(queries) != len(test.queries):
        raise DatasetError(
            f"{test.root}: galleries of {size} have {len(queries)} queries, not {len(test.queries)}"
        )
    return queries


def sub_galleries(
    images: Sequence[ImageRecord],
    queries: Sequence[QueryRecord],
    size: int,
    *,
    rule: GalleryRule = GALLERIES["all"],
    seed: int = 0,
) -> tuple[QueryRecord, ...]:
    """Return the queries, each with a random gallery of ``size`` frames out of the rule's.

    Every frame of the rule's gallery that shows the person is in it, so that a gallery is larger
    than ``size`` where a person is in more frames, and smaller where the rule has fewer.

    Raises:
        ConfigError: ``size`` is below 1.
    """
    if size < 1:
        raise ConfigError(f"gallery size is {size}, want 1 or more")
    layout = FrameLayout.of(images)
    shown = _frames_by_person(images)
    return tuple(
        replace(query, gallery=_draw(query, number, size, rule, layout, shown, seed))
        for number, query in enumerate(queries)
    )


def _draw(
    query: QueryRecord,
    number: int,
    size: int,
    rule: GalleryRule,
    layout: FrameLayout,
    shown: Mapping[int, NDArray[np.int64]],
    seed: int,
) -> NDArray[np.int32]:
    allowed = np.flatnonzero(rule.frames(query, layout))
    order = np.random.default_rng([seed, number]).permutation(allowed)
    with_person = np.isin(order, shown.get(query.pid, np.zeros(0, np.int64)))
    others = order[~with_person][: max(0, size - int(with_person.sum()))]
    return np.sort(np.concatenate([order[with_person], others])).astype(np.int32)


def _frames_by_person(images: Sequence[ImageRecord]) -> dict[int, NDArray[np.int64]]:
    shown: dict[int, list[int]] = {}
    for number, image in enumerate(images):
        for pid in np.unique(image.ids):
            shown.setdefault(int(pid), []).append(number)
    return {pid: np.array(numbers, np.int64) for pid, numbers in shown.items()}
