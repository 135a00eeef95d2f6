"""Graphs that made a runtime crash or run away are refused before any runtime sees them."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from engines.graph_form import ITEM_BYTES, LEAST_INPUTS, form_faults
from engines.lint import ALLOWED_OPS


def node(model: Any, kind: str) -> Any:
    return next(one for one in model.graph.node if one.op_type == kind)


def ring(model: Any) -> None:
    """Let a node use what a later one makes of its result."""
    node(model, "ReduceMax").input[0] = model.graph.node[-1].output[0]


def no_inputs(model: Any) -> None:
    del node(model, "Pad").input[:]


def hole(model: Any) -> None:
    node(model, "Pad").input[1] = ""


def twice(model: Any) -> None:
    model.graph.node.append(node(model, "ReduceMax"))


def over_a_weight(model: Any) -> None:
    node(model, "ReduceMax").output[0] = model.graph.initializer[0].name


def short(model: Any) -> None:
    weight = model.graph.initializer[0]
    weight.raw_data = weight.raw_data[:-1]


def negative(model: Any) -> None:
    model.graph.initializer[1].dims[:] = [-1]


def huge(model: Any) -> None:
    model.graph.initializer[1].dims[:] = [2**40, 2**40]


def strange(model: Any) -> None:
    model.graph.initializer[0].data_type = 99


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (ring, "a node uses what is not made before it"),
        (no_inputs, "operator Pad without all of its inputs"),
        (hole, "operator Pad without all of its inputs"),
        (twice, "a tensor is made twice"),
        (over_a_weight, "a tensor is made twice"),
        (short, "weights of another size than they say"),
        (negative, "weights of another size than they say"),
        (huge, "weights of another size than they say"),
        (strange, "weights of type 99"),
    ],
)
def test_a_crafted_graph_is_refused(
    tiny: ModuleType, spoil: Callable[[Any], None], fault: str
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(tiny.search_graph())
    assert form_faults(model.SerializeToString()) == []
    spoil(model)
    assert fault in form_faults(model.SerializeToString())


def test_every_operator_is_held_to_the_inputs_of_its_definition() -> None:
    defs = pytest.importorskip("onnx").defs
    for name in ALLOWED_OPS:
        least = min(defs.get_schema(name, opset, "").min_input for opset in range(18, 23))
        assert LEAST_INPUTS.get(name, 1) == least, name


def test_sizes_of_types_are_those_of_onnx() -> None:
    helper = pytest.importorskip("onnx").helper
    for kind, size in ITEM_BYTES.items():
        assert helper.tensor_dtype_to_np_dtype(kind).itemsize == size
