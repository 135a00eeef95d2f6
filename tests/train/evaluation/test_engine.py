"""An engine scored on a folder on disk."""

import json
from typing import Any

import numpy as np
import pytest

from train.data.prw import load_prw
from train.errors import ConfigError, DatasetError
from train.evaluation.engine import EvalProgress, embed_queries, evaluate_engine


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
    assert set(document["detection"]) == {"ap", "recall"}
    assert document["protocol"] == {
        "det_thresh": 0.5,
        "iou_rule": "min(0.5, w*h / ((w+10)*(h+10)))",
        "query_feature": "query graph, annotated box on its whole frame",
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
