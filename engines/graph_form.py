"""Look at a graph's bytes before any runtime does; no package is needed for it.

Runtimes differ in what they accept: one follows the path of weights that lie elsewhere, one reads
formats of its own, none knows which operators the others lack. Only the frame of the file is
read (protobuf's wire format), never the weights.
"""

import math
from collections import Counter
from collections.abc import Iterator

from engines.lint import ALLOWED_OPS, MIN_OPSET

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_OPSET, _MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 8, 7, 20, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_SPARSE = 1, 5, 15
_GRAPH_VALUES = frozenset({11, 12, 13})  # inputs, outputs, and what lies between
_NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_NODE_NAMES = frozenset({1, 2, 3})  # inputs, outputs, its own
_ATTRIBUTE_NAME, _TENSOR_NAME = 1, 8
_TO_DIMENSIONS = (2, 1, 2, 1)  # value: type, tensor, shape, dimension
_VALUE_NAME, _DIMENSION_NAME = 1, 2
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (6, 11), (22, 23)
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_RAW = 1, 2, 9
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_GRAPH_INPUT, _NODE_INPUT, _NODE_OUTPUT = 11, 1, 2
_IN_ORDER = frozenset({_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_INPUT})
_STANDARD = frozenset({"", "ai.onnx"})

NEWEST_OPSET = 26
"""Later meanings of the operators were not looked at; runtimes would guess them."""

ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Bytes of an element by ONNX's number of its type; weights of other types are refused."""

_NEEDS_TWO = """
    Add And Conv ConvTranspose DequantizeLinear Div Equal Expand Gather GatherElements GatherND Gemm
    Greater GreaterOrEqual LayerNormalization Less LessOrEqual MatMul Mul Or PRelu Pad Pow
    QuantizeLinear Reshape Sub Tile TopK Unsqueeze
"""
_NEEDS_THREE = "InstanceNormalization Range Slice Where"
LEAST_INPUTS = {
    "Constant": 0,
    **dict.fromkeys(_NEEDS_TWO.split(), 2),
    **dict.fromkeys(_NEEDS_THREE.split(), 3),
    "BatchNormalization": 5,
}
"""Inputs that an operator cannot do without, where that is not one."""

Field = tuple[int, int | memoryview]


class _MalformedError(ValueError):
    """The bytes are no protobuf message."""


def form_faults(graph: bytes) -> list[str]:
    """Return every rule of form that a graph breaks, in words; each kind once."""
    try:
        return list(dict.fromkeys(_model(memoryview(graph))))
    except (_MalformedError, UnicodeDecodeError):
        return ["not an ONNX graph"]


def _model(data: memoryview) -> Iterator[str]:
    graphs, opset = 0, 0
    refused: Counter[str] = Counter()
    for number, value in _fields(data):
        if number == _MODEL_GRAPH:
            graphs += 1
            yield from _graph(_message(value), refused)
        elif number == _MODEL_OPSET:
            opset = max(opset, _standard_opset(_message(value)))
        elif number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            yield "it holds more than a graph (functions or training)"
    if graphs != 1:
        raise _MalformedError
    if opset < MIN_OPSET:
        yield f"opset {opset} is older than {MIN_OPSET}"
    if opset > NEWEST_OPSET:
        yield f"opset {opset} is newer than {NEWEST_OPSET}"
    for name, count in sorted(refused.items()):
        yield f"operator {name} ({count} times) is not allowed"


def _standard_opset(data: memoryview) -> int:
    """Return the version of the standard operators, or 0 for another domain."""
    fields = dict(_fields(data))
    version = fields.get(_OPSET_VERSION, 0)
    if _text(fields.get(_OPSET_DOMAIN)) not in _STANDARD or not isinstance(version, int):
        return 0
    return version


