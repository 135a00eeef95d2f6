"""Whether a backend, at a precision, finds the same persons as the reference does.

An :class:`Exam` is a set of frames that every engine answers. Persons are asked for down to
:data:`MARGIN` below the threshold: one whose score moves across it is then no difference, only
one that is not there at all. Data with identities also gives scores, a search mAP and a
detection AP; how sure a difference of mAP is shows a bootstrap over the queries.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.bench.measure import Cell, Spread
from engines.compare import Stats, agree
from engines.engine import Engine
from engines.errors import BackendUnavailableError, EngineError
from engines.plans.cache import Plan
from engines.plans.keys import PlanKey
from engines.values import Detections, Precision
from engines.verdicts import Verdict

MARGIN = 0.1
"""How far below the threshold persons still count as partners of persons above it."""

RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)
_BATCH = 8

Progress = Callable[[int, int], None]
"""Told how many frames and queries are answered, and how many there are."""


class Candidate(NamedTuple):
    """A backend at a precision."""

    backend: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


ORDINARY = Candidate("onnxruntime", "fp32")
"""What all others are measured against, and what serves where nothing was verified."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What an engine scored on labelled data, all in 0..1; ``query_aps`` one for each query."""

    search_map: float
    detection_ap: float
    query_aps: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What an engine says to an exam.

    ``found`` holds persons down to the floor for each frame; ``embedded`` float32 (Q, 256) the
    answers of the query graph; ``scores`` is None where nobody is labelled.
    """

    found: tuple[Detections, ...]
    embedded: NDArray[np.float32]
    scores: Scores | None = None


class Exam(Protocol):
    """Frames that every engine answers alike."""

    @property
    def name(self) -> str:
        """What it is made from, for people."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which a person counts."""
        ...

    def sit(self, engine: Engine, floor: float, progress: Progress) -> Answers:
        """Return an engine's answers, persons down to the score ``floor``.

        Raises:
            EngineError: the engine failed.
        """
        ...


class FramesExam:
    """Frames without labels; the boxes to embed are those that the first engine finds."""

    def __init__(self, name: str, frames: Sequence[NDArray[np.uint8]], *, threshold: float) -> None:
        if not frames:
            raise ValueError(f"{name}: no frames")
        self.name = name
        self.threshold = threshold
        self._frames = frames
        self._boxes: list[NDArray[np.float32]] | None = None

    def sit(self, engine: Engine, floor: float, progress: Progress) -> Answers:
        """Return an engine's answers (see :meth:`Exam.sit`)."""
        found: list[Detections] = []
        for part in _parts(self._frames):
            found += engine.detect(part, min_score=floor)
            progress(len(found), len(self._frames))
        if self._boxes is None:
            self._boxes = [one.boxes[one.scores >= self.threshold] for one in found]
        embedded = engine.embed(self._frames, self._boxes)
        return Answers(tuple(found), np.concatenate(embedded))


def _parts(frames: Sequence[NDArray[np.uint8]]) -> list[Sequence[NDArray[np.uint8]]]:
    return [frames[start : start + _BATCH] for start in range(0, len(frames), _BATCH)]


class Difference(NamedTuple):
    """How much more mAP a candidate has, in 0..1, and the interval of 95 % of a bootstrap."""

    here: float
    low: float
    high: float

    @property
    def in_noise(self) -> bool:
        """Whether as many queries drawn again could have shown none."""
        return self.low <= 0 <= self.high


def difference(reference: Scores, here: Scores, *, seed: int = 0) -> Difference:
    """Return the difference of mAP with its interval, by drawing the queries again in pairs.

    Raises:
        ValueError: the two answered different queries.
    """
    if len(reference.query_aps) != len(here.query_aps):
        raise ValueError(f"{len(reference.query_aps)} queries against {len(here.query_aps)}")
    apart = np.array(here.query_aps) - np.array(reference.query_aps)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(apart), (RESAMPLES, len(apart)))
    low, high = np.percentile(apart[draws].mean(axis=1), _INTERVAL)
    return Difference(here.search_map - reference.search_map, float(low), float(high))


