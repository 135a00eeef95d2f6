"""Tracks by camera and frame: what IDF1 and HOTA both count over."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.overlap import iou_matrix
from train.errors import DatasetError
from train.evaluation.mot import TrackedBox

Moment = tuple[int, int]
"""Camera and frame number."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """One frame of one camera: who is there, who was predicted, how far their boxes overlap.

    ``truth`` (N,) and ``predicted`` (M,) are numbers of identities from 0; ``overlap`` (N, M) is
    the IoU of their boxes.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    overlap: NDArray[np.float64]


class Meetings:
    """True and predicted tracks side by side; an identity is the same at every camera."""

    def __init__(self, truth: Iterable[TrackedBox], predicted: Iterable[TrackedBox]) -> None:
        """Sort both sides by moment.

        Raises:
            DatasetError: one identity has two boxes in one frame of one camera.
        """
        self._real, self._guessed = _by_moment(truth, "truth"), _by_moment(predicted, "predicted")
        self._real_ids, self._guessed_ids = _numbering(self._real), _numbering(self._guessed)

    def __iter__(self) -> Iterator[Meeting]:
        for moment in sorted(self._real.keys() | self._guessed.keys()):
            real, guessed = self._real.get(moment, []), self._guessed.get(moment, [])
            yield Meeting(
                np.array([self._real_ids[box.track] for box in real], np.int64),
                np.array([self._guessed_ids[box.track] for box in guessed], np.int64),
                np.asarray(iou_matrix(_boxes(real), _boxes(guessed)), np.float64),
            )

    @property
    def identities(self) -> tuple[int, int]:
        """How many identities are true, and how many were predicted."""
        return len(self._real_ids), len(self._guessed_ids)

    @property
    def boxes(self) -> tuple[int, int]:
        """How many boxes are true, and how many were predicted."""
        return sum(map(len, self._real.values())), sum(map(len, self._guessed.values()))


def _by_moment(boxes: Iterable[TrackedBox], side: str) -> dict[Moment, list[TrackedBox]]:
    moments: dict[Moment, list[TrackedBox]] = defaultdict(list)
    seen: set[tuple[int, int, int]] = set()
    for box in boxes:
        key = (box.camera, box.frame, box.track)
        if key in seen:
            raise DatasetError(
                f"{side}: identity {box.track} has two boxes in frame {box.frame} "
                f"of camera {box.camera}"
            )
        seen.add(key)
        moments[box.camera, box.frame].append(box)
    return moments


def _numbering(moments: dict[Moment, list[TrackedBox]]) -> dict[int, int]:
    tracks = sorted({box.track for boxes in moments.values() for box in boxes})
    return {track: number for number, track in enumerate(tracks)}


def _boxes(boxes: Sequence[TrackedBox]) -> NDArray[np.float64]:
    return np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4)
