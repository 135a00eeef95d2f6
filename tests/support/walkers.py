"""A site of simulated walkers for the tracker: boxes, scores and embeddings as a detector gives.

People of 1.7 m walk at 0.8 to 1.6 m/s on paths that cross; boxes jitter, some detections are
missing, some are false, one person hides another. Time is exact; nothing is drawn.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engines.values import EMBEDDING_DIM, Detections


@dataclass(frozen=True)
class Person:
    """A way over the picture: from ``start`` to ``end`` (foot points, px) in enter_s..leave_s."""

    start: tuple[float, float]
    end: tuple[float, float]
    enter_s: float
    leave_s: float
    height_px: float
    embedding: NDArray[np.float64]

    def box(self, now_s: float) -> NDArray[np.float64] | None:
        """Return xyxy at a time, None outside the visit."""
        if not self.enter_s <= now_s < self.leave_s:
            return None
        share = (now_s - self.enter_s) / (self.leave_s - self.enter_s)
        x, y = (a + (b - a) * share for a, b in zip(self.start, self.end, strict=True))
        width = 0.38 * self.height_px
        return np.array([x - width / 2, y - self.height_px, x + width / 2, y])


def crowd(
    seed: int, people: int, *, seconds: float, wh: tuple[int, int] = (1280, 720)
) -> list[Person]:
    """Return people who cross the picture from side to side at walking speed."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(people):
        height_px = rng.uniform(150, 260)
        leftwards = rng.random() < 0.5
        speed_px_s = rng.uniform(0.8, 1.6) * height_px / 1.7
        start, end = (-30.0, wh[0] + 30.0) if not leftwards else (wh[0] + 30.0, -30.0)
        enter_s = rng.uniform(0, seconds * 0.7)
        y = rng.uniform(300, wh[1])
        leave_s = enter_s + abs(end - start) / speed_px_s
        embedding = _unit(rng.normal(size=EMBEDDING_DIM))
        out.append(
            Person(
                (start, y), (end, y + rng.uniform(-60, 60)), enter_s, leave_s, height_px, embedding
            )
        )
    return out


def detect(
    people: list[Person],
    now_s: float,
    rng: np.random.Generator,
    *,
    noise: float,
    missing: float = 0.08,
    false: float = 0.05,
) -> tuple[Detections, list[int]]:
    """Return what a detector finds, best first, and whom each row shows (-1 = nobody).

    ``noise`` is the length of the noise on a unit embedding: 0.6 gives a cosine of about 0.73.
    """
    rows: list[tuple[float, NDArray[np.float64], NDArray[np.float64], int]] = []
    boxes = {i: box for i, p in enumerate(people) if (box := p.box(now_s)) is not None}
    for i, box in boxes.items():
        hidden = _hidden(box, [b for j, b in boxes.items() if j != i and b[3] > box[3]])
        if hidden > 0.7 or rng.random() < missing:
            continue
        jitter = rng.normal(0, 0.025, 4) * people[i].height_px
        vector = _unit(people[i].embedding + noise * _unit(rng.normal(size=EMBEDDING_DIM)))
        rows.append(
            (float(np.clip(0.95 - hidden + rng.normal(0, 0.05), 0.25, 1)), box + jitter, vector, i)
        )
    if rng.random() < false:
        x, y = rng.uniform(0, 1200), rng.uniform(200, 700)
        rows.append(
            (0.55, np.array([x, y - 120, x + 50, y]), _unit(rng.normal(size=EMBEDDING_DIM)), -1)
        )
    rows.sort(key=lambda row: -row[0])
    detections = Detections(
        np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[0] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32).reshape(-1, EMBEDDING_DIM),
    )
    return detections, [row[3] for row in rows]


def identity_f1(pairs: list[tuple[int, str]]) -> float:
    """Return IDF1 of (person, tracklet) pairs, one for each detection of a person."""
    together = Counter(pairs)
    people = sorted({person for person, _ in pairs})
    tracks = sorted({track for _, track in pairs})
    table = np.array([[together[p, t] for t in tracks] for p in people])
    rows, columns = linear_sum_assignment(-table)
    return float(2 * table[rows, columns].sum() / (2 * len(pairs)))


def _hidden(box: NDArray[np.float64], others: list[NDArray[np.float64]]) -> float:
    """Return the largest share of the box behind one nearer person."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    shares = [0.0]
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        shares.append(max(0.0, width) * max(0.0, height) / area)
    return max(shares)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
