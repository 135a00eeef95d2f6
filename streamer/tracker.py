"""One person's unbroken path in one camera: boxes and embeddings of successive frames joined.

Detection may run at 2 to 5 frames a second, where a walking person moves by half a box or more:
overlap alone loses people. A detection is matched to a track by overlap with the predicted box,
by likeness of the embeddings, and by a distance that a person can walk in the time gone by.
Strong detections are matched first and may start tracks; weak ones only carry tracks on.
Boxes are xyxy in source pixels; times are UTC ms of capture.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engines.overlap import iou_matrix
from engines.values import Detections

_IMPOSSIBLE = 1e6
_PERSON_HEIGHT_M = 1.7
_MISSED_FRAMES = 2.5
"""A track outlives this many frame intervals without a hit, however slow detection is."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What counts as the same person from frame to frame."""

    high_score: float = 0.5
    """Detections at least this sure may start a track."""
    max_age_s: float = 2.0
    """A track ends when nobody was seen for this long."""
    max_speed_m_s: float = 3.0
    """Faster than this nobody goes, measured in the person's own height of 1.7 m."""
    slack_heights: float = 0.3
    """Distance, in box heights, that costs nothing: jitter of boxes."""
    min_cosine: float = 0.4
    """Below this likeness only a strong overlap joins."""
    min_iou_alone: float = 0.4
    """This overlap joins even people who do not look alike (turned, half hidden)."""
    lost_cosine: float = 0.55
    """Likeness asked of somebody who was out of sight."""
    lost_after_s: float = 0.8
    weak_iou: float = 0.4
    """Overlap asked of an unsure detection, besides likeness: most of those are nobody."""
    weights: tuple[float, float, float] = (0.25, 0.6, 0.15)
    """Of missing overlap, unlikeness and way walked in the cost of a pair."""
    height_ratio: float = 2.5
    """Box heights may differ by this factor (legs hidden behind furniture)."""


def tracking_at(detect_fps: float, high_score: float) -> TrackerSettings:
    """Return settings for frames searched at this rate."""
    interval_s = 1.0 / detect_fps
    return TrackerSettings(
        high_score=high_score,
        max_age_s=max(2.0, _MISSED_FRAMES * interval_s),
        lost_after_s=max(0.8, 1.5 * interval_s),
    )


