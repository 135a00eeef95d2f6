"""The float16 graph: what is halved, what is not, and that it computes the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.lint import lint_graph
from engines.precision import fp16_graph

onnx = pytest.importorskip("onnx", reason="precision is lowered with the package onnx")

Run = Callable[..., dict[str, NDArray[Any]]]


def types_of(graph: bytes) -> dict[str, str]:
    """Return the element type of each tensor by the name of the node that makes it."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph))
    values = (*model.graph.value_info, *model.graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    name_of = onnx.TensorProto.DataType.Name
    return {n.name: name_of(types[n.output[0]]) for n in model.graph.node if n.output[0] in types}


def nodes(graph: bytes, kind: str) -> list[Any]:
    model = onnx.load_model_from_string(graph)
    return [node for node in model.graph.node if node.op_type == kind]


def test_heavy_layers_are_halved_and_last_ones_are_not(mini: Any) -> None:
    types = types_of(fp16_graph(mini.search))
    heavy = [f"net.trunk.conv{n}" for n in (1, 2, 3, 4)]
    heavy += ["net.rpn.conv", "net.reid.fc6", "net.reid.fc7"]
    last = ["net.rpn.logits", "net.rpn.deltas", "net.reid.linear"]
    assert {types[name] for name in heavy} == {"FLOAT16"}
    assert {types[name] for name in last} == {"FLOAT"}


def test_what_lies_between_is_halved_and_a_tensor_is_cast_once(mini: Any) -> None:
    lowered = fp16_graph(mini.search)
    half = {
        node.op_type
        for node in onnx.load_model_from_string(lowered).graph.node
        if types_of(lowered).get(node.name) == "FLOAT16"
    } - {""}
    assert half == {"Conv", "Gemm", "Cast"}  # the other nodes of this graph have no names
    casts = [n.input[0] for n in nodes(lowered, "Cast") if n.name.startswith("Cast_")]
    assert len(casts) == len(set(casts)) == 5  # pixels, hidden, map, pooled, hidden of fc7
    assert len(nodes(lowered, "Relu")) == len(nodes(mini.search, "Relu"))


def test_rankings_boxes_and_pooling_take_float32(mini: Any) -> None:
    lowered = onnx.load_model_from_string(fp16_graph(mini.search))
    model = onnx.shape_inference.infer_shapes(lowered, strict_mode=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    kinds = ("TopK", "MatMul", "Sigmoid", "GatherND", "LpNormalization", "Abs", "Clip", "Sub")
    for node in model.graph.node:
        if node.op_type in kinds:
            assert types[node.output[0]] == onnx.TensorProto.FLOAT, node


def test_it_computes_what_the_float32_graph_computes(mini: Any, run_graph: Run) -> None:
    frames = np.stack(mini.frames)
    before, after = (
        run_graph(mini.search, frames=frames),
        run_graph(fp16_graph(mini.search), frames=frames),
    )
    assert np.abs(before["scores"] - after["scores"]).max() < 2e-3
    boxes = np.array([[[2, 3, 20, 30], [0, 0, 48, 32], [30, 8, 44, 31]]], np.float32)
    one = {"frames": frames[:1], "boxes": boxes}
    a = run_graph(mini.query, **one)["embeddings"]
    b = run_graph(fp16_graph(mini.query), **one)["embeddings"]
    assert b.dtype == np.float32
    assert (a * b).sum(axis=2).min() > 0.9999
    assert not np.array_equal(a, b)  # it did change


def test_inputs_and_outputs_stay(mini: Any) -> None:
    for graph in (mini.search, mini.query):
        before = onnx.load_model_from_string(graph).graph
        after = onnx.load_model_from_string(fp16_graph(graph)).graph
        assert list(before.input) == list(after.input)
        assert list(before.output) == list(after.output)


def test_the_same_graph_gives_the_same_bytes(mini: Any) -> None:
    assert fp16_graph(mini.search) == fp16_graph(mini.search)


def test_it_keeps_the_rules_and_the_float32_graph_breaks_none_of_them(mini: Any) -> None:
    assert lint_graph(fp16_graph(mini.search), precision="fp16") == []
    assert lint_graph(mini.search, precision="fp16") == []


def test_a_layer_whose_weights_do_not_fit_stays_float32(make_mini: Any) -> None:
    def change(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values * 1e7 if name == "net.trunk.conv3.weight" else values

    types = types_of(fp16_graph(make_mini(change, bare=True).search))
    assert types["net.trunk.conv3"] == "FLOAT"
    assert types["net.trunk.conv2"] == "FLOAT16"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(make_mini: Any, value: float) -> None:
    def change(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if name == "net.trunk.conv2.bias":
            values[3] = value
        return values

    with pytest.raises(BuildError, match=r"weight net\.trunk\.conv2\.bias holds NaN or infinity"):
        fp16_graph(make_mini(change).search)


def test_what_is_no_graph_of_a_bundle_is_refused(tiny: Any) -> None:
    with pytest.raises(BuildError, match="cannot lower the graph: not an ONNX graph"):
        fp16_graph(b"no graph")
    with pytest.raises(BuildError, match="input frames has a fixed batch of 2"):
        fp16_graph(tiny.search_graph(batch=2))
    with pytest.raises(BuildError, match="no layers with trained weights inside"):
        fp16_graph(tiny.search_graph())
