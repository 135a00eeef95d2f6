"""Roles of nodes, read off the edges of graphs whose roles are known."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.graph_view import GraphView

onnx = pytest.importorskip("onnx", reason="graphs are read with the package onnx")


def view_of(graph: bytes) -> GraphView:
    return GraphView(onnx.load_model_from_string(graph))


def outputs(nodes: list[Any]) -> list[str]:
    return [node.output[0] for node in nodes]


def chain(tiny: ModuleType) -> bytes:
    """A stem, a hidden layer, a ranked one, and one whose answer is returned."""
    g = tiny.Graph()
    pixels = g.op("Cast", "frames", to=1)
    stored = g.op("Cast", g.const(np.ones((4, 3, 8, 8)), np.float16), to=1, outputs=("stored",))
    g.op("Conv", pixels, stored, strides=[8, 8], outputs=("stem",))
    g.op("Relu", "stem", outputs=("hidden",))
    g.op("Conv", "hidden", g.const(np.ones((1, 4, 1, 1))), outputs=("logits",))
    flat = g.op("Reshape", "logits", g.const([0, 24], np.int64))
    g.op("TopK", flat, g.const([4], np.int64), outputs=("scores", "best"))
    g.op("Gather", g.const(np.zeros((24, 4))), "best", outputs=("boxes",))
    wide = g.op("MatMul", "boxes", g.const(np.ones((4, 4))), outputs=("wide",))
    g.op("Reshape", "hidden", g.const([0, 24, 4], np.int64), outputs=("table",))
    picked = g.op("GatherND", "table", g.op("Unsqueeze", "best", g.const([2], np.int64)),
                  batch_dims=1, outputs=("picked",))  # fmt: skip
    mixed = g.op("Add", picked, wide, outputs=("mixed",))
    g.op("MatMul", mixed, g.const(np.ones((4, 256))), outputs=("embeddings",))
    g.op("ReduceSum", "scores", g.const([1], np.int64), keepdims=0, outputs=("sum",))
    g.op("Cast", "sum", to=7, outputs=("counts",))
    data: bytes = g.build(
        {"frames": (2, ["batch", 3, 32, 48])},
        {
            "boxes": (1, ["batch", 4, 4]),
            "scores": (1, ["batch", 4]),
            "embeddings": (1, ["batch", 4, 256]),
            "counts": (7, ["batch"]),
        },
    )
    return data


def test_a_layer_is_last_when_it_is_ranked_or_returned(tiny: ModuleType) -> None:
    view = view_of(chain(tiny))
    assert outputs(view.layers) == ["stem", "logits", "embeddings"]  # "wide" multiplies boxes
    assert outputs(view.heavy) == ["stem"]
    assert outputs(view.last) == ["logits", "embeddings"]


def test_weights_behind_a_cast_are_constants(tiny: ModuleType) -> None:
    view = view_of(chain(tiny))
    assert "stored" in view.constants
    assert "hidden" not in view.constants


def test_boxes_are_what_comes_of_last_layers_and_constants_alone(tiny: ModuleType) -> None:
    boxes = view_of(chain(tiny)).boxes
    assert boxes >= {"logits", "scores", "best", "boxes", "wide", "sum", "counts", "embeddings"}
    assert boxes.isdisjoint({"stem", "hidden", "table", "picked", "mixed", "stored"})


def test_arithmetic_on_given_boxes_is_no_layer(tiny: ModuleType) -> None:
    view = view_of(tiny.query_graph())
    assert view.layers == []
    products = [node for node in view.nodes if node.op_type == "MatMul"]
    assert len(products) == 2
    assert view.boxes >= {node.output[0] for node in products}