@dataclass(slots=True, eq=False)
class Track:
    """A tracklet that is still open."""

    id: str
    box: NDArray[np.float64]
    embedding: NDArray[np.float64]
    first_ms: int
    last_ms: int
    top_score: float
    hits: int = 1
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """Of the box centre, pixels a second."""

    def predicted(self, at_ms: int) -> NDArray[np.float64]:
        """Return the box moved on at constant speed, for at most a second."""
        dt_s = min(1.0, max(0.0, (at_ms - self.last_ms) / 1000))
        return self.box + np.tile(self.velocity * dt_s, 2)

    def follow(self, box: NDArray[np.float64], embedding: NDArray[np.float64], at_ms: int) -> None:
        """Take the detection that was found to be this person."""
        dt_s = max(1e-3, (at_ms - self.last_ms) / 1000)
        seen = (_centres(box[None]) - _centres(self.box[None]))[0] / dt_s
        keep = 0.0 if self.hits == 1 else 0.5
        self.velocity = keep * self.velocity + (1 - keep) * seen
        mixed = 0.8 * self.embedding + 0.2 * embedding
        self.embedding = mixed / max(1e-9, float(np.linalg.norm(mixed)))
        self.box = box
        self.last_ms = at_ms
        self.hits += 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame did: ``matches`` are (track, row of the detections)."""

    matches: tuple[tuple[Track, int], ...]
    ended: tuple[Track, ...]


class Tracker:
    """Tracks of one camera; frames must come in the order of their times."""

    def __init__(self, camera: str, settings: TrackerSettings | None = None) -> None:
        self._camera = camera
        self._settings = settings or TrackerSettings()
        self._tracks: list[Track] = []
        self._born: Counter[int] = Counter()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks that are open, oldest first."""
        return tuple(self._tracks)

    def step(self, detections: Detections, at_ms: int) -> Step:
        """Join the persons of one frame to tracks."""
        ended = self._age(at_ms)
        strong = detections.scores >= self._settings.high_score
        high = np.flatnonzero(strong)
        matches, free_tracks, free_high = self._match(self._tracks, detections, high, at_ms)
        weak = np.flatnonzero(~strong)
        more, _, _ = self._match(free_tracks, detections, weak, at_ms, weak=True)
        for track, row in (*matches, *more):
            track.follow(*_row(detections, row), at_ms)
            track.top_score = max(track.top_score, float(detections.scores[row]))
        born = self._start(detections, free_high, at_ms)
        return Step((*matches, *more, *born), ended)

    def close(self) -> tuple[Track, ...]:
        """End all tracks: the camera is gone or its time jumped."""
        ended, self._tracks = tuple(self._tracks), []
        return ended

    def _age(self, at_ms: int) -> tuple[Track, ...]:
        limit_ms = self._settings.max_age_s * 1000
        ended = tuple(t for t in self._tracks if not 0 <= at_ms - t.last_ms <= limit_ms)
        self._tracks = [t for t in self._tracks if t not in ended]
        return ended

    def _match(
        self,
        tracks: list[Track],
        detections: Detections,
        rows: NDArray[np.intp],
        at_ms: int,
        *,
        weak: bool = False,
    ) -> tuple[list[tuple[Track, int]], list[Track], NDArray[np.intp]]:
        """Return (matches, tracks left over, rows left over)."""
        if not tracks or not len(rows):
            return [], list(tracks), rows
        cost = self._cost(tracks, detections, rows, at_ms, weak)
        picked = [(int(t), int(d)) for t, d in zip(*linear_sum_assignment(cost), strict=True)]
        picked = [(t, d) for t, d in picked if cost[t, d] < _IMPOSSIBLE]
        used_tracks, used_rows = {t for t, _ in picked}, {d for _, d in picked}
        free = np.array([d not in used_rows for d in range(len(rows))])
        return (
            [(tracks[t], int(rows[d])) for t, d in picked],
            [track for t, track in enumerate(tracks) if t not in used_tracks],
            rows[free],
        )

    def _cost(
        self,
        tracks: list[Track],
        detections: Detections,
        rows: NDArray[np.intp],
        at_ms: int,
        weak: bool,
    ) -> NDArray[np.float64]:
        """Return the cost (T, R) of every pair; ``_IMPOSSIBLE`` where it may not be."""
        s = self._settings
        boxes = detections.boxes[rows].astype(np.float64)
        predicted = np.stack([track.predicted(at_ms) for track in tracks])
        age_s = np.array([(at_ms - track.last_ms) / 1000 for track in tracks])[:, None]
        iou = iou_matrix(predicted, boxes)
        cosine = np.stack([t.embedding for t in tracks]) @ detections.embeddings[rows].T
        walked = self._walked(predicted, boxes, age_s)
        lost = age_s > s.lost_after_s
        alike = cosine >= np.where(lost, s.lost_cosine, s.min_cosine)
        possible = (walked <= 1) & self._same_height(predicted, boxes)
        possible &= alike | ((iou >= s.min_iou_alone) & ~lost)
        if weak:
            possible &= (iou >= s.weak_iou) & alike
        place, looks, way = s.weights
        cost = place * (1 - iou) + looks * (1 - cosine) + way * walked
        return np.where(possible, cost, _IMPOSSIBLE)

    def _walked(
        self, predicted: NDArray[np.float64], boxes: NDArray[np.float64], age_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return distance over what a person can walk, (T, R); heads or feet, the nearer ones.

        Feet hide behind furniture, heads leave the picture: one of the two is mostly seen.
        """
        s = self._settings
        heights = np.maximum(1.0, predicted[:, 3] - predicted[:, 1])[:, None]
        reach = heights * (s.slack_heights + s.max_speed_m_s / _PERSON_HEIGHT_M * age_s)
        feet = np.linalg.norm(_feet(predicted)[:, None] - _feet(boxes)[None], axis=2)
        heads = np.linalg.norm(_heads(predicted)[:, None] - _heads(boxes)[None], axis=2)
        return np.asarray(np.minimum(feet, heads) / reach)

    def _same_height(
        self, predicted: NDArray[np.float64], boxes: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        a = np.maximum(1.0, predicted[:, 3] - predicted[:, 1])[:, None]
        b = np.maximum(1.0, boxes[:, 3] - boxes[:, 1])[None]
        return np.asarray(np.maximum(a / b, b / a) <= self._settings.height_ratio)

    def _start(
        self, detections: Detections, rows: NDArray[np.intp], at_ms: int
    ) -> list[tuple[Track, int]]:
        """Begin a track for each strong detection that nobody claimed, from left to right.

        Place decides the number in the id, not score: the last bits of a score may differ
        between two runs.
        """
        born = []
        for row in sorted((int(r) for r in rows), key=lambda r: tuple(detections.boxes[r])):
            box, embedding = _row(detections, row)
            n = self._born[at_ms]
            self._born[at_ms] += 1
            name = f"{self._camera}/{at_ms}-{n}"
            track = Track(name, box, embedding, at_ms, at_ms, float(detections.scores[row]))
            self._tracks.append(track)
            born.append((track, row))
        self._forget_births(at_ms)
        return born

    def _forget_births(self, at_ms: int) -> None:
        """Keep the counter small: only ids of this very time can collide."""
        self._born = Counter({at_ms: self._born[at_ms]})


def _row(detections: Detections, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return detections.boxes[row].astype(np.float64), detections.embeddings[row].astype(np.float64)


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _feet(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)


def _heads(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1]], axis=1)
