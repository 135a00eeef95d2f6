"""Search scoring: the worked example, single rules, and random galleries against plain loops."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.values import Detections
from train.data.records import ImageRecord, QueryRecord
from train.evaluation.protocol import GALLERIES, IouRule, SearchProtocol
from train.evaluation.search import SearchScores, score_search

ALL = SearchProtocol(GALLERIES["all"])
CROSS = SearchProtocol(GALLERIES["cross-camera"])
FIXED = SearchProtocol(GALLERIES["all"], iou=IouRule(adaptive=False))


def score(scene: Any, protocol: SearchProtocol) -> SearchScores:
    return score_search(scene.images, scene.found, scene.queries, scene.features, protocol)


@pytest.mark.parametrize(
    ("protocol", "mean_ap", "found", "answers"),
    [(ALL, 0.375, 3, 4), (CROSS, 1 / 3, 2, 3), (FIXED, 0.25, 2, 4)],
)
def test_the_worked_example(
    example: Any, protocol: SearchProtocol, mean_ap: float, found: int, answers: int
) -> None:
    scores = score(example, protocol)
    assert scores.mean_ap == pytest.approx(mean_ap, abs=1e-12)
    assert scores.top == {1: 0, 5: 1, 10: 1}
    assert (scores.queries[0].found, scores.queries[0].answers) == (found, answers)
    assert scores.unanswerable == 0


def test_the_curve_of_the_worked_example(example: Any) -> None:
    curve = score(example, ALL).curve
    at = np.searchsorted(-curve.thresholds, -0.8499)
    assert (curve.precision[at], curve.recall[at]) == (pytest.approx(1 / 3), pytest.approx(1 / 4))
    assert curve.recall[-1] == pytest.approx(3 / 4)
    assert curve.precision[-1] == pytest.approx(3 / 19)


def test_a_person_who_is_nowhere_else_scores_0_and_is_counted(example: Any) -> None:
    lonely = [replace(example.queries[0], pid=12), example.queries[0]]
    features = np.repeat(example.features, 2, axis=0)
    scores = score_search(example.images, example.found, lonely, features, CROSS)
    assert scores.queries[0].answers == 1
    lonely[0] = replace(lonely[0], pid=99)
    scores = score_search(example.images, example.found, lonely, features, CROSS)
    assert (scores.unanswerable, scores.queries[0].rank) == (1, None)
    assert scores.mean_ap == pytest.approx(1 / 6, abs=1e-12)


def test_persons_without_identity_are_never_right(example: Any) -> None:
    query = [replace(example.queries[0], pid=-2)]
    scores = score_search(example.images, example.found, query, example.features, ALL)
    assert scores.queries[0].answers == 0


def test_nothing_detected_at_all(example: Any, prwfolder: ModuleType) -> None:
    nothing = [prwfolder.detections([], []) for _ in example.images]
    scores = score_search(example.images, nothing, example.queries, example.features, ALL)
    assert (scores.mean_ap, scores.queries[0].answers) == (0, 4)
    assert scores.top == {1: 0, 5: 0, 10: 0}


def test_queries_and_features_must_agree(example: Any) -> None:
    with pytest.raises(ValueError, match="1 queries with 2 features"):
        score_search(
            example.images, example.found, example.queries, np.zeros((2, 256), np.float32), ALL
        )


def random_scene(seed: int, *, ties: bool) -> tuple[Any, ...]:
    """Return images, detections, queries, features; with ties, similarities take few values."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(12, 256)).astype(np.float32)
    images, found, queries = [], [], []
    for number in range(30):
        ids = rng.permutation(12)[: rng.integers(0, 6)]
        ids = np.where(rng.random(len(ids)) < 0.2, -2, ids).astype(np.int64)
        corner = rng.uniform(0, 200, (len(ids), 2))
        size = rng.uniform(6, 60, (len(ids), 2))
        boxes = np.hstack([corner, corner + size]).astype(np.float32)
        name = f"c{number % 4}s1_{number:06d}"
        images.append(ImageRecord(Path(name), name, number % 4, boxes, ids))
        found.append(_noisy(rng, images[-1], looks, ties))
        queries += [
            QueryRecord(name, Path(name), number % 4, box, int(pid))
            for box, pid in zip(boxes, ids, strict=True)
            if pid >= 0
        ]
    features = np.stack([_feature(rng, looks[query.pid], ties) for query in queries])
    return images, found, queries, features


def _feature(rng: np.random.Generator, look: Any, ties: bool) -> Any:
    if ties:  # Few exact numbers: equal similarities are equal to the last bit.
        out = np.zeros(256, np.float32)
        out[:3] = rng.integers(-2, 3, 3) / 4
        return out
    vector = look + rng.normal(0, 1.5, 256)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _noisy(rng: np.random.Generator, image: ImageRecord, looks: Any, ties: bool) -> Detections:
    rows = rng.permutation(np.repeat(np.arange(len(image.ids)), 3))
    sizes = image.boxes[rows, 2:] - image.boxes[rows, :2]
    noise = rng.normal(0, 0.15, (len(rows), 4)) * np.hstack([sizes, sizes])
    embeddings = [_feature(rng, looks[image.ids[row]], ties) for row in rows]
    return Detections(
        (image.boxes[rows] + noise).astype(np.float32),
        rng.uniform(0.4, 1, len(rows)).astype(np.float32),
        np.array(embeddings, np.float32).reshape(-1, 256),
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("gallery", ["all", "cross-camera"])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_random_galleries_agree_with_plain_loops(
    plainscore: ModuleType, seed: int, adaptive: bool, gallery: str, ties: bool
) -> None:
    images, found, queries, features = random_scene(seed, ties=ties)
    protocol = SearchProtocol(GALLERIES[gallery], iou=IouRule(adaptive=adaptive))
    scores = score_search(images, found, queries, features, protocol)
    plain = [
        plainscore.score_query(
            images, found, query, feature,
            cross_camera=gallery == "cross-camera", adaptive=adaptive,
        )
        for query, feature in zip(queries, features, strict=True)
    ]  # fmt: skip
    for mine, (ap, _) in zip(scores.queries, plain, strict=True):
        assert mine.ap == pytest.approx(ap, abs=1e-12)
    assert scores.mean_ap == pytest.approx(np.mean([ap for ap, _ in plain]), abs=1e-12)
    for k in (1, 5, 10):
        share = np.mean([any(ranked[:k]) for _, ranked in plain])
        assert scores.top[k] == pytest.approx(share, abs=1e-12)
    assert 0 < scores.mean_ap < 1
