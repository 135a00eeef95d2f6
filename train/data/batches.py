"""Batches of training frames in pairs that share an identity (the Siamese input of the paper).

What iteration t holds depends only on the seed and t, so that a resumed run sees exactly what an
unbroken one would have seen.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.errors import PictureError
from engines.letterbox import Letterbox
from engines.pictures import read_picture
from train.data.augment import Sample, light, strong_light, strong_view
from train.data.cutouts import CutOut, people_cutouts, thing_cutout
from train.data.paste import furniture, paste_people, paste_things, texture
from train.data.records import IGNORED, ImageRecord
from train.errors import DatasetError
from train.models.targets import IGNORE, UNLABELLED, Targets, stack_targets
from train.synthetic.cutout import render_cutouts

CACHE_BYTES = 6 * 2**30
RENDERED_CUTOUTS = 300
"""Rendered people that are kept ready for pasting."""

STRONG_SHARE = 0.7
"""Frames of a strong run that are changed strongly; the others keep it close to plain frames."""

Augmentation = Literal["none", "light", "strong"]


class FrameStore:
    """Pictures as they are on disk, with boxes in their pixels; in memory up to a limit."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        input_hw: tuple[int, int],
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.records = tuple(records)
        self.input_hw = input_hw
        self._room = cache_bytes
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()
        self._own = threading.local()  # a letterbox serves one thread at a time

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB picture ``(h, w, 3)``; any thread may ask.

        Raises:
            DatasetError: it cannot be read.
        """
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        try:
            picture = read_picture(self.records[index].path)
        except PictureError as error:
            raise DatasetError(str(error)) from error
        with self._lock:
            if index not in self._cache and picture.nbytes <= self._room:
                self._room -= picture.nbytes
                self._cache[index] = picture
        return picture

    def load(self, index: int) -> Sample:
        """Return the frame as an engine sees it: letterboxed, boxes in input pixels."""
        picture, record = self.picture(index), self.records[index]
        hw = (picture.shape[0], picture.shape[1])
        boxes: dict[tuple[int, int], Letterbox] = self._own.__dict__.setdefault("boxes", {})
        box = boxes.setdefault(hw, Letterbox(hw, self.input_hw))
        return Sample(box.fit(picture), box.to_input(record.boxes), record.ids)

    def view(self, index: int, rng: np.random.Generator) -> Sample:
        """Return a random window of the picture as a frame (`augment.strong_view`)."""
        picture, record = self.picture(index).transpose(2, 0, 1), self.records[index]
        return strong_view(picture, record.boxes, record.ids, self.input_hw, rng)


class Sampler(Protocol):
    """Which frames make up the slots of iteration t that are not real pictures."""

    pairs: int

    def frames(self, iteration: int) -> list[int]:
        """Return the frame numbers of one iteration, ``2 * pairs`` of them."""


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
    """Makes the batch of any iteration; called by several threads at once.

    Slots 0 .. 2 * pairs - 1 hold the pairs, the last ``real`` ones real pictures. What a slot
    holds depends on the seed, the iteration and the slot alone.
    """

    def __init__(
        self,
        store: FrameStore,
        sampler: Sampler,
        people: FrameStore | None,
        *,
        real: int,
        augment: Augmentation,
        seed: int,
        paste: float = 0.0,
    ) -> None:
        """Keep what batches are made of; with ``paste`` above 0 also cut out people to paste.

        ``paste`` is the share of the frames that get people from elsewhere: rendered frames
        real ones, real pictures rendered ones.
        """
        self._store, self._sampler, self._people = store, sampler, people
        self._real = real if people is not None else 0
        self._augment, self._seed, self._paste = augment, seed, paste
        self._drawn: list[CutOut] = []
        self._shot: list[CutOut] = []
        if paste > 0 and people is not None:
            self._drawn = render_cutouts(seed, RENDERED_CUTOUTS)
            self._shot = people_cutouts(people.records, people.picture)

    @property
    def slots(self) -> int:
        """Frames of an iteration."""
        return 2 * self._sampler.pairs + self._real

    def batch(self, iteration: int, part: slice = slice(None)) -> Batch:
        """Return what iteration ``iteration`` trains on, or those slots of it."""
        paired = self._sampler.frames(iteration)
        made = [self._slot(iteration, slot, paired) for slot in range(self.slots)[part]]
        frames = torch.from_numpy(np.stack([sample.frame for sample in made]))
        boxes = [torch.from_numpy(sample.boxes) for sample in made]
        return Batch(frames, stack_targets(boxes, [_labels(sample.ids) for sample in made]))

    def pictures(self, iteration: int) -> list[Path]:
        """Return the files of the frames of an iteration, slot by slot."""
        paired = self._sampler.frames(iteration)
        chosen = [
            self._chosen(slot, paired, self._rng(iteration, slot)) for slot in range(self.slots)
        ]
        return [store.records[index].path for store, index in chosen]

    def _slot(self, iteration: int, slot: int, paired: Sequence[int]) -> Sample:
        rng = self._rng(iteration, slot)
        store, index = self._chosen(slot, paired, rng)
        cutouts = self._shot if slot < len(paired) else self._drawn
        return self._sample(store, index, cutouts, rng)

    def _rng(self, iteration: int, slot: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, iteration, 3, slot])

    def _chosen(
        self, slot: int, paired: Sequence[int], rng: np.random.Generator
    ) -> tuple[FrameStore, int]:
        """Return the store and number of a slot's frame."""
        if slot < len(paired):
            return self._store, paired[slot]
        assert self._people is not None
        return self._people, int(rng.integers(len(self._people.records)))

    def _sample(
        self, store: FrameStore, index: int, cutouts: list[CutOut], rng: np.random.Generator
    ) -> Sample:
        strong = self._augment == "strong" and rng.random() < STRONG_SHARE
        sample = self._cluttered(store.view(index, rng), rng) if strong else store.load(index)
        if cutouts and rng.random() < self._paste:
            sample = paste_people(sample, cutouts, 1 + int(rng.integers(2)), rng)
        if strong:
            return replace(sample, frame=strong_light(sample.frame, rng))
        return sample if self._augment == "none" else light(sample, rng)

    def _cluttered(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Lay things over a sample: furniture, patches, pieces of pictures without people."""
        if rng.random() < 0.6:
            return sample
        hw = (sample.frame.shape[1], sample.frame.shape[2])
        things = [self._thing(hw, rng) for _ in range(1 + int(rng.integers(2)))]
        return paste_things(sample, [thing for thing in things if thing is not None], rng)

    def _thing(self, hw: tuple[int, int], rng: np.random.Generator) -> CutOut | None:
        draw = rng.random()
        if draw < 0.4 or self._people is None:
            return furniture(rng, hw)
        if draw < 0.55:
            return texture(rng, hw)
        index = int(rng.integers(len(self._people.records)))
        return thing_cutout(self._people.picture(index), self._people.records[index].boxes, rng)


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
