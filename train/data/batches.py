"""Batches of training frames in pairs that share an identity (the Siamese input of the paper).

What iteration t holds depends only on the seed and t, so that a resumed run sees exactly what an
unbroken one would have seen.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.letterbox import Letterbox
from engines.pictures import read_picture
from train.data.augment import augment
from train.data.people import IGNORED
from train.data.records import ImageRecord
from train.errors import DatasetError
from train.models.targets import IGNORE, UNLABELLED, Targets, stack_targets

CACHE_BYTES = 10 * 2**30


class FrameStore:
    """Letterboxed frames with boxes in input pixels; kept in memory up to a limit."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        input_hw: tuple[int, int],
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.records = tuple(records)
        self.input_hw = input_hw
        self._room = cache_bytes // (3 * input_hw[0] * input_hw[1])
        self._cache: dict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}
        self._letterboxes: dict[tuple[int, int], Letterbox] = {}

    def load(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return frame ``(3, H, W)`` and boxes ``(N, 4)``; must be called from one thread."""
        if index in self._cache:
            return self._cache[index]
        record = self.records[index]
        picture = read_picture(record.path)
        height, width = picture.shape[:2]
        box = self._letterboxes.setdefault(
            (height, width), Letterbox((height, width), self.input_hw)
        )
        loaded = box.fit(picture), box.to_input(record.boxes)
        if len(self._cache) < self._room:
            self._cache[index] = loaded
        return loaded


class PairSampler:
    """Which frames make up iteration t: ``pairs`` identities, two frames of each."""

    def __init__(self, records: Sequence[ImageRecord], pairs: int, seed: int) -> None:
        self.pairs = pairs
        self.seed = seed
        self._cameras = [record.camera for record in records]
        frames: dict[int, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            for identity in set(record.ids[record.ids >= 0].tolist()):
                frames[identity].append(index)
        self._frames = {k: v for k, v in sorted(frames.items()) if len(v) > 1}
        if not self._frames:
            raise DatasetError("no identity appears in two frames: nothing to pair")
        self._identities = np.array(list(self._frames))

    def frames(self, iteration: int) -> list[int]:
        """Return the frame numbers of one iteration, pair after pair."""
        rng = np.random.default_rng([self.seed, iteration, 1])
        chosen: list[int] = []
        for k in range(iteration * self.pairs, (iteration + 1) * self.pairs):
            chosen += self._pair(self._identity(k), rng)
        return chosen

    def _identity(self, position: int) -> int:
        epoch, place = divmod(position, len(self._identities))
        order = np.random.default_rng([self.seed, epoch, 2]).permutation(self._identities)
        return int(order[place])

    def _pair(self, identity: int, rng: np.random.Generator) -> list[int]:
        frames = self._frames[identity]
        first = int(rng.choice(frames))
        others = [f for f in frames if self._cameras[f] != self._cameras[first]]
        if not others or rng.random() < 0.2:
            others = [f for f in frames if f != first]
        return [first, int(rng.choice(others))]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames uint8 ``(B, 3, H, W)`` and the persons in them."""

    frames: Tensor
    targets: Targets


class BatchSource:
    """Loads the batch of any iteration, one ahead in a thread."""

    def __init__(
        self,
        store: FrameStore,
        sampler: PairSampler,
        people: FrameStore | None,
        *,
        real: int,
        augmented: bool,
        seed: int,
    ) -> None:
        self._store, self._sampler, self._people = store, sampler, people
        self._real = real if people is not None else 0
        self._augmented, self._seed = augmented, seed

    def batch(self, iteration: int) -> Batch:
        """Return what iteration ``iteration`` trains on."""
        rng = np.random.default_rng([self._seed, iteration, 3])
        loaded = [self._one(self._store, i, rng) for i in self._sampler.frames(iteration)]
        if self._people is not None:
            picks = rng.integers(len(self._people.records), size=self._real)
            loaded += [self._one(self._people, int(i), rng) for i in picks]
        frames = torch.from_numpy(np.stack([frame for frame, _, _ in loaded]))
        boxes = [torch.from_numpy(box) for _, box, _ in loaded]
        return Batch(frames, stack_targets(boxes, [_labels(ids) for _, _, ids in loaded]))

    def _one(
        self, store: FrameStore, index: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        frame, boxes = store.load(index)
        ids = store.records[index].ids
        return augment(frame, boxes, ids, rng) if self._augmented else (frame, boxes, ids)

    def run(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of iterations ``start .. stop - 1``."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            ahead: Future[Batch] | None = pool.submit(self.batch, start) if start < stop else None
            for iteration in range(start, stop):
                assert ahead is not None
                current = ahead.result()
                ahead = pool.submit(self.batch, iteration + 1) if iteration + 1 < stop else None
                yield current


def _labels(ids: NDArray[np.int64]) -> Tensor:
    labels = np.where(ids >= 0, ids, np.where(ids == IGNORED, IGNORE, UNLABELLED))
    return torch.from_numpy(labels)


def join_sets(sets: Sequence[tuple[Sequence[ImageRecord], int]]) -> tuple[list[ImageRecord], int]:
    """Put data sets side by side: identities and cameras renumbered so that none coincide.

    Args:
        sets: for each data set its pictures and its number of identities.

    Returns:
        all pictures, and the number of identities.
    """
    records: list[ImageRecord] = []
    identities = cameras = 0
    for images, count in sets:
        for image in images:
            ids = np.where(image.ids >= 0, image.ids + identities, image.ids).astype(np.int64)
            camera = image.camera + cameras
            records.append(ImageRecord(image.path, image.name, camera, image.boxes, ids))
        identities += count
        cameras += 1 + max(image.camera for image in images)
    return records, identities
