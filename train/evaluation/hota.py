"""Score tracks by HOTA: finding people and keeping their identities weigh the same.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021:
Eq. 1-3 (DetA), 4-7 (AssA), 8 (HOTA at one threshold), 9 (the mean over thresholds), matched as
section 6 and TrackEval do: identities that agree over the whole time are preferred. Identities
are shared by all cameras: a person who is another one at the next camera costs association.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from train.evaluation.moments import Meeting, Meetings
from train.evaluation.mot import TrackedBox

THRESHOLDS = np.arange(1, 20) / 20
"""Overlaps (IoU) from which boxes may be the same: 0.05 to 0.95."""

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class HotaScores:
    """Means over the thresholds, in 0..1.

    ``hota`` the geometric mean of ``deta`` (finding people) and ``assa`` (keeping them apart)
    at each threshold; ``assre`` and ``asspr`` recall and precision of the association, ``detre``
    and ``detpr`` of the detection; ``loca`` how far matched boxes overlap.
    """

    hota: float
    deta: float
    assa: float
    detre: float
    detpr: float
    assre: float
    asspr: float
    loca: float


@dataclass(slots=True)
class _Counts:
    """Sums over all moments: by threshold (T,), and by threshold and identities (T, N, M)."""

    matched: NDArray[np.int64]
    overlap: NDArray[np.float64]
    together: NDArray[np.int64]


def hota(truth: Iterable[TrackedBox], predicted: Iterable[TrackedBox]) -> HotaScores:
    """Score predicted tracks against true ones; ``track`` is shared by all cameras.

    Raises:
        DatasetError: one identity has two boxes in one frame of one camera.
    """
    meetings = list(Meetings(truth, predicted))
    real = _lengths(np.concatenate([m.truth for m in meetings] or [np.zeros(0, np.int64)]))
    guessed = _lengths(np.concatenate([m.predicted for m in meetings] or [np.zeros(0, np.int64)]))
    if not len(real) or not len(guessed):
        return HotaScores(*[0.0] * 8)
    alignment = _alignment(meetings, real, guessed)
    counts = _Counts(
        np.zeros(len(THRESHOLDS), np.int64),
        np.zeros(len(THRESHOLDS)),
        np.zeros((len(THRESHOLDS), len(real), len(guessed)), np.int64),
    )
    for meeting in meetings:
        _count(meeting, alignment, counts)
    return _scores(counts, real, guessed)


def _lengths(identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return in how many frames each identity is."""
    return np.bincount(identities) if len(identities) else np.zeros(0, np.int64)


def _alignment(
    meetings: Iterable[Meeting], real: NDArray[np.int64], guessed: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how far each pair of identities goes together over the whole time (N, M)."""
    potential = np.zeros((len(real), len(guessed)))
    for meeting in meetings:
        if not meeting.overlap.size:
            continue
        overlap = meeting.overlap
        union = overlap.sum(axis=0) + overlap.sum(axis=1, keepdims=True) - overlap
        share = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > _EPSILON)
        potential[np.ix_(meeting.truth, meeting.predicted)] += share
    return np.asarray(potential / (real[:, None] + guessed[None, :] - potential))


def _count(meeting: Meeting, alignment: NDArray[np.float64], counts: _Counts) -> None:
    """Pair the boxes of one moment and add the pairs to the counts of each threshold."""
    if not meeting.overlap.size:
        return
    value = alignment[np.ix_(meeting.truth, meeting.predicted)] * meeting.overlap
    rows, columns = linear_sum_assignment(value, maximize=True)
    overlap = meeting.overlap[rows, columns]
    for number, threshold in enumerate(THRESHOLDS):
        kept = overlap >= threshold - _EPSILON
        counts.matched[number] += int(kept.sum())
        counts.overlap[number] += float(overlap[kept].sum())
        pairs = meeting.truth[rows[kept]], meeting.predicted[columns[kept]]
        counts.together[number][pairs] += 1


def _scores(counts: _Counts, real: NDArray[np.int64], guessed: NDArray[np.int64]) -> HotaScores:
    """Turn counts into scores."""
    matched, together = counts.matched, counts.together
    least_one = np.maximum(1, matched)
    lengths = real[None, :, None], guessed[None, None, :]

    def associated(size: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(
            (together * (together / np.maximum(1, size))).sum(axis=(1, 2)) / least_one
        )

    deta = matched / np.maximum(1, real.sum() + guessed.sum() - matched)
    assa = associated(lengths[0] + lengths[1] - together)
    loca = np.where(matched > 0, counts.overlap / least_one, 1.0)
    return HotaScores(
        hota=float(np.sqrt(deta * assa).mean()),
        deta=float(deta.mean()),
        assa=float(assa.mean()),
        detre=float((matched / max(1, real.sum())).mean()),
        detpr=float((matched / max(1, guessed.sum())).mean()),
        assre=float(associated(lengths[0]).mean()),
        asspr=float(associated(lengths[1]).mean()),
        loca=float(loca.mean()),
    )
