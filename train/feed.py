"""What a run trains on: its data sets as batches, made ahead of the step by threads."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from train.config import FitConfig
from train.data.batches import (
    Batch,
    BatchSource,
    FrameStore,
    PairSampler,
    Sampler,
    join_sets,
)
from train.data.people import load_people
from train.data.records import ImageRecord
from train.data.sets import load_set
from train.data.singles import SingleSampler
from train.errors import ConfigError, DatasetError


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Batches by iteration; how many identities they hold; a digest of all annotations."""

    source: BatchSource
    identities: int
    digest: str


def real_slots(config: FitConfig) -> int:
    """Return how many frames of an iteration are real pictures without identities."""
    if config.people is None:
        return 0
    return round(2 * config.pairs * config.people_share / (1 - config.people_share))


def open_feed(config: FitConfig) -> Feed:
    """Read the data sets of a run.

    Without identity losses, frames are drawn one by one and need no identities; pictures of
    people may then be all there is.

    Raises:
        ConfigError: there is no data to train on.
        DatasetError: a data set cannot be read, or has no two frames to pair.
    """
    people = () if config.people is None else load_people(config.people).images
    sets = [(path, load_set(path, "train")) for path in config.data]
    for path, found in sets:
        if not found.images:
            raise DatasetError(f"{path}: no picture in its split for training")
    records, identities = join_sets([(s.images, len(s.identities)) for _, s in sets])
    digest = _digest([records, people])
    if not sets:
        if not people or config.loss.losses:
            raise ConfigError(
                "data: name a data set (pictures without identities are enough for losses=none)"
            )
        records, people = list(people), ()
    source = BatchSource(
        FrameStore(records, config.network.input_hw),
        _sampler(config, records),
        FrameStore(people, config.network.input_hw) if people else None,
        real=real_slots(config) if people else 0,
        augment=config.augment,
        seed=config.seed,
        paste=config.paste,
    )
    return Feed(source, identities, digest)


def _sampler(config: FitConfig, records: Sequence[ImageRecord]) -> Sampler:
    if not config.loss.losses:
        return SingleSampler(len(records), config.pairs, config.seed)
    names = ", ".join(map(str, config.data))
    if not any((record.ids >= 0).any() for record in records):
        raise DatasetError(
            f"{names}: no person has an identity; losses=none trains the detection alone"
        )
    try:
        return PairSampler(records, config.pairs, config.seed)
    except DatasetError as error:
        raise DatasetError(f"{names}: {error}") from error


def _digest(groups: Iterable[Iterable[ImageRecord]]) -> str:
    """Return a digest of names, cameras, boxes and identities, wherever the pictures lie."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(b"group")
        for record in group:
            digest.update(f"{record.name}\0{record.camera}\0{len(record.ids)}\0".encode())
            digest.update(record.boxes.astype("<f4").tobytes())
            digest.update(record.ids.astype("<i8").tobytes())
    return digest.hexdigest()


def prefetch(
    make: Callable[[int], Batch], start: int, stop: int, threads: int
) -> Generator[tuple[Batch, float]]:
    """Yield the batches of iterations ``start .. stop - 1``, and how long each was waited for.

    ``threads`` threads work ahead, with one batch more under way than there are threads, so that
    none of them rests while a step takes the next one.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
    ahead: deque[Future[Batch]] = deque()
    try:
        for iteration in range(start, stop):
            for number in range(iteration + len(ahead), min(iteration + threads + 1, stop)):
                ahead.append(pool.submit(make, number))
            begun_s = time.monotonic()
            batch = ahead.popleft().result()
            yield batch, time.monotonic() - begun_s
    finally:
        pool.shutdown(cancel_futures=True)
