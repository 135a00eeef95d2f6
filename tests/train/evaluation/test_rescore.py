"""Re-scoring: context matching and k-reciprocal ranks against plain loops, and names."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.values import Detections
from train.data.records import QueryRecord
from train.errors import ConfigError
from train.evaluation import reciprocal
from train.evaluation.cbgm import CbgmSizes, ContextMatching, persons_beside
from train.evaluation.pool import Pool
from train.evaluation.protocol import GALLERIES, SearchProtocol
from train.evaluation.reciprocal import KReciprocal, ReciprocalSizes
from train.evaluation.rescore import RESCORINGS, make_rescoring, rescoring_names
from train.evaluation.search import Search

OWN = SearchProtocol(GALLERIES["own"])
CROSS = SearchProtocol(GALLERIES["cross-camera"])


def search_in(scene: Any, protocol: SearchProtocol) -> Search:
    return Search(scene.images, scene.found, scene.queries, scene.features, protocol)


def contexts_of(scene: Any) -> list[Any]:
    by_name = {image.name: found for image, found in zip(scene.images, scene.found, strict=True)}
    return [persons_beside(query, by_name[query.name]) for query in scene.queries]


def plain_cbgm(
    plainrescore: ModuleType, search: Search, contexts: Any, sizes: CbgmSizes, number: int
) -> Any:
    """Return the similarities of a query after matching, by trying every matching."""
    pool, query = search.pool, search.features[number]
    gallery = set(search.queries[number].gallery.tolist())
    out = np.array([float(row @ query) for row in pool.embeddings])
    inside = [row for row in range(len(out)) if int(pool.frame[row]) in gallery]
    best = sorted(inside, key=lambda row: -out[row])[: sizes.k1]
    persons = [query, *contexts[number][: sizes.k2 - 1].astype(np.float64)]
    for frame in {int(pool.frame[row]) for row in best}:
        rows = [row for row in range(len(out)) if pool.frame[row] == frame]
        edges = np.array([[float(p @ pool.embeddings[row]) for row in rows] for p in persons])
        mine, largest = plainrescore.matched_edge(edges)
        if mine is not None:
            out[rows[mine]] = largest
    return out


@pytest.mark.parametrize("sizes", [CbgmSizes(10, 3), CbgmSizes(4, 2), CbgmSizes(3, 1)], ids=str)
def test_context_matching_agrees_with_trying_every_matching(
    plainscore: ModuleType, plainrescore: ModuleType, randomscene: ModuleType, sizes: CbgmSizes
) -> None:
    scene = randomscene.random_scene(5, frames=20, sightings=2)
    scene = randomscene.with_own_galleries(scene, 5, truth=False)
    search, contexts = search_in(scene, OWN), contexts_of(scene)
    rescore = ContextMatching(search.pool, search.features, contexts, sizes)
    scores, aps = search.score(rescore), []
    for number, ranking in enumerate(search.rankings(rescore)):
        plain = plain_cbgm(plainrescore, search, contexts, sizes, number)
        np.testing.assert_allclose(ranking.similarities, plain, atol=1e-12)
        given = {frame: plain[search.pool.rows(frame)] for frame in range(len(scene.images))}
        listing = plainscore.own_listing(scene.images, scene.queries[number])
        feature = scene.features[number]
        aps.append(plainscore.score_listing(listing, scene.found, feature, given=given)[0])
    np.testing.assert_allclose([score.ap for score in scores.queries], aps, atol=1e-12)
    if sizes.k2 > 1:
        assert scores.mean_ap != search.score().mean_ap


def pool_of(*frames: Any) -> Pool:
    none = [np.zeros((len(rows), 4), np.float32) for rows in frames]
    found = []
    for boxes, rows in zip(none, frames, strict=True):
        embeddings = np.zeros((len(rows), 256), np.float32)
        embeddings[:, :2] = rows
        found.append(Detections(boxes, np.full(len(rows), 0.5, np.float32), embeddings))
    return Pool.of(found, 0.5)


def test_the_one_who_stands_beside_the_companion_takes_the_companions_edge() -> None:
    pool = pool_of([[0.6, 0.1], [0.0, 0.9]], [[0.7, 0.0]])
    query, companion = np.zeros((1, 256)), np.zeros((1, 256), np.float32)
    query[0, 0], companion[0, 1] = 1, 1
    match = ContextMatching(pool, query, [companion], CbgmSizes(3, 2))
    plain = pool.embeddings @ query[0]
    out = match(0, plain, np.ones(3, np.int64))
    np.testing.assert_allclose(out, [0.9, 0.0, 0.7], atol=1e-7)
    np.testing.assert_allclose(plain, [0.6, 0.0, 0.7], atol=1e-7)
    # Out of the gallery, a frame is left alone.
    np.testing.assert_allclose(match(0, plain, np.array([0, 0, 1])), plain, atol=1e-12)


def test_a_query_that_nobody_is_matched_to_changes_nothing() -> None:
    pool = pool_of([[0.1, 0.9]])
    query, companion = np.zeros((1, 256)), np.zeros((1, 256), np.float32)
    query[0, 0], companion[0, 1] = 1, 1
    match = ContextMatching(pool, query, [companion], CbgmSizes(3, 2))
    # One person in the frame, and that is the companion.
    np.testing.assert_allclose(match(0, pool.embeddings @ query[0], np.ones(1, np.int64)), [0.1])


def test_weighted_matching_weighs_every_edge() -> None:
    pool = pool_of([[0.6, 0.1], [0.0, 0.9]])
    query, companion = np.zeros((1, 256)), np.zeros((1, 256), np.float32)
    query[0, 0], companion[0, 1] = 1, 1
    match = ContextMatching(pool, query, [companion], CbgmSizes(3, 2), weighted=True)
    out = match(0, pool.embeddings @ query[0], np.ones(2, np.int64))
    np.testing.assert_allclose(out, [0.45, 0.0], atol=1e-7)


def test_a_context_for_each_query() -> None:
    with pytest.raises(ValueError, match="2 queries with 1 contexts"):
        ContextMatching(
            pool_of([[0, 1]]), np.zeros((2, 256)), [np.zeros((0, 256))], CbgmSizes(1, 1)
        )


def test_persons_beside_are_those_who_are_not_the_query() -> None:
    boxes = np.array([[50, 0, 60, 10], [1, 0, 11, 10], [0, 0, 10, 24.9], [30, 0, 40, 9]])
    found = Detections(
        boxes.astype(np.float32),
        np.array([0.6, 0.9, 0.8, 0.7], np.float32),
        np.arange(4 * 256, dtype=np.float32).reshape(4, 256),
    )
    query = QueryRecord("q", Path("q"), 0, np.array([0, 0, 10, 10], np.float32), 1)
    # The second is the query; the third overlaps it by 0.4016, which is too much as well.
    beside = persons_beside(query, found)
    assert beside[:, 0].tolist() == [3 * 256, 0]


@pytest.mark.parametrize(
    "sizes", [ReciprocalSizes(), ReciprocalSizes(7, 3, 0.5), ReciprocalSizes(5, 1, 0.0)], ids=str
)
def test_k_reciprocal_agrees_with_sets_and_loops(
    plainrescore: ModuleType,
    randomscene: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    sizes: ReciprocalSizes,
) -> None:
    monkeypatch.setattr(reciprocal, "_ROWS_AT_ONCE", 17)
    scene = randomscene.random_scene(2, frames=9)
    search = search_in(scene, CROSS)
    ranks = KReciprocal(search.features, search.pool.embeddings, sizes)
    plain = plainrescore.k_reciprocal(
        search.features, search.pool.embeddings, k1=sizes.k1, k2=sizes.k2, weight=sizes.weight
    )
    mine = [r.similarities for r in search.rankings(ranks)]
    np.testing.assert_allclose(mine, plain, atol=1e-12)
    assert np.unique(np.round(mine, 6)).size > 50


def test_k_reciprocal_with_fewer_people_than_neighbours() -> None:
    rows = np.eye(4, 256)
    ranks = KReciprocal(rows[:1], rows[1:])
    out = ranks(0, np.zeros(3), np.ones(3, np.int64))
    # All are each other's neighbours at the same distance.
    np.testing.assert_allclose(out, np.full(3, 1 - 0.3), atol=1e-12)


def test_each_row_is_its_own_nearest_even_among_copies() -> None:
    copies = np.tile(np.eye(1, 256), (5, 1))
    near, largest = reciprocal.nearest(copies, 3)
    assert near[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (largest > 0).all()


def test_names_of_rescoring() -> None:
    assert rescoring_names("none") == ()
    assert rescoring_names("cws") == ("cws",)
    assert rescoring_names(["cbgm", "none", "cws", "cbgm"]) == ("cbgm", "cws")
    with pytest.raises(ConfigError, match="no re-scoring 'cbg': choose from none, cws, cbgm, cws"):
        rescoring_names("cbg")


def test_every_rescoring_says_how(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(1, frames=6)
    search = search_in(scene, CROSS)
    how = {name: make_rescoring(name, search, contexts_of(scene)).how for name in RESCORINGS}
    assert how["cws"] == "gallery similarity x detection score"
    assert how["cbgm"] == "context bipartite graph matching, k1=30, k2=4"
    assert how["cws+cbgm"] == f"{how['cws']}, then {how['cbgm']}"
    assert how["k-reciprocal"].startswith("k-reciprocal, k1=20, k2=6, lambda=0.3, neighbours am")
    with pytest.raises(ConfigError, match="re-scoring 'none' changes nothing"):
        make_rescoring("none", search, ())
