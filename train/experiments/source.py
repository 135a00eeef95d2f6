"""The data of an experiment: what is trained on, what is searched, and digests of both."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.data.cuhk import NAME as CUHK
from train.data.records import ImageRecord, PersonSearchSet, QueryRecord
from train.data.sets import load_set
from train.errors import DatasetError
from train.evaluation.engine import load_test
from train.evaluation.galleries import CUHK_SYSU_SIZES, sub_galleries
from train.evaluation.protocol import GalleryRule, gallery_rule

DIGEST_DIGITS = 12
SMALL_SIZES = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400)
"""Sizes of the galleries that are drawn for data sets that give out none."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Folders that are trained on, their number of identities and pictures, and a digest."""

    folders: tuple[Path, ...]
    identities: int
    pictures: int
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class TestData:
    """The split that is searched, by which galleries, and a digest of it."""

    __test__ = False  # no class of tests, whatever pytest thinks of its name
    data: PersonSearchSet
    rule: GalleryRule
    digest: str


def open_training(folders: Sequence[Path]) -> TrainingData:
    """Read the training splits of folders.

    Raises:
        DatasetError: one of them is damaged or has no training split.
    """
    from train.data.batches import join_sets  # loads torch, which reading a test split does not

    if not folders:
        raise DatasetError("no folder to train on")
    sets = [load_set(folder, "train") for folder in folders]
    records, identities = join_sets([(s.images, len(s.identities)) for s in sets])
    return TrainingData(tuple(folders), identities, len(records), _digest(records, ()))


def open_test(folder: Path, gallery: str | None = None) -> TestData:
    """Read a test split; without ``gallery`` its own galleries where it has some, else ``all``.

    Raises:
        DatasetError: it is damaged, or has no test split or no queries.
        ConfigError: no such gallery.
    """
    test, rule = load_test(folder, gallery)
    if gallery is None and not rule.own:
        rule = gallery_rule("all")
    return TestData(test, rule, _digest(test.images, test.queries))


def sized_galleries(test: TestData) -> dict[int, Sequence[QueryRecord]]:
    """Return the queries with galleries of growing size: CUHK-SYSU's own, or random ones.

    Raises:
        DatasetError: a gallery cannot be read, or is searched for other queries.
    """
    if test.data.name == CUHK:
        return {size: _own_queries(test, str(size)) for size in CUHK_SYSU_SIZES}
    images = test.data.images
    sizes = [*(size for size in SMALL_SIZES if size < len(images)), len(images)]
    rule = gallery_rule("all") if test.rule.own else test.rule
    return {size: sub_galleries(images, test.data.queries, size, rule=rule) for size in sizes}


def _own_queries(test: TestData, gallery: str) -> Sequence[QueryRecord]:
    """Return the queries with another of the galleries that the data set gives out."""
    queries = load_set(test.data.root, "test", gallery=gallery).queries
    wanted = [(query.name, query.pid) for query in test.data.queries]
    if [(query.name, query.pid) for query in queries] != wanted:
        raise DatasetError(f"{test.data.root}: gallery {gallery} has queries of its own")
    return queries


def _digest(images: Iterable[ImageRecord], queries: Iterable[QueryRecord]) -> str:
    """Return a digest of what a split holds, wherever its folder lies."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.name}\0{image.camera}\0{len(image.ids)}\0".encode())
        digest.update(image.boxes.tobytes())
        digest.update(image.ids.tobytes())
    for query in queries:
        digest.update(f"{query.name}\0{query.pid}\0".encode())
        digest.update(query.box.tobytes())
    return digest.hexdigest()[:DIGEST_DIGITS]


def described(test: TestData) -> Mapping[str, object]:
    """Return what is said of a test split beside its scores."""
    return {
        "test": test.data.root.name,
        "frames": len(test.data.images),
        "queries": len(test.data.queries),
        "gallery": test.rule.name,
        "digest": test.digest,
    }
