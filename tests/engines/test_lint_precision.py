"""The rules of each precision: a graph that breaks one is told which, good ones none."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.lint import lint_graph

onnx = pytest.importorskip("onnx", reason="the lint reads graphs with the package onnx")
FLOAT, INT64, UINT8, HALF = 1, 7, 2, 10

Build = Callable[..., bytes]


@pytest.fixture
def build(tiny: ModuleType) -> Build:
    """Give a query graph of three layers, the last of them the projection.

    ``pooled(g, x)``, ``boxed(g, x)`` and ``embedded(g, x)`` put nodes behind the first layer,
    the boxes and the last layer.
    """

    def same(_g: Any, x: str) -> str:
        return x

    def make(pooled: Any = same, boxed: Any = same, embedded: Any = same) -> bytes:
        g = tiny.Graph()
        pixels = g.op("Cast", "frames", to=FLOAT)
        weights = np.full((8, 3, 32, 48), 1e-3)
        seen = g.op("Conv", pixels, g.const(weights))
        flat = g.op("Reshape", pooled(g, seen), g.const([0, 1, 8], np.int64))
        place = g.op("ReduceSum", boxed(g, "boxes"), g.const([2], np.int64), keepdims=1)
        hidden = g.op("MatMul", g.op("Mul", place, flat), g.const(np.ones((8, 8))))
        out = g.op("MatMul", hidden, g.const(np.ones((8, 256))))
        g.op("LpNormalization", embedded(g, out), axis=-1, p=2, outputs=("embeddings",))
        data: bytes = g.build(
            {"frames": (UINT8, ["batch", 3, 32, 48]), "boxes": (FLOAT, ["batch", 3, 4])},
            {"embeddings": (FLOAT, ["batch", 3, 256])},
        )
        return data

    return make


def half(g: Any, x: str) -> str:
    """Go through float16 and back."""
    return str(g.op("Cast", g.op("Relu", g.op("Cast", x, to=HALF)), to=FLOAT))


def pair(
    dtype: Any = np.int8, zero: int = 0, scale: float = 0.1, back: bool = True
) -> Callable[[Any, str], str]:
    """Go through integers and back."""

    def through(g: Any, x: str) -> str:
        grid = g.const(scale), g.const(zero, dtype)
        integers = g.op("QuantizeLinear", x, *grid)
        if back:
            return str(g.op("DequantizeLinear", integers, *grid))
        return str(g.op("Cast", integers, to=FLOAT))

    return through


def test_a_float32_graph_keeps_the_rules_of_all_precisions(build: Build) -> None:
    for precision in ("fp32", "bf16", "fp16", "int8"):
        assert lint_graph(build(), precision) == []  # type: ignore[arg-type]


def test_half_precision_between_layers_is_for_float16_graphs_alone(build: Build) -> None:
    graph = build(pooled=half)
    assert lint_graph(graph, "fp16") == []
    faults = lint_graph(graph)
    assert any("computes in float16" in fault for fault in faults)
    assert lint_graph(graph, "int8") == faults


def test_boxes_and_last_layers_in_half_precision_are_named(build: Build) -> None:
    for graph in (build(boxed=half), build(embedded=half)):
        faults = lint_graph(graph, "fp16")
        assert any("must stay float32" in fault for fault in faults), faults


def test_operators_that_do_not_suit_half_precision_are_named(build: Build) -> None:
    def exponent(g: Any, x: str) -> str:
        return str(g.op("Cast", g.op("Exp", g.op("Cast", x, to=HALF)), to=FLOAT))

    faults = lint_graph(build(pooled=exponent), "fp16")
    assert any(
        fault.startswith("Exp") and "may not compute in float16" in fault for fault in faults
    )


def test_a_node_of_two_types_is_named(build: Build) -> None:
    model = onnx.load_model_from_string(build())
    weight = next(w for w in model.graph.initializer if list(w.dims) == [8, 256])
    halved = onnx.numpy_helper.to_array(weight).astype(np.float16)
    weight.CopyFrom(onnx.numpy_helper.from_array(halved, weight.name))
    faults = lint_graph(model.SerializeToString(), "fp16")
    assert len(faults) == 1
    assert "(op_type:MatMul): B has inconsistent type tensor(float16)" in faults[0]


@pytest.mark.parametrize("scheme", [(np.int8, 0), (np.uint8, 7)])
def test_pairs_around_layers_are_for_int8_graphs_alone(build: Build, scheme: Any) -> None:
    graph = build(pooled=pair(*scheme))
    assert lint_graph(graph, "int8") == []
    assert "2 quantising nodes in a graph of fp32" in lint_graph(graph)
    assert "2 quantising nodes in a graph of fp16" in lint_graph(graph, "fp16")


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (pair(np.int8, zero=3), "a zero point that is not 0"),
        (pair(scale=0.0), "its scale is not above 0"),
        (pair(scale=float("nan")), "its scale is not above 0"),
        (pair(back=False), "goes to Cast, not back to float32"),
    ],
)
def test_a_bad_pair_is_named(build: Build, through: Any, words: str) -> None:
    assert any(words in fault for fault in lint_graph(build(pooled=through), "int8"))


def test_pairs_on_boxes_are_named(build: Build) -> None:
    faults = lint_graph(build(boxed=pair()), "int8")
    assert any("boxes and scores must stay float32" in fault for fault in faults)


def test_a_grid_that_is_computed_is_named(build: Build) -> None:
    def through(g: Any, x: str) -> str:
        scale = g.op("ReduceMax", g.op("Abs", x), keepdims=0)
        zero = g.const(0, np.int8)
        return str(g.op("DequantizeLinear", g.op("QuantizeLinear", x, scale, zero), scale, zero))

    faults = lint_graph(build(pooled=through), "int8")
    assert sum("its scale is not a constant" in fault for fault in faults) == 2


def spoil(graph: bytes, dtype: Any, place: int) -> bytes:
    """Store the weights (place 1) of the projection, or those before it, as integers."""
    model = onnx.load_model_from_string(graph)
    layer = [node for node in model.graph.node if node.op_type == "MatMul"][place]
    weight = next(w for w in model.graph.initializer if w.name == layer.input[1])
    integers = onnx.numpy_helper.to_array(weight).astype(dtype)
    weight.CopyFrom(onnx.numpy_helper.from_array(integers, weight.name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.1), "step"))
    made = onnx.helper.make_node("DequantizeLinear", [weight.name, "step"], ["back"])
    layer.input[1] = "back"
    model.graph.node.insert(0, made)
    data: bytes = model.SerializeToString()
    return data


def test_the_weights_of_a_last_layer_must_stay(build: Build) -> None:
    assert lint_graph(spoil(build(), np.int8, 0), "int8") == []
    faults = lint_graph(spoil(build(), np.int8, 1), "int8")
    assert len(faults) == 1
    assert faults[0].endswith("a last layer must stay float32")


def test_int32_is_for_graphs_of_uint8_alone(build: Build) -> None:
    assert lint_graph(spoil(build(pooled=pair(np.uint8, 7)), np.int32, 0), "int8") == []
    faults = lint_graph(spoil(build(pooled=pair()), np.int32, 0), "int8")
    assert len(faults) == 1
    assert "an int32 bias, which TensorRT refuses" in faults[0]