@dataclass(frozen=True, slots=True)
class Finding:
    """How far a candidate's answers agree with the reference's; scores where there are labels.

    ``query_cosine_p01`` is the first percentile of the cosine of the ``queries`` embeddings.
    """

    stats: Stats
    queries: int
    query_cosine_p01: float
    reference: Scores | None
    here: Scores | None
    apart: Difference | None


def compare_answers(reference: Answers, here: Answers, *, threshold: float) -> Finding:
    """Return how far two answers to one exam agree.

    Raises:
        ValueError: they are answers to different exams.
    """
    if reference.embedded.shape != here.embedded.shape:
        raise ValueError(f"{len(reference.embedded)} queries against {len(here.embedded)}")
    cosines = np.sum(reference.embedded.astype(np.float64) * here.embedded, axis=1)
    apart = None
    if reference.scores is not None and here.scores is not None:
        apart = difference(reference.scores, here.scores)
    return Finding(
        agree(reference.found, here.found, min_score=threshold),
        len(cosines),
        float(np.percentile(cosines, 1)) if len(cosines) else 1.0,
        reference.scores,
        here.scores,
        apart,
    )


@dataclass(frozen=True, slots=True)
class Examined:
    """A candidate and what was found, or why it could not be examined."""

    candidate: Candidate
    finding: Finding | None
    problem: str = ""


Opener = Callable[[Candidate], AbstractContextManager[Engine]]
Told = Callable[[str, int, int], None]
"""Told which candidate is under way, and its frames and queries done and in total."""


def examine(
    exam: Exam,
    candidates: Sequence[Candidate],
    opener: Opener,
    *,
    reference: Candidate = ORDINARY,
    told: Told | None = None,
) -> list[Examined]:
    """Let the reference and then every candidate answer an exam, one open at a time.

    A candidate that fails is told with the reason; the others go on.

    Raises:
        EngineError: the reference itself failed.
    """
    ours = _sit(exam, reference, opener, told)
    out = []
    for candidate in candidates:
        try:
            its = ours if candidate == reference else _sit(exam, candidate, opener, told)
        except EngineError as error:
            out.append(Examined(candidate, None, str(error)))
        else:
            out.append(Examined(candidate, compare_answers(ours, its, threshold=exam.threshold)))
    return out


def _sit(exam: Exam, candidate: Candidate, opener: Opener, told: Told | None) -> Answers:
    def progress(done: int, total: int) -> None:
        if told is not None:
            told(str(candidate), done, total)

    with opener(candidate) as engine:
        taken = Candidate(engine.info.backend, engine.info.precision)
        if taken != candidate:
            raise BackendUnavailableError(f"{taken} took the place of {candidate}")
        return exam.sit(engine, max(0.0, exam.threshold - MARGIN), progress)


def verdict_of(
    finding: Finding,
    *,
    key: PlanKey,
    plan: Plan | None,
    exam: Exam,
    reference: Candidate,
    speed: Cell,
    ratio: Spread,
    at: datetime,
) -> Verdict:
    """Return what was found as a verdict that can be kept; ``at`` is when, with a time zone."""
    stats, ours, its, apart = finding.stats, finding.reference, finding.here, finding.apart
    return Verdict(
        key=key,
        plan_sha256={} if plan is None else {name: plan.sha256(name) for name in plan.files},
        frames=stats.frames,
        persons=stats.persons,
        matched=stats.matched,
        box_px_p99=stats.box_px_p99,
        cosine_p01=stats.cosine_p01,
        cosine_median=stats.cosine_median,
        query_cosine_p01=finding.query_cosine_p01,
        queries=finding.queries,
        map_reference=None if ours is None else ours.search_map,
        map_here=None if its is None else its.search_map,
        map_low=None if apart is None else apart.low,
        map_high=None if apart is None else apart.high,
        ap_reference=None if ours is None else ours.detection_ap,
        ap_here=None if its is None else its.detection_ap,
        data=exam.name,
        reference=str(reference),
        frames_per_s=speed.frames_per_s.median,
        ratio=ratio.median,
        verified_at=at.astimezone(UTC).isoformat(timespec="seconds"),
    )
