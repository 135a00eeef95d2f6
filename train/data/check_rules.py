"""What a data set must hold so that something can be learned from it and measured on it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from train.data.faults import Fault
from train.data.records import IGNORED, UNLABELLED, ImageRecord, PersonSearchSet, QueryRecord

_SHOWN = 8


def counts_of(data: PersonSearchSet) -> dict[str, float]:
    """Return how much there is of everything in a split."""
    counts = picture_counts(data.images)
    counts["identities"] = len(data.identities)
    counts["queries"] = len(data.queries)
    galleries = [len(query.gallery) for query in data.queries if query.gallery is not None]
    if galleries:
        counts["gallery"] = max(galleries)
    return counts


def picture_counts(images: Sequence[ImageRecord]) -> dict[str, float]:
    """Return frames, boxes of persons, and the share of them without identity."""
    ids = np.concatenate([image.ids for image in images]) if images else np.zeros(0, np.int64)
    persons = int((ids != IGNORED).sum())
    return {
        "frames": len(images),
        "boxes": persons,
        "ignored_regions": len(ids) - persons,
        "unlabelled_share": float((ids == UNLABELLED).sum()) / max(1, persons),
        "persons_per_frame": persons / max(1, len(images)),
    }


def shown(values: Sequence[object]) -> str:
    """Return the first of some values, to be read by a person."""
    more = ", …" if len(values) > _SHOWN else ""
    return ", ".join(map(str, values[:_SHOWN])) + more


def frames_by_identity(images: Sequence[ImageRecord]) -> dict[int, list[int]]:
    """Return the places of the images that show each identity."""
    frames: dict[int, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        for pid in np.unique(image.ids[image.ids >= 0]).tolist():
            frames[pid].append(place)
    return dict(frames)


def pairing_faults(data: PersonSearchSet) -> Iterator[Fault]:
    """Yield why nothing can be learned from a training split."""
    frames = frames_by_identity(data.images)
    if not frames:
        yield Fault(data.root, "train", "no person has an identity: nothing to tell apart")
    elif all(len(places) == 1 for places in frames.values()):
        yield Fault(data.root, "train", "no identity is in two frames: nothing to pair")


def pairing_notes(data: PersonSearchSet) -> Iterator[str]:
    """Yield which identities of a training split are of little or no use."""
    frames = frames_by_identity(data.images)
    single = [data.identities[k] for k, places in frames.items() if len(places) == 1]
    if single:
        text = f"{len(single)} of {len(frames)} identities are in one frame only"
        yield f"train: {text}: {shown(sorted(single))}"
    absent = [pid for k, pid in enumerate(data.identities) if k not in frames]
    if absent:
        yield f"train: {len(absent)} listed identities are in no frame: {shown(absent)}"


def query_faults(data: PersonSearchSet) -> Iterator[Fault]:
    """Yield which queries of a test split can never be answered."""
    if not data.queries:
        yield Fault(data.root, "test", "no queries: nothing to search for")
    frames = frames_by_identity(data.images)
    names = {image.name: place for place, image in enumerate(data.images)}
    for row, query in enumerate(data.queries, 1):
        if not len(_answers(query, frames, names)):
            where = f"query {row}, person {query.pid}"
            yield Fault(query.path, where, "no frame of the gallery shows the person")


def query_notes(data: PersonSearchSet) -> Iterator[str]:
    """Yield how many queries only their own camera can answer."""
    frames = frames_by_identity(data.images)
    names = {image.name: place for place, image in enumerate(data.images)}
    cameras = np.array([image.camera for image in data.images])
    if len(np.unique(cameras)) < 2 or not data.queries:
        return
    own = 0
    for query in data.queries:
        answers = _answers(query, frames, names)
        own += bool(len(answers)) and bool((cameras[answers] == query.camera).all())
    if own:
        total = len(data.queries)
        yield f"test: {own} of {total} queries have answers at their own camera alone"


def _answers(query: QueryRecord, frames: dict[int, list[int]], names: dict[str, int]) -> list[int]:
    """Return the places of the gallery's frames that show the query's person."""
    if query.truth is not None:
        return list(query.truth)
    shows = frames.get(query.pid, [])
    if query.gallery is not None:
        return sorted(set(shows) & set(query.gallery.tolist()))
    return [place for place in shows if place != names.get(query.name)]


def shared_identities(root: Path, train: PersonSearchSet, test: PersonSearchSet) -> Iterator[Fault]:
    """Yield which identities are in both splits, so that the test is not one of strangers."""
    both = sorted(set(train.identities) & set(test.identities))
    if both:
        text = f"{len(both)} identities are in both splits: {shown(both)}"
        yield Fault(root, "train and test", text)
