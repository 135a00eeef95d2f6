"""Score the tracks of a camera against its ground truth, as MOTChallenge does."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.evaluation.hota import HotaScores, hota
from train.evaluation.identity import IdScores, idf1, match_boxes
from train.evaluation.mot import TrackedBox


@dataclass(frozen=True, slots=True)
class Tracks:
    """What was true and what was tracked in the frames that were searched."""

    frames: int
    truth: tuple[TrackedBox, ...]
    found: tuple[TrackedBox, ...]

    @property
    def people(self) -> int:
        """True tracks."""
        return len({(box.camera, box.track) for box in self.truth})

    @property
    def tracklets(self) -> int:
        """Tracks that were found."""
        return len({(box.camera, box.track) for box in self.found})


@dataclass(frozen=True, slots=True)
class TrackScores:
    """HOTA and IDF1 of the same tracks."""

    hota: HotaScores
    identity: IdScores


def score_tracks(tracks: Tracks) -> TrackScores:
    """Score found tracks; a track is one of its own camera.

    Raises:
        DatasetError: one track has two boxes in one frame of one camera.
    """
    truth, found = _per_camera(tracks.truth), _per_camera(tracks.found)
    return TrackScores(hota(truth, found), idf1(truth, found))


def searched(
    truth: Iterable[TrackedBox],
    neither: Iterable[TrackedBox],
    found: Sequence[TrackedBox],
    frames: Collection[int],
) -> Tracks:
    """Return what counts in the frames (numbers from 1) of one camera that were searched.

    A found box that belongs to a box of ``neither`` rather than to a person is left out.
    """
    real = [box for box in truth if box.frame in frames]
    aside = [box for box in neither if box.frame in frames]
    return Tracks(len(frames), tuple(real), tuple(_without(found, real, aside)))


def join_tracks(parts: Sequence[Tracks]) -> Tracks:
    """Return the tracks of several cameras as one."""
    return Tracks(
        sum(part.frames for part in parts),
        tuple(box for part in parts for box in part.truth),
        tuple(box for part in parts for box in part.found),
    )


def _without(
    found: Sequence[TrackedBox], real: Sequence[TrackedBox], aside: Sequence[TrackedBox]
) -> list[TrackedBox]:
    """Leave out the found boxes whose best partner is one of ``aside``."""
    reals, asides, founds = _by_frame(real), _by_frame(aside), _by_frame(found)
    kept: list[TrackedBox] = []
    for frame, boxes in founds.items():
        persons, others = reals.get(frame, []), asides.get(frame, [])
        pairs = match_boxes(_corners([*persons, *others]), _corners(boxes))
        out = {column for row, column in pairs if row >= len(persons)}
        kept += [box for number, box in enumerate(boxes) if number not in out]
    return kept


def _by_frame(boxes: Iterable[TrackedBox]) -> dict[int, list[TrackedBox]]:
    frames: dict[int, list[TrackedBox]] = defaultdict(list)
    for box in boxes:
        frames[box.frame].append(box)
    return frames


def _corners(boxes: Sequence[TrackedBox]) -> NDArray[np.float64]:
    return np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4)


def _per_camera(boxes: Sequence[TrackedBox]) -> list[TrackedBox]:
    """Number tracks over all cameras, so that the same number at two cameras is two tracks."""
    numbers: dict[tuple[int, int], int] = {}
    return [
        TrackedBox(
            box.camera, box.frame, numbers.setdefault((box.camera, box.track), len(numbers)),
            box.x, box.y, box.w, box.h, box.confidence,
        )
        for box in boxes
    ]  # fmt: skip
