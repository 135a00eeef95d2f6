"""A graph as a list of steps: constants worked out once, values freed when nobody needs them.

Values that only decide sizes (what follows a Shape) stay on the host, so that a GPU is never
waited for in the middle of a graph.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engines.graph_form import NEWEST_OPSET
from engines.graph_io import Dim
from engines.reference import layers, pointwise, quantise, reduce, resize, shapes
from engines.reference.registry import OPERATORS, Attributes, Operator
from engines.reference.types import to_tensor, type_name
from engines.runtimes import require

__all__ = ["GraphFaultError", "Program", "RunFaultError", "Value"]

FAMILIES = (layers, pointwise, quantise, reduce, resize, shapes)
"""The modules whose import registers the operators."""


UNREADABLE = (ValueError, TypeError, KeyError)
"""What the package onnx raises where a weight is not what its header says."""


class GraphFaultError(ValueError):
    """A graph that cannot be run: an operator, attribute or type that is not known."""


class RunFaultError(RuntimeError):
    """A step failed; the cause is torch's own error."""

    def __init__(self, step: str, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        super().__init__(f"{step}: {lines[0]}")


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output as the graph states it."""

    name: str
    dtype: str
    shape: list[Dim]


@dataclass(frozen=True, slots=True)
class _Step:
    """One node. ``frees`` are the values that no later step needs."""

    label: str
    operator: Operator
    attributes: Attributes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    on_host: bool = False
    frees: tuple[str, ...] = ()


class Program:
    """A graph, ready to be run by several threads at once.

    Raises:
        GraphFaultError: it holds something that is not known.
    """

    def __init__(self, graph: bytes, device: str) -> None:
        self._torch = require("torch", "train")
        self._device = self._torch.device(device)
        model = _parsed(graph)
        self.inputs = [_value(v) for v in _true_inputs(model.graph)]
        self.outputs = [_value(v) for v in model.graph.output]
        self._constants = _weights(self._torch, model.graph)
        self._steps = self._planned([_step(node) for node in model.graph.node])
        self._moved = self._on_device()

    def run(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs for input tensors that lie on the device.

        Raises:
            RunFaultError: torch failed at a step.
        """
        values = dict(feed)
        for step in self._steps:
            outputs = self._outputs_of(step, [self._argument(step, i, values)
                                              for i in range(len(step.inputs))])  # fmt: skip
            values.update(outputs)
            for name in step.frees:
                del values[name]
        return {v.name: self._known(v.name, values) for v in self.outputs}

    def _known(self, name: str, values: Mapping[str, Any]) -> Any:
        return values[name] if name in values else self._constants[name]

    def _argument(self, step: _Step, place: int, values: Mapping[str, Any]) -> Any:
        name = step.inputs[place]
        if not name:
            return None
        host = step.on_host or place in step.operator.host
        if name in values:
            value = values[name]
            return value if host or value.device == self._device else value.to(self._device)
        return self._constants[name] if host else self._moved[name]

    def _outputs_of(self, step: _Step, arguments: Sequence[Any]) -> dict[str, Any]:
        try:
            outputs = step.operator.run(self._torch, step.attributes, *arguments)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise RunFaultError(step.label, error) from error
        named = outputs if isinstance(outputs, tuple) else (outputs,)
        return {name: value for name, value in zip(step.outputs, named, strict=False) if name}

    def _planned(self, steps: Sequence[_Step]) -> list[_Step]:
        """Work out the constants, place and order the rest, and tell what each step frees."""
        wanted = self._wanted(steps)
        left = [step for step in self._folded(steps) if not wanted.isdisjoint(step.outputs)]
        return list(self._freeing(self._placed(left)))

    def _wanted(self, steps: Sequence[_Step]) -> set[str]:
        """Return every value that an output depends on."""
        wanted = {value.name for value in self.outputs}
        for step in reversed(steps):
            if not wanted.isdisjoint(step.outputs):
                wanted.update(step.inputs)
        return wanted

    def _folded(self, steps: Sequence[_Step]) -> Iterator[_Step]:
        """Yield the steps that depend on an input; run the others now, on the host."""
        made = {value.name for value in self.inputs}
        for step in steps:
            if missing := [n for n in step.inputs if n and n not in made | self._constants.keys()]:
                raise GraphFaultError(f"{step.label}: {missing[0]} is used before it is made")
            if made.isdisjoint(step.inputs):
                self._constants.update(self._fold(step))
            else:
                made.update(step.outputs)
                yield step
        if lost := [v.name for v in self.outputs if v.name not in made | self._constants.keys()]:
            raise GraphFaultError(f"output {lost[0]} is made by no node")

    def _fold(self, step: _Step) -> dict[str, Any]:
        arguments = [self._constants[name] if name else None for name in step.inputs]
        try:
            with self._torch.no_grad():
                return self._outputs_of(step, arguments)
        except RunFaultError as error:
            raise GraphFaultError(str(error)) from error

    def _placed(self, steps: Sequence[_Step]) -> Iterator[_Step]:
        """Mark the steps that see sizes alone."""
        sizes: set[str] = set()
        for step in steps:
            seen = {name for name in step.inputs if name and name not in self._constants}
            on_host = seen <= sizes and step.operator.name != "Shape"
            if on_host or step.operator.name == "Shape":
                sizes.update(step.outputs)
            yield replace(step, on_host=on_host)

    def _freeing(self, steps: Iterator[_Step]) -> Iterator[_Step]:
        planned = list(steps)
        last: dict[str, int] = {}
        for at, step in enumerate(planned):
            last.update(dict.fromkeys((*step.inputs, *step.outputs), at))
        kept = {"", *self._constants, *(value.name for value in self.outputs)}
        for at, step in enumerate(planned):
            names = dict.fromkeys((*step.inputs, *step.outputs))
            yield replace(step, frees=tuple(n for n in names if n not in kept and last[n] == at))

    def _on_device(self) -> dict[str, Any]:
        """Move the constants that are needed there, once; weights of Conv lie channels last."""
        moved: dict[str, Any] = {}
        for step in self._steps:
            for place, name in enumerate(step.inputs):
                if name in self._constants and place not in step.operator.host:
                    image = step.operator.name == "Conv" and place == 1
                    moved.setdefault(name, self._prepared(self._constants[name], image))
        return moved

    def _prepared(self, constant: Any, image: bool) -> Any:
        tensor = constant.to(self._device)
        if image and tensor.dim() == 4:
            return tensor.contiguous(memory_format=self._torch.channels_last)
        return tensor


def _parsed(graph: bytes) -> Any:
    onnx = require("onnx", "train")
    try:
        model = onnx.load_model_from_string(graph)
    except require("google.protobuf.message").DecodeError as error:
        raise GraphFaultError("not an ONNX graph") from error
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > NEWEST_OPSET:
            raise GraphFaultError(f"opset {opset.version} is newer than {NEWEST_OPSET}")
    return model


def _true_inputs(graph: Any) -> list[Any]:
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _value(value: Any) -> Value:
    tensor = value.type.tensor_type
    try:
        dtype = type_name(tensor.elem_type)
    except ValueError as error:
        raise GraphFaultError(f"{value.name}: {error}") from error
    sizes = [int(d.dim_value) if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return Value(value.name, dtype, list(sizes))


def _weights(torch: Any, graph: Any) -> dict[str, Any]:
    to_array = require("onnx", "train").numpy_helper.to_array
    weights = {}
    for tensor in graph.initializer:
        try:
            weights[tensor.name] = to_tensor(torch, to_array(tensor))
        except UNREADABLE as error:
            raise GraphFaultError(f"weight {tensor.name}: {_told(error)}") from error
    return weights


def _told(error: Exception) -> str:
    unknown_type = isinstance(error, KeyError)
    return f"element type {error} is not known" if unknown_type else str(error)


def _step(node: Any) -> _Step:
    op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    label = f"{op} {node.name or ' '.join(node.output)}".strip()
    known = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if known is None:
        raise GraphFaultError(f"{label}: the operator is not known")
    try:
        attributes = known.attributes(_given(node), sum(bool(name) for name in node.output))
    except UNREADABLE as error:
        raise GraphFaultError(f"{label}: {_told(error)}") from error
    return _Step(label, known, attributes, tuple(node.input), tuple(node.output))


def _given(node: Any) -> dict[str, Any]:
    onnx = require("onnx", "train")
    given = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        given[attribute.name] = value
    return given
