"""Rules about the types inside a graph: what may be float16 or int8, and what stays float32.

Boxes, scores and what is reckoned from them are float32 in every precision, and so are last
layers (`engines.graph_view`). Compilers take int8 only as pairs of QuantizeLinear and
DequantizeLinear: for TensorRT and OpenVINO with zero points of 0 and no int32 bias ("s8s8"), for
ONNX Runtime with uint8 activations ("u8s8"). That no node mixes types is part of its validity.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.graph_view import BETWEEN, POINTWISE, GraphView
from engines.values import Precision

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_INT8, _UINT8, _INT32 = "int8", "uint8", "int32"


def precision_faults(onnx: Any, model: Any, precision: Precision) -> Iterator[str]:
    """Tell in words which rules of a precision a valid graph breaks."""
    view = GraphView(model)
    types = _types(onnx, model)
    yield from _half(view, types, allowed=precision == "fp16")
    pairs = [node for node in view.nodes if node.op_type in _PAIR]
    if precision == "int8":
        yield from _pairs(onnx, view, pairs, types)
    elif pairs:
        yield f"{len(pairs)} quantising nodes in a graph of {precision}"


def _types(onnx: Any, model: Any) -> dict[str, str]:
    """Return the element type of every tensor whose type is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    name_of = onnx.TensorProto.DataType.Name
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: name_of(value.type.tensor_type.elem_type).lower() for value in values}
    return types | {w.name: name_of(w.data_type).lower() for w in graph.initializer}


def _half(view: GraphView, types: dict[str, str], *, allowed: bool) -> Iterator[str]:
    """Half precision computes layers and what lies between them, and nothing else."""
    layers = {node.output[0] for node in view.heavy}
    for node in view.nodes:
        output = node.output[0]
        if types.get(output) != "float16" or output in view.constants:
            continue
        if not allowed:
            yield f"{_where(node)}: computes in float16"
        elif output in view.boxes:  # answers of last layers are among them
            yield f"{_where(node)}: boxes, scores and last layers must stay float32"
        elif output not in layers and node.op_type not in POINTWISE | BETWEEN | {"Cast"}:
            yield f"{_where(node)}: may not compute in float16"


def _pairs(onnx: Any, view: GraphView, pairs: list[Any], types: dict[str, str]) -> Iterator[str]:
    asymmetric = any(types.get(node.output[0]) == _UINT8 for node in pairs)
    values = {
        name: onnx.numpy_helper.to_array(view.weights[name])
        for node in pairs
        for name in node.input[1:]
        if name in view.weights
    }
    for node in pairs:
        yield from _scale(node, values)
        yield from _zero_point(node, values, types, asymmetric=asymmetric)
        yield from _place(view, node)
    for node in view.last:
        if any(_is_pair(view.producer.get(name)) for name in node.input[1:]):
            yield f"{_where(node)}: a last layer must stay float32"


def _scale(node: Any, values: dict[str, NDArray[Any]]) -> Iterator[str]:
    scale = values.get(node.input[1])
    if scale is None:
        yield f"{_where(node)}: its scale is not a constant"
    elif not (np.isfinite(scale) & (scale > 0)).all():
        yield f"{_where(node)}: its scale is not above 0"


def _zero_point(
    node: Any, values: dict[str, NDArray[Any]], types: dict[str, str], *, asymmetric: bool
) -> Iterator[str]:
    stored = types.get(node.output[0] if node.op_type == _PAIR[0] else node.input[0])
    if stored not in (_INT8, _UINT8, _INT32):
        yield f"{_where(node)}: quantises to {stored}"
    elif stored == _INT32 and not asymmetric:
        yield f"{_where(node)}: an int32 bias, which TensorRT refuses"
    zero = values.get(node.input[2]) if len(node.input) > 2 else None
    if len(node.input) > 2 and zero is None:
        yield f"{_where(node)}: its zero point is not a constant"
    elif stored != _UINT8 and zero is not None and zero.any():
        yield f"{_where(node)}: a zero point that is not 0"


def _place(view: GraphView, node: Any) -> Iterator[str]:
    if node.op_type == _PAIR[0]:
        takers = {taker.op_type for taker in view.consumers[node.output[0]]}
        if takers != {_PAIR[1]}:
            yield f"{_where(node)}: goes to {', '.join(sorted(takers))}, not back to float32"
    if node.output[0] in view.boxes:
        yield f"{_where(node)}: boxes and scores must stay float32"


def _is_pair(node: Any) -> bool:
    return node is not None and node.op_type in _PAIR


def _where(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
