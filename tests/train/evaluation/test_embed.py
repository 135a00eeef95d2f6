"""What an engine is asked for: detections, annotated boxes or whole frames; persons beside."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from train.data.prw import load_prw
from train.data.records import IGNORED, PersonSearchSet
from train.errors import ConfigError, DatasetError
from train.evaluation.embed import EvalProgress, embed_images, embed_set


def test_annotated_boxes_are_embedded_as_sure_detections(
    example_folder: Any, example_engine: Any
) -> None:
    test = load_prw(example_folder.root, "test")
    told: list[EvalProgress] = []
    embedded = embed_set(test, example_engine, boxes="truth", batch=4, progress=told.append)
    for image, found in zip(test.images, embedded.found, strict=True):
        np.testing.assert_array_equal(found.boxes, image.boxes)
        np.testing.assert_array_equal(found.embeddings[:, 2:6], image.boxes)
        assert (found.scores == 1).all()
    assert example_engine.batches == []
    assert [(now.stage, now.done, now.total) for now in told] == [
        ("frames", 4, 6), ("frames", 6, 6), ("queries", 1, 1),
    ]  # fmt: skip
    assert (embedded.model, embedded.boxes, embedded.query) == ("stored-1", "truth", "box")


def test_whole_frames_are_one_box_each(example_folder: Any, example_engine: Any) -> None:
    test = load_prw(example_folder.root, "test")
    embedded = embed_set(test, example_engine, boxes="frame", query="frame")
    boxes = [found.boxes.tolist() for found in embedded.found]
    assert boxes == [[[0, 0, 640, 480]]] * 6
    assert embedded.features[0, 2:6].tolist() == [0, 0, 640, 480]


def test_regions_to_ignore_are_not_embedded(example_folder: Any, example_engine: Any) -> None:
    image = load_prw(example_folder.root, "test").images[1]
    image = replace(image, ids=np.array([7, IGNORED]))
    (found,) = embed_images(example_engine, [image], 1)
    np.testing.assert_array_equal(found.boxes, image.boxes[:1])


def test_a_frame_without_persons_has_an_empty_answer(
    example_folder: Any, example_engine: Any
) -> None:
    image = load_prw(example_folder.root, "test").images[1]
    nobody = replace(image, boxes=image.boxes[:0], ids=image.ids[:0])
    (found,) = embed_images(example_engine, [nobody], 1)
    assert (len(found), found.embeddings.shape) == (0, (0, 256))


def test_an_annotated_box_outside_its_picture(example_folder: Any, example_engine: Any) -> None:
    image = load_prw(example_folder.root, "test").images[0]
    away = replace(image, boxes=image.boxes + np.float32([0, 480, 0, 480]))
    fault = r"image c1s1_000001: box .* = \(200, 530, 300, 830\) lies outside .* of 640 x 480"
    with pytest.raises(DatasetError, match=fault):
        embed_images(example_engine, [away], 1)


def with_queries(test: PersonSearchSet, *queries: Any) -> PersonSearchSet:
    return replace(test, queries=queries)


def test_persons_beside_a_query_come_from_its_own_frame(
    example_folder: Any, example_engine: Any
) -> None:
    test = load_prw(example_folder.root, "test")
    (query,) = test.queries
    in_a = replace(
        query, name=test.images[1].name, path=test.images[1].path, box=test.images[1].boxes[0]
    )
    embedded = embed_set(with_queries(test, query, in_a), example_engine, contexts=True)
    assert [len(context) for context in embedded.contexts] == [0, 1]
    np.testing.assert_array_equal(embedded.contexts[1][0], embedded.found[1].embeddings[0])
    assert embed_set(test, example_engine).contexts == ()


def test_a_query_frame_that_is_not_in_the_split_is_searched(
    example_folder: Any, example_engine: Any
) -> None:
    test = load_prw(example_folder.root, "test")
    (query,) = test.queries
    rest = replace(test, images=test.images[1:])
    example_engine.batches.clear()
    embedded = embed_set(with_queries(rest, query, query), example_engine, contexts=True)
    # Five frames of the split, then the query's own once for both queries.
    assert example_engine.batches == [5, 1]
    assert [len(context) for context in embedded.contexts] == [0, 0]


def test_choices_are_checked(example_folder: Any, example_engine: Any) -> None:
    test = load_prw(example_folder.root, "test")
    with pytest.raises(ConfigError, match="no boxes 'gt': choose from detections, truth, frame"):
        embed_set(test, example_engine, boxes="gt")
    with pytest.raises(ConfigError, match="no query 'crop': choose from box, frame"):
        embed_set(test, example_engine, query="crop")
    with pytest.raises(ConfigError, match="boxes 'frame' have no persons to match contexts by"):
        embed_set(test, example_engine, boxes="frame", contexts=True)
