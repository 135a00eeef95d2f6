"""The bundle that comes with Sightline keeps what its manifest and the README promise."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from engines.bundle import Bundle, open_bundle, shipped_bundle
from engines.compare import compare
from engines.engine import Engine, open_engine
from engines.lint import lint_graph
from engines.pictures import read_picture

Picture = NDArray[np.uint8]
MAX_BYTES = 30 * 10**6
LEAST = 0.05
"""Below the bundle's own threshold, so that more rows are compared."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Give the shipped bundle, checked."""
    return open_bundle(shipped_bundle())


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    """Give an engine on the shipped bundle."""
    with open_engine(bundle.path, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def drawn() -> list[Picture]:
    """Give drawn pictures of several sizes: upright figures on a speckled ground."""
    rng = np.random.default_rng(11)
    pictures = []
    for height, width in [(270, 480), (480, 270), (241, 323)]:
        picture = rng.integers(90, 130, (height, width, 3)).astype(np.uint8)
        for x in rng.integers(0, width - 40, 4):
            y, body = int(rng.integers(0, height // 2)), rng.integers(0, 256, (3, 3))
            picture[y : y + 12, x + 8 : x + 20] = (200, 160, 130)
            picture[y + 12 : y + 50, x : x + 28] = body[0]
            picture[y + 50 : y + 95, x + 2 : x + 13] = body[1]
            picture[y + 50 : y + 95, x + 15 : x + 26] = body[1]
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Picture]:
    """Give a few photographs of people, of several sizes."""
    found = sorted((shared / "people" / "images").rglob("*.jpg"))
    if not found:
        pytest.skip(f"no photographs in {shared}")
    return [read_picture(path) for path in found[:: max(1, len(found) // 7)]]


def test_it_is_whole_small_and_says_how_it_was_made(bundle: Bundle) -> None:
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) <= MAX_BYTES
    manifest = bundle.manifest
    assert {"command", "seed"} <= manifest.training.keys()
    assert any(key.startswith("duration") for key in manifest.training)
    assert manifest.metrics
    assert manifest.dataset
    assert manifest.versions


def test_both_graphs_keep_the_rules_of_all_runtimes(bundle: Bundle) -> None:
    pytest.importorskip("onnx", reason="the lint reads graphs with the package onnx")
    assert lint_graph(bundle.search_graph()) == []
    assert lint_graph(bundle.query_graph()) == []


def same_alone_and_together(engine: Engine, frames: Sequence[Picture]) -> int:
    """Hold each frame's answer alone against that in batches; return the persons compared."""
    alone = [engine.detect([frame], min_score=LEAST)[0] for frame in frames]
    mixed = [*frames[::-1], *frames]  # other company, other places in the batch
    together = engine.detect(mixed, min_score=LEAST)
    agreement = compare([*alone[::-1], *alone], together)
    assert agreement.within(box_px=2e-3, cosine=1 - 1e-5)
    assert agreement.worst_score <= 1e-5
    return agreement.matched


def test_a_drawing_has_the_same_answer_alone_and_in_company(
    engine: Engine, drawn: list[Picture]
) -> None:
    same_alone_and_together(engine, drawn)


def test_a_photograph_has_the_same_answer_alone_and_in_company(
    engine: Engine, photographs: list[Picture]
) -> None:
    assert same_alone_and_together(engine, photographs) > 0


def test_persons_come_sorted_with_unit_embeddings_and_boxes_on_the_frame(
    engine: Engine, photographs: list[Picture]
) -> None:
    for frame, found in zip(photographs, engine.detect(photographs, min_score=0), strict=True):
        height, width = frame.shape[:2]
        assert (np.diff(found.scores) <= 0).all()
        assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-4)
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [width, height, width, height]).all()


def test_the_box_of_a_detection_has_nearly_the_detections_embedding(
    engine: Engine, photographs: list[Picture]
) -> None:
    found = engine.detect(photographs)
    embedded = engine.embed(photographs, [f.boxes for f in found])
    compared = 0
    for frame, persons, embeddings in zip(photographs, found, embedded, strict=True):
        cosines = (persons.embeddings * embeddings).sum(axis=1)
        inside = within(persons.boxes, frame, margin=1)  # at an edge the answer cuts the box
        assert (cosines[inside] >= 0.9995).all()
        compared += int(inside.sum())
    assert compared > 0


def within(boxes: NDArray[np.float32], frame: Picture, margin: float) -> NDArray[np.bool_]:
    height, width = frame.shape[:2]
    free = np.minimum(boxes[:, :2], [width, height] - boxes[:, 2:])
    return np.asarray(free.min(axis=1, initial=np.inf) >= margin)


@pytest.mark.parametrize("hw", [(512, 896), (37, 61), (1, 1)])
def test_an_empty_grey_picture_holds_nobody(engine: Engine, hw: tuple[int, int]) -> None:
    grey = np.full((*hw, 3), 128, np.uint8)
    (found,) = engine.detect([grey])
    assert len(found) == 0
    (weak,) = engine.detect([grey], min_score=0)
    assert np.isfinite(weak.embeddings).all()
    (embedding,) = engine.embed([grey], [np.array([[0, 0, hw[1], hw[0]]], np.float32)])
    assert np.isfinite(embedding).all()
