"""Search scoring: the worked example, single rules, and random galleries against plain loops."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from train.evaluation.protocol import ANYWHERE, GALLERIES, IouRule, SearchProtocol
from train.evaluation.rescore import DetectionWeights
from train.evaluation.search import Search, SearchScores, score_search

ALL = SearchProtocol(GALLERIES["all"])
CROSS = SearchProtocol(GALLERIES["cross-camera"])
OWN = SearchProtocol(GALLERIES["own"])
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


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("gallery", ["all", "cross-camera"])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_random_galleries_agree_with_plain_loops(
    plainscore: ModuleType,
    randomscene: ModuleType,
    seed: int,
    adaptive: bool,
    gallery: str,
    ties: bool,
) -> None:
    scene = randomscene.random_scene(seed, ties=ties)
    protocol = SearchProtocol(GALLERIES[gallery], iou=IouRule(adaptive=adaptive))
    scores = score(scene, protocol)
    plain = [
        plainscore.score_query(
            scene.images, scene.found, query, feature,
            cross_camera=gallery == "cross-camera", adaptive=adaptive,
        )
        for query, feature in zip(scene.queries, scene.features, strict=True)
    ]  # fmt: skip
    agree(scores, plain)


def agree(scores: SearchScores, plain: Any) -> None:
    for mine, (ap, _) in zip(scores.queries, plain, strict=True):
        assert mine.ap == pytest.approx(ap, abs=1e-12)
    assert scores.mean_ap == pytest.approx(np.mean([ap for ap, _ in plain]), abs=1e-12)
    for k in (1, 5, 10):
        share = np.mean([any(ranked[:k]) for _, ranked in plain])
        assert scores.top[k] == pytest.approx(share, abs=1e-12)
    assert 0 < scores.mean_ap < 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_own_galleries_with_repeats_agree_with_plain_loops(
    plainscore: ModuleType,
    randomscene: ModuleType,
    seed: int,
    truth: bool,
    ties: bool,
    weighted: bool,
) -> None:
    scene = randomscene.random_scene(seed, ties=ties)
    scene = randomscene.with_own_galleries(scene, seed, truth=truth)
    assert any(len(set(query.gallery.tolist())) < 12 for query in scene.queries)
    search = Search(scene.images, scene.found, scene.queries, scene.features, OWN)
    scores = search.score(DetectionWeights(search.pool) if weighted else None)
    plain = [
        plainscore.score_listing(
            plainscore.own_listing(scene.images, query), scene.found, feature, weighted=weighted
        )
        for query, feature in zip(scene.queries, scene.features, strict=True)
    ]
    agree(scores, plain)


def test_each_listing_of_a_frame_has_its_own_person(example: Any) -> None:
    # Frame b twice: once person 7 is at the exact box, once at the other detection's.
    b = np.array([[300, 100, 400, 400], [300, 130, 400, 430]], np.float32)
    listed = replace(example.queries[0], gallery=np.array([2, 2], np.int32), truth={2: b})
    scores = score_search(example.images, example.found, [listed], example.features, OWN)
    # Both overlap both boxes enough, so that the better one is the answer to both listings.
    assert (scores.queries[0].found, scores.queries[0].answers) == (2, 2)
    assert scores.mean_ap == pytest.approx(1, abs=1e-12)
    denied = replace(listed, truth={2: b[:1]})
    scores = score_search(example.images, example.found, [denied], example.features, OWN)
    # One listing shows the person: of two equal answers one is right.
    assert (scores.queries[0].found, scores.queries[0].answers) == (1, 1)
    assert scores.mean_ap == pytest.approx(1 / 2, abs=1e-12)


def test_truth_outside_the_gallery_counts_for_nothing(example: Any) -> None:
    box = example.images[1].boxes[:1]
    query = replace(example.queries[0], gallery=np.array([4], np.int32), truth={1: box})
    scores = score_search(example.images, example.found, [query], example.features, OWN)
    assert scores.unanswerable == 1


def test_a_gallery_may_hold_the_query_frame(example: Any) -> None:
    query = replace(example.queries[0], gallery=np.array([0, 4], np.int32))
    scores = score_search(example.images, example.found, [query], example.features, OWN)
    assert (scores.mean_ap, scores.top[1]) == (1, 1)


def test_any_answer_is_right_where_no_overlap_is_asked_for(example: Any) -> None:
    anywhere = SearchProtocol(GALLERIES["all"], iou=ANYWHERE)
    scores = score(example, anywhere)
    # In frame a the wrong person is the most similar one, and now right.
    assert scores.top[1] == 1
    assert scores.queries[0].found == 3
