"""A graph opened for change: weights in float32, layers named after them.

Bundles store large weights as float16 with a Cast behind each; here the Cast is done once and
for all. A layer is named after its weight (``net.trunk.layer1.0.conv1``), so that a list of
nodes means something; every other node keeps its name.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.graph_view import GraphView
from engines.lint import lint_graph
from engines.runtimes import require

EXTRA = "openvino"
"""The smallest optional group that installs the package onnx."""


class Net:
    """One graph that is being changed; ``view`` shows its edges as they are now."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.onnx = require("onnx", EXTRA)
        self.view = GraphView(model)

    def array(self, name: str) -> NDArray[Any]:
        """Return the values of a weight."""
        values: NDArray[Any] = self.onnx.numpy_helper.to_array(self.view.weights[name])
        return values

    def is_float(self, name: str) -> bool:
        """Tell whether a name is a weight of float32."""
        weight = self.view.weights.get(name)
        return weight is not None and weight.data_type == self.onnx.TensorProto.FLOAT

    def add_weight(self, name: str, values: NDArray[Any]) -> str:
        """Add a weight and return its name; the same name again is the same weight."""
        if name not in self.view.weights:
            tensor = self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name)
            self.model.graph.initializer.append(tensor)
            self.view.weights[name] = tensor
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        """Make a node named after its output; it is not yet in the graph."""
        name = f"{kind}_{output}"
        return self.onnx.helper.make_node(kind, inputs, [output], name=name, **attributes)

    def set_nodes(self, nodes: Sequence[Any]) -> None:
        """Replace the nodes, forget weights that none of them takes, find the edges again."""
        graph = self.model.graph
        kept = [_copy(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
        taken = {name for node in kept for name in node.input}
        weights = [_copy(w) for w in graph.initializer if w.name in taken]
        del graph.initializer[:]
        graph.initializer.extend(weights)
        del graph.value_info[:]
        self.view = GraphView(self.model)

    def data(self) -> bytes:
        """Return the graph's bytes, the same for the same graph."""
        out: bytes = self.model.SerializeToString(deterministic=True)
        return out


def open_net(graph: bytes, kind: str = "graph") -> Net:
    """Return a graph of a bundle, ready to be lowered; ``kind`` names it in errors.

    Raises:
        BackendUnavailableError: the package ``onnx`` is not installed.
        BuildError: the bytes are no graph of a bundle, a weight is NaN or infinite, or nothing
            in it can be lowered.
    """
    onnx = require("onnx", EXTRA)
    faults = lint_graph(graph)
    if faults:
        raise BuildError(f"cannot lower the {kind}: {'; '.join(faults)}")
    net = Net(onnx.load_model_from_string(graph))
    _check_finite(net, kind)
    _fold(net)
    _name_layers(net)
    if not net.view.heavy:
        raise BuildError(f"cannot lower the {kind}: it has no layers with trained weights inside")
    return net


def _check_finite(net: Net, kind: str) -> None:
    for name in net.view.weights:
        values = net.array(name)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise BuildError(f"cannot lower the {kind}: weight {name} holds NaN or infinity")


def _fold(net: Net) -> None:
    """Turn Constant nodes into weights, and do the Casts of weights here."""
    kept = []
    for node in net.view.nodes:
        values = _folded(net, node)
        if values is None:
            kept.append(node)
        else:
            net.add_weight(node.output[0], values)
    net.set_nodes(kept)


def _folded(net: Net, node: Any) -> NDArray[Any] | None:
    """Return what a Constant, or a Cast of a float16 weight, makes; None for other nodes."""
    if node.op_type == "Constant":
        tensors = [a.t for a in node.attribute if a.name == "value"]
        return net.onnx.numpy_helper.to_array(tensors[0]) if tensors else None
    weight = net.view.weights.get(node.input[0]) if node.op_type == "Cast" else None
    if weight is None or weight.data_type != net.onnx.TensorProto.FLOAT16:
        return None
    return net.array(weight.name).astype(np.float32)


def _name_layers(net: Net) -> None:
    """Name each layer after its weight; where several share one, they are numbered from 2."""
    used = {node.name for node in net.view.nodes}
    for node in net.view.layers:
        base = _layer_name(net, node)
        names = (base if n == 1 else f"{base}:{n}" for n in range(1, len(used) + 2))
        node.name = next(name for name in names if name not in used)
        used.add(node.name)


def _layer_name(net: Net, node: Any) -> str:
    """Return the name of a layer's weight or bias without its last part.

    The exporter transposes some weights and gives them a new name; the bias keeps its own, but
    biases of equal values become one.
    """
    own = [name for name in _added(net, node) if len(net.view.consumers[name]) == 1]
    for name in (*node.input[1:], *own):
        base, dot, last = name.rpartition(".")
        if dot and last in ("weight", "bias"):
            return str(base)
    return str(node.name or node.output[0])


def _added(net: Net, node: Any) -> Iterator[str]:
    for consumer in net.view.consumers[node.output[0]]:
        if consumer.op_type == "Add":
            yield from (name for name in consumer.input if name in net.view.weights)


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
