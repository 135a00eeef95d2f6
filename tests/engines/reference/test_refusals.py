"""Graphs that the reference refuses, and what it says of them."""

from typing import Any

import pytest

from engines.reference.program import GraphFaultError, Program

onnx = pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")
pytest.importorskip("torch", reason="the reference runs in torch")


def node(op: str, names: list[str], **attributes: Any) -> Any:
    return onnx.helper.make_node(op, names, ["y"], name="the_node", **attributes)


REFUSED = [
    ("NonZero", {}, "NonZero the_node: the operator is not known"),
    ("Relu", {"slope": 2.0}, "Relu the_node: attribute slope is not known"),
    ("MaxPool", {"auto_pad": "SAME"}, "MaxPool the_node: auto_pad SAME is not known"),
    ("Pad", {"mode": "mirror"}, "Pad the_node: mode mirror is not known"),
    ("Resize", {"antialias": 1}, "Resize the_node: antialias 1 is not known"),
    ("LpNormalization", {"p": 3}, "LpNormalization the_node: p 3 is not known"),
    ("BatchNormalization", {"training_mode": 1}, "training_mode is not known"),
]


def model_of(nodes: list[Any], *, opset: int = 20, weights: list[Any] | None = None) -> bytes:
    helper = onnx.helper
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", 1, [3])], [value("y", 1, None)], weights)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("op", "attributes", "reason"), REFUSED)
def test_what_is_not_known_is_named(op: str, attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(GraphFaultError, match=reason):
        Program(model_of([node(op, ["x"], **attributes)]), "cpu")


def test_a_foreign_operator_a_new_opset_and_a_strange_weight_are_refused() -> None:
    foreign = onnx.helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(GraphFaultError, match=r"com\.microsoft\.Gelu y: the operator is not"):
        Program(model_of([foreign]), "cpu")
    with pytest.raises(GraphFaultError, match="opset 27 is newer than 26"):
        Program(model_of([node("Relu", ["x"])], opset=27), "cpu")
    text = onnx.helper.make_tensor("w", onnx.TensorProto.STRING, [1], [b"a"])
    with pytest.raises(GraphFaultError, match="weight w: element type object is not known"):
        Program(model_of([node("Add", ["x", "w"])], weights=[text]), "cpu")
    alien = onnx.TensorProto(name="w", dims=[1], data_type=71, raw_data=b"abcd")
    with pytest.raises(GraphFaultError, match="weight w: element type 71 is not known"):
        Program(model_of([node("Add", ["x", "w"])], weights=[alien]), "cpu")
    constant = onnx.helper.make_node("Constant", [], ["y"], name="the_node", value=alien)
    with pytest.raises(GraphFaultError, match="Constant the_node: element type 71 is not known"):
        Program(model_of([constant]), "cpu")
    with pytest.raises(GraphFaultError, match="not an ONNX graph"):
        Program(b"\x08\xff", "cpu")


def test_a_graph_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(GraphFaultError, match="Add the_node: z is used before it is made"):
        Program(model_of([node("Add", ["x", "z"])]), "cpu")
    aside = onnx.helper.make_node("Relu", ["x"], ["z"])
    with pytest.raises(GraphFaultError, match="output y is made by no node"):
        Program(model_of([aside]), "cpu")