def _graph(data: memoryview, refused: Counter[str]) -> Iterator[str]:
    for number, value in _fields(data):
        if number == _GRAPH_NODE:
            yield from _node(_message(value), refused)
        elif number == _GRAPH_WEIGHT:
            yield from _tensor(_message(value))
        elif number == _GRAPH_SPARSE:
            yield "sparse weights"
        elif number in _GRAPH_VALUES:
            _value(_message(value))
    yield from _order(data)


def _order(data: memoryview) -> Iterator[str]:
    """Every tensor is made once, before it is used: a ring of nodes makes a runtime run away."""
    fields = [(number, _message(value)) for number, value in _fields(data) if number in _IN_ORDER]
    known = {"", *(_name(v, _VALUE_NAME) for n, v in fields if n == _GRAPH_INPUT)}
    known.update(_name(v, _TENSOR_NAME) for n, v in fields if n == _GRAPH_WEIGHT)
    for node in (value for number, value in fields if number == _GRAPH_NODE):
        for number, value in _fields(node):
            if number == _NODE_INPUT and _text(value) not in known:
                yield "a node uses what is not made before it"
        made = [_text(value) for number, value in _fields(node) if number == _NODE_OUTPUT]
        if not known.isdisjoint(name for name in made if name):
            yield "a tensor is made twice"
        known.update(made)


def _name(data: memoryview, field: int) -> str:
    return _text(next((value for number, value in _fields(data) if number == field), None))


def _value(data: memoryview) -> None:
    """Look at the names of an input or output and of its sizes: some runtimes stumble later."""
    messages = [data]
    for wanted in _TO_DIMENSIONS:
        messages = [_message(v) for m in messages for number, v in _fields(m) if number == wanted]
    for message, wanted in ((data, _VALUE_NAME), *((m, _DIMENSION_NAME) for m in messages)):
        for number, value in _fields(message):
            if number == wanted:
                _text(value)


def _node(data: memoryview, refused: Counter[str]) -> Iterator[str]:
    op = domain = ""
    inputs: list[str] = []
    for number, value in _fields(data):
        if number == _NODE_INPUT:
            inputs.append(_text(value))
        elif number == _NODE_OP:
            op = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            yield from _attribute(_message(value))
        elif number in _NODE_NAMES:
            _text(value)
    if domain not in _STANDARD:
        refused[f"{domain}.{op}"] += 1
    elif op not in ALLOWED_OPS:
        refused[op] += 1
    elif not all(inputs[: (least := LEAST_INPUTS.get(op, 1))]) or len(inputs) < least:
        yield f"operator {op} without all of its inputs"


def _attribute(data: memoryview) -> Iterator[str]:
    for number, value in _fields(data):
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            yield from _tensor(_message(value))
        elif number in _ATTRIBUTE_GRAPHS:
            yield "a graph within the graph"
        elif number in _ATTRIBUTE_SPARSE:
            yield "sparse weights"
        elif number == _ATTRIBUTE_NAME:
            _text(value)


def _tensor(data: memoryview) -> Iterator[str]:
    kind, raw, sizes = 0, -1, []
    for number, value in _fields(data):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            yield "weights lie outside the graph's file"
        elif number == _TENSOR_NAME:
            _text(value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_RAW:
            raw = len(_message(value))
        elif number == _TENSOR_DIMS:
            sizes += [value] if isinstance(value, int) else _varints(value)
    if kind not in ITEM_BYTES:
        yield f"weights of type {kind}"
    elif raw not in (-1, ITEM_BYTES[kind] * math.prod(sizes)):
        yield "weights of another size than they say"


def _varints(data: memoryview) -> list[int]:
    """Return the numbers of a packed list."""
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError
    return value


def _text(value: int | memoryview | None) -> str:
    """Return a name; UnicodeDecodeError where it is none."""
    return "" if value is None else str(_message(value), "utf-8")


def _fields(data: memoryview) -> Iterator[Field]:
    """Yield number and value of every field of a message; fixed-width values are left out."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _MalformedError
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise _MalformedError
        if at + length > len(data):
            raise _MalformedError
        if kind == _BYTES:
            yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _MalformedError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _MalformedError
