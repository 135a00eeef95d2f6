"""An engine scored on a folder on disk."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from train.data.prw import load_prw
from train.errors import ConfigError, DatasetError
from train.evaluation.embed import embed_set
from train.evaluation.engine import (
    EvalProgress,
    embed_queries,
    evaluate_engine,
    load_test,
    score_embedded,
)


def test_the_worked_example_from_disk(example_folder: Any, example_engine: Any) -> None:
    report = evaluate_engine(example_folder.root, example_engine, gallery="all")
    assert report.search.mean_ap == pytest.approx(0.375, abs=1e-12)
    assert report.detection.recall == pytest.approx(5 / 7, abs=1e-12)
    assert report.frames == 6


def test_cross_camera_is_the_default(example_folder: Any, example_engine: Any) -> None:
    report = evaluate_engine(example_folder.root, example_engine)
    assert report.search.mean_ap == pytest.approx(1 / 3, abs=1e-12)


def test_the_json_states_scores_and_protocol(example_folder: Any, example_engine: Any) -> None:
    ticks = iter([10.0, 12.5])
    report = evaluate_engine(
        example_folder.root, example_engine, gallery="all", clock=lambda: next(ticks)
    )
    document = json.loads(json.dumps(report.as_json()))
    assert document["search"] == {
        "map": 0.375, "top1": 0, "top5": 1, "top10": 1, "gallery": "all", "queries": 1,
    }  # fmt: skip
    assert document["rescored"] == {}
    assert set(document["detection"]) == {"ap", "recall"}
    assert document["protocol"] == {
        "det_thresh": 0.5,
        "iou_rule": "min(0.5, w*h / ((w+10)*(h+10)))",
        "query_feature": "query graph, annotated box on its whole frame",
        "gallery": "all",
        "boxes": "detections",
        "re_scoring": "none",
        "model": "stored-1",
        "unanswerable_queries": 0,
    }
    assert (document["frames"], document["seconds"]) == (6, 2.5)


def test_frames_go_in_batches_and_progress_is_told(
    example_folder: Any, example_engine: Any
) -> None:
    told: list[EvalProgress] = []
    evaluate_engine(example_folder.root, example_engine, batch=4, progress=told.append)
    assert example_engine.batches == [4, 2]
    assert told == [
        EvalProgress("frames", 4, 6),
        EvalProgress("frames", 6, 6),
        EvalProgress("queries", 1, 1),
    ]


def test_queries_of_one_frame_are_embedded_together_and_in_their_own_box(
    example_folder: Any, example_engine: Any
) -> None:
    q, a = example_folder.names[:2]
    example_folder.queries([f"7 1 2 3 4 {a}", f"7 200 50 100 300 {q}", f"7 5 6 7 8 {a}"])
    report = evaluate_engine(example_folder.root, example_engine)
    assert sorted(example_engine.embedded) == [
        (0, (200, 50, 300, 350)),
        (1, (1, 2, 4, 6)),
        (1, (5, 6, 12, 14)),
    ]
    assert len(report.search.queries) == 3


def test_each_query_gets_the_embedding_of_its_own_box(
    example_folder: Any, example_engine: Any
) -> None:
    q, a, b = example_folder.names[:3]
    boxes = [f"1 2 3 4 {b}", f"9 8 7 6 {q}", f"5 6 7 8 {b}", f"2 2 2 2 {a}"]
    example_folder.queries([f"7 {box}" for box in boxes])
    queries = load_prw(example_folder.root, "test").queries
    features = embed_queries(example_engine, queries, batch=2)
    assert features.shape == (4, 256)
    np.testing.assert_array_equal(features[:, 2:6], [query.box for query in queries])


def test_the_score_threshold_reaches_engine_and_scores(
    example_folder: Any, example_engine: Any
) -> None:
    report = evaluate_engine(
        example_folder.root, example_engine, gallery="all", score_threshold=0.3
    )
    # The right detection of frame c is no longer cut, and comes first of all.
    assert report.search.mean_ap == pytest.approx((1 + 2 / 3 + 3 / 5 + 4 / 7) / 4, abs=1e-12)
    assert report.search.top[1] == 1


def test_faults_of_the_data_set(example_folder: Any, example_engine: Any) -> None:
    picture = example_folder.root / "frames" / f"{example_folder.names[2]}.jpg"
    picture.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=f"cannot read picture {picture}"):
        evaluate_engine(example_folder.root, example_engine)
    example_folder.queries([])
    with pytest.raises(DatasetError, match="the test split has no queries"):
        evaluate_engine(example_folder.root, example_engine)
    with pytest.raises(ConfigError, match="no gallery 'near'"):
        evaluate_engine(example_folder.root, example_engine, gallery="near")


def test_a_query_outside_its_picture(example_folder: Any, example_engine: Any) -> None:
    example_folder.queries([f"7 640 5 30 60 {example_folder.names[0]}"])
    fault = r"query of person 7: box .*\(640, 5, 670, 65\) lies outside .* of 640 x 480 pixels"
    with pytest.raises(DatasetError, match=fault):
        evaluate_engine(example_folder.root, example_engine)


def test_the_stored_engine_sees_real_pictures(example_folder: Any, example_engine: Any) -> None:
    evaluate_engine(example_folder.root, example_engine, batch=1)
    assert example_engine.batches == [1] * 6
    assert np.isfinite(example_engine.embedded[0][1]).all()


def test_rescored_scores_stand_apart(
    example_folder: Any, example_engine: Any, prwfolder: ModuleType
) -> None:
    ways = ("cws", "cbgm", "cws+cbgm", "k-reciprocal")
    test, rule = load_test(example_folder.root, "all")
    embedded = embed_set(test, example_engine, contexts=True)
    # The stored engine writes the box into its features; they are of unit length without.
    embedded = replace(embedded, features=prwfolder.query_feature()[None])
    report = score_embedded(embedded, rule, rescoring=ways).as_json()
    assert report["search"]["map"] == pytest.approx(0.375, abs=1e-12)
    assert report["protocol"]["re_scoring"] == "none"
    assert tuple(report["rescored"]) == ways
    assert set(report["rescored"]["cws"]) == {"map", "top1", "top5", "top10", "re_scoring"}
    # All detections have the same score, and the query stands alone: no rank changes.
    assert report["rescored"]["cws"]["map"] == pytest.approx(0.375, abs=1e-12)
    assert report["rescored"]["cbgm"]["map"] == pytest.approx(0.375, abs=1e-12)
    assert "k1=30, k2=4" in report["rescored"]["cbgm"]["re_scoring"]


def test_an_evaluation_embeds_the_contexts_that_it_needs(
    example_folder: Any, example_engine: Any
) -> None:
    report = evaluate_engine(example_folder.root, example_engine, rescoring=["cbgm", "cws"])
    assert list(report.rescored) == ["cbgm", "cws"]


def test_one_rescoring_by_name_and_unknown_ones(example_folder: Any, example_engine: Any) -> None:
    report = evaluate_engine(example_folder.root, example_engine, rescoring="cws")
    assert list(report.rescored) == ["cws"]
    with pytest.raises(ConfigError, match="no re-scoring 'cbg'"):
        evaluate_engine(example_folder.root, example_engine, rescoring="cbg")


def test_contexts_are_needed_for_matching(example_folder: Any, example_engine: Any) -> None:
    test, rule = load_test(example_folder.root)
    embedded = embed_set(test, example_engine)
    with pytest.raises(ConfigError, match="re-scoring 'cbgm' needs the persons beside each"):
        score_embedded(embedded, rule, rescoring="cbgm")


def test_annotated_boxes_and_whole_frames(example_folder: Any, example_engine: Any) -> None:
    truth = evaluate_engine(example_folder.root, example_engine, gallery="all", boxes="truth")
    assert (truth.detection.recall, truth.search.queries[0].found) == (1, 4)
    assert truth.as_json()["protocol"]["boxes"] == "annotated boxes, score 1"
    whole = evaluate_engine(
        example_folder.root, example_engine, gallery="all", boxes="frame", query="frame"
    )
    # All five frames answer, four of them with the person in them.
    assert whole.search.mean_ap == pytest.approx(4 / 5, abs=1e-12)
    protocol = whole.as_json()["protocol"]
    assert protocol["boxes"] == "one box around each whole frame, score 1"
    assert protocol["iou_rule"] == "none: any answer in a frame with the person is right"
    assert protocol["query_feature"] == "query graph, the whole frame"


def test_one_camera_alone_is_searched_whole(
    prwfolder: ModuleType, example_engine: Any, tmp_path: Path
) -> None:
    folder = prwfolder.PrwFolder(tmp_path / "one")
    for name in ("c1s1_000001", "c1s1_000002"):
        folder.frame(name, [(7, 10, 10, 50, 100)])
    folder.split("test", folder.names, [7])
    folder.queries([f"7 10 10 50 100 {folder.names[0]}"])
    assert load_test(folder.root)[1].name == "all"
    with pytest.raises(DatasetError, match="gallery 'cross-camera' is empty, all frames are of o"):
        evaluate_engine(folder.root, example_engine, gallery="cross-camera")
    with pytest.raises(DatasetError, match="gives it no gallery of its own"):
        evaluate_engine(folder.root, example_engine, gallery="own")
    assert example_engine.batches == []


def test_cuhk_sysu_is_scored_on_its_own_galleries(
    cuhk: Any, prwfolder: ModuleType, tmp_path: Path
) -> None:
    a, b = [5, 5, 25, 45], [30, 5, 50, 45]
    found = prwfolder.detections([a, b], [0.5, 0.9])
    engine = prwfolder.StoredEngine({12: found}, tmp_path, [], [])
    report = evaluate_engine(cuhk.root, engine, rescoring="cbgm")
    document = report.as_json()
    assert document["search"]["gallery"] == document["protocol"]["gallery"] == "100"
    assert "k1=10, k2=3" in document["rescored"]["cbgm"]["re_scoring"]
    # Answers .9 (one of three right) and .5 (one of three right), two listings with the person.
    assert (report.search.queries[0].answers, report.search.queries[0].found) == (2, 2)
    assert report.search.mean_ap == pytest.approx((1 / 3 + 2 / 6) / 2, abs=1e-12)
    small = evaluate_engine(cuhk.root, engine, gallery="50")
    # Two answers of .9, both wrong, before those of .5.
    assert (small.search.queries[0].answers, small.search.mean_ap) == (1, 1 / 4)
    whole = evaluate_engine(cuhk.root, engine, gallery="all")
    assert whole.search.protocol.gallery.name == "all"
    assert whole.search.mean_ap == pytest.approx(1 / 6, abs=1e-12)
    with pytest.raises(DatasetError, match="has no gallery 'cross-camera': choose 50, 100"):
        evaluate_engine(cuhk.root, engine, gallery="cross-camera")


def test_tattoos_are_searched_image_by_image(
    setfolders: ModuleType, prwfolder: ModuleType, tmp_path: Path
) -> None:
    folder = setfolders.TattooFolder(tmp_path / "tattoo")
    folder.split("train", ["t.jpg,1,1,1,20,20,"])
    folder.split("test", [
        "q.jpg,3,5,5,20,20,query", "g1.jpg,3,10,10,20,20,gallery",
        "g2.jpg,4,10,10,20,20,gallery", "x.jpg,3,10,10,20,20,",
    ])  # fmt: skip
    found = prwfolder.detections([[10, 10, 30, 30]], [0.9])
    engine = prwfolder.StoredEngine({12: found}, tmp_path, [], [])
    report = evaluate_engine(folder.root, engine)
    assert report.as_json()["search"]["gallery"] == "own"
    # The picture without a role is in no gallery; of two equal answers one is right.
    assert report.search.queries[0].answers == 1
    assert report.search.mean_ap == pytest.approx(1 / 2, abs=1e-12)
