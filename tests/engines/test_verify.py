"""Verification: engines that differ in known ways answer one exam."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bench.measure import Cell, Spread
from engines.bundle import open_bundle
from engines.engine import Engine, EngineInfo, open_engine
from engines.errors import BackendUnavailableError, InferenceError
from engines.plans.build import plan_key
from engines.plans.cache import PlanCache
from engines.values import Detections
from engines.verify import (
    ORDINARY,
    Answers,
    Candidate,
    FramesExam,
    Scores,
    compare_answers,
    difference,
    examine,
    verdict_of,
)

Frames = list[NDArray[np.uint8]]
OTHER = Candidate("openvino", "bf16")
THRESHOLD = 0.6


def above(found: Detections, floor: float) -> Detections:
    keep = found.scores >= floor
    return Detections(found.boxes[keep], found.scores[keep], found.embeddings[keep])


class Changed:
    """An engine under another name whose answers are changed on their way out."""

    def __init__(
        self, inner: Engine, candidate: Candidate, change: Callable[[Detections], Detections]
    ) -> None:
        self._inner, self._candidate, self._change = inner, candidate, change

    @property
    def info(self) -> EngineInfo:
        backend, precision = self._candidate
        return replace(self._inner.info, backend=backend, precision=precision)

    def detect(self, frames: Any, *, min_score: float | None = None) -> list[Detections]:
        found = self._inner.detect(frames, min_score=0.0)
        return [above(self._change(one), min_score or 0.0) for one in found]

    def embed(self, frames: Any, boxes: Any) -> list[NDArray[np.float32]]:
        out = []
        for embedded in self._inner.embed(frames, boxes):
            like = Detections(np.zeros((len(embedded), 4), np.float32),
                              np.ones(len(embedded), np.float32), embedded)  # fmt: skip
            out.append(self._change(like).embeddings)
        return out


@pytest.fixture
def frames() -> Frames:
    """Ten frames of 32 x 48: three persons each, the last a weak one."""
    pictures = []
    for number in range(10):
        picture = np.full((32, 48, 3), 16, np.uint8)
        for row, colour in enumerate([(250, 20, 20), (20, 230, 20), (20, 20, 158)]):
            x, y = 4 * (number % 8), 8 * row
            picture[y : y + 4, x : x + 4] = colour
        pictures.append(picture)
    return pictures


@pytest.fixture
def opener(tiny_bundle: Path) -> Callable[..., Any]:
    """Return a function that gives openers of engines, one of them changed."""

    def make(change: Callable[[Detections], Detections]) -> Any:
        @contextmanager
        def opened(candidate: Candidate) -> Iterator[Engine]:
            with open_engine(tiny_bundle, backend="onnxruntime", threads=1) as engine:
                same = candidate == ORDINARY
                yield engine if same else Changed(engine, candidate, change)  # type: ignore[misc]

        return opened

    return make


@pytest.fixture
def exam(frames: Frames) -> FramesExam:
    return FramesExam("ten frames", frames, threshold=THRESHOLD)


def same(found: Detections) -> Detections:
    return found


def test_the_same_engine_agrees(exam: FramesExam, opener: Callable[..., Any]) -> None:
    told: list[tuple[str, int, int]] = []
    (ours, its) = examine(exam, [ORDINARY, OTHER], opener(same), told=lambda *a: told.append(a))
    for one in (ours, its):
        assert one.finding is not None
        assert one.problem == ""
        assert one.finding.stats.frames == 10
        assert one.finding.stats.matched == 1
        assert one.finding.stats.persons == 30
        assert one.finding.queries == 30
        assert one.finding.query_cosine_p01 == pytest.approx(1, abs=1e-6)
        assert one.finding.apart is None, "nobody is labelled"
    assert told == [
        ("onnxruntime fp32", 8, 10), ("onnxruntime fp32", 10, 10),
        ("openvino bf16", 8, 10), ("openvino bf16", 10, 10),
    ]  # fmt: skip


def test_a_moved_box_and_a_turned_embedding_are_measured(
    exam: FramesExam, opener: Callable[..., Any]
) -> None:
    def change(found: Detections) -> Detections:
        turned = np.roll(found.embeddings, 1, axis=1)
        return Detections(found.boxes + np.float32(0.5), found.scores, turned)

    (one,) = examine(exam, [OTHER], opener(change))
    assert one.finding is not None
    assert one.finding.stats.box_px_p99 == pytest.approx(0.5)
    assert one.finding.stats.cosine_p01 < 0.3
    assert one.finding.query_cosine_p01 < 0.3
    assert one.finding.stats.matched == 1


@pytest.mark.parametrize(("shift", "matched"), [(-0.05, 1.0), (-0.3, 0.8)])
def test_a_score_that_crosses_the_threshold_is_no_difference(
    exam: FramesExam, opener: Callable[..., Any], shift: float, matched: float
) -> None:
    def change(found: Detections) -> Detections:
        scores = found.scores.copy()
        scores[scores < 0.7] += shift
        return Detections(found.boxes, scores, found.embeddings)

    (one,) = examine(exam, [OTHER], opener(change))
    assert one.finding is not None
    assert one.finding.stats.matched == pytest.approx(matched)


def test_one_that_fails_does_not_stop_the_others(
    exam: FramesExam, opener: Callable[..., Any]
) -> None:
    def broken(_: Detections) -> Detections:
        raise InferenceError("no more memory")

    found = examine(exam, [OTHER, ORDINARY], opener(broken))
    assert [one.problem for one in found] == ["no more memory", ""]
    assert found[0].finding is None
    assert found[1].finding is not None


def test_a_reference_that_fails_is_an_error(exam: FramesExam, opener: Callable[..., Any]) -> None:
    def broken(_: Detections) -> Detections:
        raise InferenceError("no more memory")

    with pytest.raises(InferenceError, match="no more memory"):
        examine(exam, [ORDINARY], opener(broken), reference=OTHER)


def test_another_engine_in_its_place_is_not_verified(exam: FramesExam, tiny_bundle: Path) -> None:
    def always(_: Candidate) -> Any:
        return open_engine(tiny_bundle, backend="onnxruntime", threads=1)

    (one,) = examine(exam, [OTHER], always)
    assert one.problem == "onnxruntime fp32 took the place of openvino bf16"
    with pytest.raises(BackendUnavailableError, match="took the place of openvino bf16"):
        examine(exam, [ORDINARY], always, reference=OTHER)


def scores(*aps: float) -> Scores:
    return Scores(float(np.mean(aps)), 0.9, aps)


def test_the_difference_and_its_interval() -> None:
    rng = np.random.default_rng(1)
    before = rng.uniform(0.5, 0.9, 400)
    worse = difference(scores(*before), scores(*(before - 0.02)))
    assert worse.here == pytest.approx(-0.02)
    assert (worse.low, worse.high) == (pytest.approx(-0.02), pytest.approx(-0.02))
    assert not worse.in_noise
    noisy = difference(scores(*before), scores(*(before + rng.normal(0, 0.2, 400))))
    # 0.2 / sqrt(400) = 0.01 is the standard error of the mean.
    assert noisy.high - noisy.low == pytest.approx(2 * 1.96 * 0.01, rel=0.15)
    assert noisy.low < noisy.here < noisy.high


def test_queries_are_paired() -> None:
    # One query in two falls from 1 to 0, the other rises: unpaired, nothing would be seen to vary.
    apart = difference(scores(*[1.0, 0.0] * 50), scores(*[0.0, 1.0] * 50))
    assert apart.here == 0
    assert apart.in_noise
    assert apart.high - apart.low == pytest.approx(2 * 1.96 / 10, rel=0.15)


def test_answers_to_different_exams_are_refused() -> None:
    with pytest.raises(ValueError, match="1 queries against 2"):
        difference(scores(0.5), scores(0.5, 0.5))
    one, two = (Answers((), np.zeros((n, 256), np.float32)) for n in (1, 2))
    with pytest.raises(ValueError, match="1 queries against 2"):
        compare_answers(one, two, threshold=0.5)


def test_frames_without_persons_agree(opener: Callable[..., Any]) -> None:
    dark = [np.zeros((32, 48, 3), np.uint8)]
    (one,) = examine(FramesExam("dark", dark, threshold=THRESHOLD), [OTHER], opener(same))
    assert one.finding is not None
    assert (one.finding.stats.persons, one.finding.stats.matched) == (0, 1)
    assert (one.finding.queries, one.finding.query_cosine_p01) == (0, 1)


def test_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing: no frames"):
        FramesExam("nothing", [], threshold=0.5)


@pytest.mark.parametrize("planned", [False, True])
def test_a_finding_becomes_a_verdict(tiny_bundle: Path, tmp_path: Path, planned: bool) -> None:
    bundle, cache = open_bundle(tiny_bundle), PlanCache(tmp_path / "cache")
    key = plan_key(bundle, "onnxruntime", "int8" if planned else "fp32")
    plan = cache.store(key, {"search.onnx": b"one"}, {}) if planned else None
    person = Detections(
        np.array([[0, 0, 9, 9]], np.float32),
        np.ones(1, np.float32),
        np.eye(1, 256, dtype=np.float32),
    )
    unit = np.eye(4, 256, dtype=np.float32)
    ours = Answers((person,), unit, scores(0.5, 0.7, 0.6, 0.6))
    its = Answers((person,), unit, scores(0.5, 0.6, 0.5, 0.6))
    verdict = verdict_of(
        compare_answers(ours, its, threshold=0.5),
        key=key,
        plan=plan,
        exam=FramesExam("a world", [np.zeros((4, 4, 3), np.uint8)], threshold=0.5),
        reference=ORDINARY,
        speed=Cell("onnxruntime", "fp32", 4, (10.0, 12.0, 11.0), 1, 1, 1, 3, 0.1),
        ratio=Spread(1.5, 1.4, 1.6),
        at=datetime(2026, 3, 2, 14, tzinfo=UTC),
    )
    assert (verdict.map_reference, verdict.map_here) == (pytest.approx(0.6), pytest.approx(0.55))
    assert verdict.map_loss == pytest.approx(0.05)
    assert verdict.ap_loss == 0
    assert (verdict.frames_per_s, verdict.ratio) == (11.0, 1.5)
    assert (verdict.data, verdict.reference) == ("a world", "onnxruntime fp32")
    assert verdict.verified_at == "2026-03-02T14:00:00+00:00"
    assert set(verdict.plan_sha256) == ({"search.onnx"} if planned else set())
    assert verdict.refused() == "costs 5 points of search mAP, more than 0.5"
