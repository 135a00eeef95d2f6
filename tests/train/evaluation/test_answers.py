"""The best frames of a query, as a sheet shows them."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from train.evaluation.answers import best_answers
from train.evaluation.protocol import GALLERIES, SearchProtocol
from train.evaluation.rescore import DetectionWeights
from train.evaluation.search import Search

ALL = SearchProtocol(GALLERIES["all"])


def search_in(scene: Any) -> Search:
    return Search(scene.images, scene.found, scene.queries, scene.features, ALL)


def test_the_worked_example(example: Any) -> None:
    (answers,) = best_answers(search_in(example), [0], count=9)
    # Frame c has nothing that was detected surely enough; frame q is not in the gallery.
    assert [(a.frame, a.right) for a in answers] == [(1, False), (4, False), (2, True), (5, True)]
    np.testing.assert_allclose([a.similarity for a in answers], [0.95, 0.85, 0.8, 0.6], atol=1e-6)
    assert answers[2].box.tolist() == [300, 100, 400, 400]


def test_so_many_and_no_more(example: Any) -> None:
    (answers,) = best_answers(search_in(example), [0], count=2)
    assert [answer.frame for answer in answers] == [1, 4]


def test_the_numbers_choose_the_queries(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(3)
    search = search_in(scene)
    every = best_answers(search, range(len(scene.queries)))
    few = best_answers(search, [5, 0])
    frames = [[answer.frame for answer in answers] for answers in (every[5], every[0])]
    assert [[answer.frame for answer in answers] for answers in few] == frames


def test_the_first_answer_is_right_as_often_as_top_1_says(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(3)
    search = search_in(scene)
    for rescore in (None, DetectionWeights(search.pool)):
        best = best_answers(search, range(len(scene.queries)), count=1, rescore=rescore)
        share = np.mean([answers[0].right for answers in best])
        assert share == pytest.approx(search.score(rescore).top[1], abs=1e-12)
