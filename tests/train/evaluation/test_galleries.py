"""Random galleries of a size, and scores over sizes."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from train.data.records import PersonSearchSet
from train.data.sets import load_set
from train.errors import ConfigError, DatasetError
from train.evaluation.galleries import gallery_curve, queries_by_size, sub_galleries
from train.evaluation.protocol import GALLERIES, SearchProtocol
from train.evaluation.search import score_search


def test_a_gallery_holds_every_frame_with_the_person(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(0)
    for query in sub_galleries(scene.images, scene.queries, 15):
        assert query.gallery is not None
        assert query.gallery.dtype == np.int32
        places = query.gallery.tolist()
        shown = {n for n, image in enumerate(scene.images) if query.pid in image.ids}
        own = next(n for n, image in enumerate(scene.images) if image.name == query.name)
        assert len(set(places)) == len(places) == 15
        assert shown - {own} <= set(places)
        assert own not in places


def test_cross_camera_galleries_keep_the_rule(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(0)
    rule = GALLERIES["cross-camera"]
    for query in sub_galleries(scene.images, scene.queries, 12, rule=rule):
        assert query.gallery is not None
        cameras = {scene.images[place].camera for place in query.gallery}
        assert query.camera not in cameras


def test_galleries_are_nested_seeded_and_as_large_as_they_can_be(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(0)
    small, large, all_of_them, other = (
        [set(q.gallery.tolist()) for q in sub_galleries(scene.images, scene.queries, n, seed=s)]
        for n, s in ((12, 3), (20, 3), (500, 3), (12, 4))
    )
    assert all(a < b for a, b in zip(small, large, strict=True))
    assert {len(places) for places in all_of_them} == {len(scene.images) - 1}
    assert small != other
    again = [
        set(q.gallery.tolist()) for q in sub_galleries(scene.images, scene.queries, 12, seed=3)
    ]
    assert small == again


def test_a_person_in_more_frames_than_the_size(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(0)
    tight = sub_galleries(scene.images, scene.queries, 1)
    query = tight[0]
    assert query.gallery is not None
    shown = [n for n, i in enumerate(scene.images) if query.pid in i.ids and i.name != query.name]
    assert query.gallery.tolist() == shown
    with pytest.raises(ConfigError, match="gallery size is 0, want 1 or more"):
        sub_galleries(scene.images, scene.queries, 0)


def test_the_curve_is_the_score_at_each_size(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(7)
    sizes = (20, 10, 29)
    queries = {size: sub_galleries(scene.images, scene.queries, size) for size in sizes}
    curve = gallery_curve(scene.images, scene.found, scene.features, queries)
    assert [point.size for point in curve] == [10, 20, 29]
    everything = SearchProtocol(GALLERIES["all"])
    whole = score_search(scene.images, scene.found, scene.queries, scene.features, everything)
    assert curve[-1].mean_ap == whole.mean_ap
    assert curve[0].mean_ap > curve[1].mean_ap > curve[2].mean_ap
    assert curve[1].as_json() == {
        "size": 20, "frames": 20.0, "map": curve[1].mean_ap,
        "top1": curve[1].top[1], "top5": curve[1].top[5], "top10": curve[1].top[10],
    }  # fmt: skip


def test_a_curve_needs_galleries(randomscene: ModuleType) -> None:
    scene = randomscene.random_scene(7)
    with pytest.raises(DatasetError, match="gives it no gallery of its own"):
        gallery_curve(scene.images, scene.found, scene.features, {50: scene.queries})


def test_sizes_of_other_data_sets_are_those_that_there_are_frames_for(
    randomscene: ModuleType,
) -> None:
    scene = randomscene.random_scene(0)
    test = PersonSearchSet("PRW", Path("x"), "test", scene.images, scene.queries, ())
    rule = GALLERIES["cross-camera"]
    queries = queries_by_size(test, rule=rule, seed=3)
    assert list(queries) == [10, 20]
    drawn = sub_galleries(scene.images, scene.queries, 20, rule=rule, seed=3)
    for mine, other in zip(queries[20], drawn, strict=True):
        np.testing.assert_array_equal(mine.gallery, other.gallery)
    assert list(queries_by_size(test, [7])) == [7]


def test_published_galleries_are_read(cuhk: Any, prwfolder: ModuleType) -> None:
    test = load_set(cuhk.root, "test")
    queries = queries_by_size(test, [50, 100])
    found = [prwfolder.detections([[5, 5, 25, 45]], [0.5]) for _ in test.images]
    curve = gallery_curve(test.images, found, prwfolder.query_feature()[None], queries)
    assert [(point.size, point.frames) for point in curve] == [(50, 2), (100, 3)]
    with pytest.raises(DatasetError, match=r"TestG500\.mat"):
        queries_by_size(test)


def test_published_galleries_of_other_queries_are_refused(cuhk: Any) -> None:
    test = load_set(cuhk.root, "test")
    query = ("s1.jpg", (5, 5, 20, 40), [("s2.jpg", None)])
    cuhk.queries("train_test/TestG50.mat", "TestG50", [query, query])
    with pytest.raises(DatasetError, match="galleries of 50 have 2 queries, not 1"):
        queries_by_size(test, [50])
    cuhk.queries("train_test/TestG50.mat", "TestG50", [("s2.jpg", *query[1:])])
    with pytest.raises(DatasetError, match=r"of 50 have query 1 on s2\.jpg, not on s1\.jpg"):
        queries_by_size(test, [50])
