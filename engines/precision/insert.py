"""Write chosen pairs into a graph, with int8 weights by output channel.

Where activations are uint8, biases become int32, as ONNX Runtime's integer kernels take them;
elsewhere they stay float32, as TensorRT demands.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.precision.graph import Net
from engines.precision.grids import Grid
from engines.precision.pairs import PairPlan

_BIAS_LIMIT = 2.0**30


def insert_pairs(net: Net, plan: PairPlan, grids: Mapping[str, Grid]) -> None:
    """Change the graph: pairs on tensors, int8 weights, and int32 biases where zeros are free."""
    layers = {node.output[0] for node in net.view.layers if node.name in plan.layers}
    nodes: list[Any] = []
    for name in plan.takers:
        if name not in net.view.producer:
            nodes += _pair(net, name, grids[name])
    for node in net.view.nodes:
        scale = grids[node.input[0]].scale if node.output[0] in layers else 0.0
        asymmetric = scale > 0 and grids[node.input[0]].dtype == "uint8"
        for place, name in enumerate(node.input):
            if node.output[0] in plan.takers.get(name, ()):
                node.input[place] = f"{name}_dq"
        if node.output[0] in layers:
            nodes += _weights(net, node, scale, bias=asymmetric)
        nodes.append(node)
        for name in node.output:
            if name in plan.takers:
                nodes += _pair(net, name, grids[name])
    net.set_nodes(nodes)


def _pair(net: Net, name: str, grid: Grid) -> list[Any]:
    scale = net.add_weight(f"{name}_scale", np.array(grid.scale, np.float32))
    zero = net.add_weight(f"{name}_zero", np.array(grid.zero, grid.dtype))
    return [
        net.node("QuantizeLinear", [name, scale, zero], f"{name}_q"),
        net.node("DequantizeLinear", [f"{name}_q", scale, zero], f"{name}_dq"),
    ]


def _weights(net: Net, node: Any, scale: float, *, bias: bool) -> list[Any]:
    """Make a layer's weights int8 by output channel; with ``bias`` its bias int32."""
    name = node.input[1]
    values = net.array(name)
    axis = _channel_axis(node, values.ndim)
    others = tuple(a for a in range(values.ndim) if a != axis)
    steps = (np.abs(values).max(axis=others) / 127).astype(np.float64)
    has_bias = bias and len(node.input) > 2 and node.input[2]
    if has_bias:  # a channel of tiny weights: its bias must still fit in 32 bits
        steps = np.maximum(steps, np.abs(net.array(node.input[2])) / (scale * _BIAS_LIMIT))
    steps = np.where(steps > 0, steps, 1.0).astype(np.float32)
    shape = [-1 if a == axis else 1 for a in range(values.ndim)]
    integers = np.clip(np.rint(values / steps.reshape(shape)), -127, 127).astype(np.int8)
    nodes = [_stored(net, f"{node.name}.weight", integers, steps, axis)]
    node.input[1] = nodes[0].output[0]
    if has_bias:
        nodes.append(_bias(net, node, steps * np.float32(scale)))
        node.input[2] = nodes[1].output[0]
    return nodes


def _bias(net: Net, node: Any, steps: NDArray[np.float32]) -> Any:
    integers = np.rint(net.array(node.input[2]) / steps.astype(np.float64)).astype(np.int32)
    return _stored(net, f"{node.name}.bias", integers, steps, 0)


def _stored(
    net: Net, name: str, integers: NDArray[Any], steps: NDArray[np.float32], axis: int
) -> Any:
    kind = str(integers.dtype)
    inputs = [
        net.add_weight(f"{name}_{kind}", integers),
        net.add_weight(f"{name}_scale", steps),
        net.add_weight(f"{name}_zero", np.zeros(steps.shape, integers.dtype)),
    ]
    return net.node("DequantizeLinear", inputs, f"{name}_dq", axis=axis)


def _channel_axis(node: Any, dimensions: int) -> int:
    """Return which axis of a layer's weights counts what comes out."""
    if node.op_type == "Conv":
        return 0
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if transposed else dimensions - 1
