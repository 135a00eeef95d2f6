"""Rules that a graph must keep so that every runtime can compile it.

TensorRT takes static sizes best: nothing may depend on the data, every K is fixed, nothing needs
a plugin. The rules are checked before a bundle is written, on the shipped one, and on every graph
of lower precision (`engines.lint_precision`) before it is used.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engines.graph_io import Dim, Tensor, query_io, search_io
from engines.lint_precision import precision_faults
from engines.runtimes import require
from engines.values import Precision

MIN_OPSET = 18
TOPK_LIMIT = 3840
"""TensorRT sorts fewer than this many."""

_ALLOWED = """
    Abs Add And AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax LpNormalization MatMul Max MaxPool Min Mul Neg Not Or PRelu Pad Pow
    QuantizeLinear Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round Shape Sigmoid Sign Sin Slice Softmax Softplus Split
    Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where
"""
ALLOWED_OPS = frozenset(_ALLOWED.split())
"""Operators that ONNX Runtime, OpenVINO and TensorRT all run without a plugin, and whose result
has a size that does not depend on the data."""

_STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


class _Sizes(NamedTuple):
    """Sizes as a graph states them, to be held against each other."""

    input_hw: tuple[int, int]
    max_persons: int
    query_boxes: int


def lint_graph(graph: bytes | Path, precision: Precision = "fp32") -> list[str]:
    """Return every rule that a graph breaks, in words; nothing where it keeps them all.

    ``precision`` is what its heavy layers are meant to compute in ("bf16" is a way to run the
    float32 graph, and no graph of its own).

    Raises:
        BackendUnavailableError: the package ``onnx`` is not installed.
    """
    onnx = require("onnx", "train")
    data = graph if isinstance(graph, bytes) else graph.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
    except require("google.protobuf.message").DecodeError as error:
        return [f"not an ONNX graph: {error}"]
    external = list(_external_data(onnx, model))
    if external:  # the checker below would look for the files
        return external
    faults = [*_validity(onnx, model), *_versions(model), *_operators(model.graph)]
    if faults:  # what follows trusts the form of the graph
        return faults
    return [
        *_top_k(onnx, model.graph),
        *_inputs_outputs(onnx, model.graph),
        *_bytes_are_cast(model.graph),
        *_inner_sizes(onnx, model),
        *precision_faults(onnx, model, precision),
    ]


def _external_data(onnx: Any, model: Any) -> Iterator[str]:
    for name, tensor in _tensors(onnx, model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            yield f"weights of {name} lie outside the graph's file"


def _tensors(onnx: Any, graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield _where(node), attribute.t


def _validity(onnx: Any, model: Any) -> Iterator[str]:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"not a valid graph: {str(error).strip().partition(chr(10))[0]}"


def _versions(model: Any) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain in _STANDARD_DOMAINS and opset.version < MIN_OPSET:
            yield f"opset {opset.version} is older than {MIN_OPSET}"
    if len(model.functions):
        yield f"{len(model.functions)} local functions, which are to be inlined"
    if len(model.graph.sparse_initializer):
        yield "sparse weights"


def _operators(graph: Any) -> Iterator[str]:
    refused: Counter[str] = Counter()
    for node in graph.node:
        standard = node.domain in _STANDARD_DOMAINS
        if not standard or node.op_type not in ALLOWED_OPS:
            refused[node.op_type if standard else f"{node.domain}.{node.op_type}"] += 1
    for name, count in sorted(refused.items()):
        yield f"operator {name} ({count} times) is not allowed"


def _top_k(onnx: Any, graph: Any) -> Iterator[str]:
    constants = _constants(onnx, graph)
    for node in graph.node:
        if node.op_type != "TopK":
            continue
        k = constants.get(node.input[1])
        if k is None:
            yield f"{_where(node)}: K is not a constant"
        elif k >= TOPK_LIMIT:
            yield f"{_where(node)}: K = {k} is not below {TOPK_LIMIT}"


def _constants(onnx: Any, graph: Any) -> dict[str, int]:
    """Return the integer constants of one element by name."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    arrays = {name: onnx.numpy_helper.to_array(t) for name, t in tensors.items() if _is_one(t)}
    return {name: int(array.reshape(())) for name, array in arrays.items()}


def _is_one(tensor: Any) -> bool:
    return tensor.data_type in (6, 7) and all(size == 1 for size in tensor.dims)


def _inputs_outputs(onnx: Any, graph: Any) -> Iterator[str]:
    """Hold inputs and outputs against the contract; the sizes are taken from the graph."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {v.name: _typed(onnx, v) for v in graph.input if v.name not in weights}
    outputs = {v.name: _typed(onnx, v) for v in graph.output}
    is_query = "boxes" in inputs
    height, width = _fixed(inputs, "frames", (2, 3))
    (persons,) = _fixed(outputs, "boxes", (1,))
    (rows,) = _fixed(inputs, "boxes", (1,))
    sizes = _Sizes((height, width), persons, rows)
    wanted_in, wanted_out = query_io(sizes) if is_query else search_io(sizes)
    yield from _compare("input", wanted_in, inputs)
    yield from _compare("output", wanted_out, outputs)


def _typed(onnx: Any, value: Any) -> tuple[str, list[Dim]]:
    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return {"float": "float32"}.get(dtype, dtype), [_dim(d) for d in tensor.shape.dim]


def _dim(dim: Any) -> Dim:
    return int(dim.dim_value) if dim.HasField("dim_value") else (dim.dim_param or None)


def _fixed(
    tensors: dict[str, tuple[str, list[Dim]]], name: str, places: Sequence[int]
) -> tuple[int, ...]:
    """Return sizes of a tensor; -1, which no graph can have, where it is free or absent."""
    _, shape = tensors.get(name, ("", []))
    sizes = [shape[place] if place < len(shape) else None for place in places]
    return tuple(size if isinstance(size, int) else -1 for size in sizes)


def _compare(
    kind: str, wanted: Sequence[Tensor], found: dict[str, tuple[str, list[Dim]]]
) -> Iterator[str]:
    for name in sorted(found.keys() - {tensor.name for tensor in wanted}):
        yield f"unknown {kind} {name}"
    for tensor in wanted:
        if tensor.name not in found:
            yield f"{kind} {tensor.name} is missing"
        else:
            yield from tensor.faults(kind, *found[tensor.name])


def _bytes_are_cast(graph: Any) -> Iterator[str]:
    for node in graph.node:
        if "frames" in node.input and node.op_type not in ("Cast", "Shape"):
            yield f"{_where(node)}: frames are bytes and may only be cast"


def _inner_sizes(onnx: Any, model: Any) -> Iterator[str]:
    """Only the batch may be open: no tensor inside has two sizes that are not known."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for value in model.graph.value_info:
        _, shape = _typed(onnx, value)
        if sum(not isinstance(size, int) for size in shape) > 1:
            yield f"tensor {value.name} has sizes {shape}: more than the batch is open"


def _where(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
