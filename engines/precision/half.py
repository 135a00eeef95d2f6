"""The float16 graph: heavy layers and what lies between them in half precision.

Everything else stays float32: the normalisation of the bytes, anchors, boxes, suppression,
rankings, RoIAlign with the features it pools, last layers and the embedding's length. Every node
takes one type alone, as strongly typed compilers demand; a tensor that crosses is cast once.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from engines.errors import BuildError
from engines.graph_view import BETWEEN, POINTWISE
from engines.lint import lint_graph
from engines.precision.graph import Net, open_net

_DATA_INPUTS = {"Resize": 1, "Slice": 1, "Reshape": 1}
"""How many of a node's first inputs bear the type of the data; all of them elsewhere."""


def fp16_graph(graph: bytes) -> bytes:
    """Return a graph whose heavy layers compute in float16, inputs and outputs unchanged.

    Raises:
        BackendUnavailableError: the package ``onnx`` is not installed.
        BuildError: the bytes are no graph of a bundle, hold NaN or infinity, or have no layers
            with trained weights.
    """
    net = open_net(graph)
    floats = _float_tensors(net)
    region = _region(net, floats)
    net.set_nodes(_lowered(net, region, floats))
    halved = net.data()
    faults = lint_graph(halved, precision="fp16")
    if faults:
        raise BuildError(f"the float16 graph breaks a rule: {'; '.join(faults)}")
    return halved


def _float_tensors(net: Net) -> set[str]:
    """Return every float32 tensor that is computed."""
    onnx = net.onnx
    graph = onnx.shape_inference.infer_shapes(net.model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    floats = {v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return floats - net.view.weights.keys()


def _region(net: Net, floats: Collection[str]) -> set[str]:
    """Return the outputs of all nodes that become float16.

    It grows from the heavy layers along the data; then what only moves data on its way out is
    left out, again and again, until all that remains is of use.
    """
    heavy = {node.output[0] for node in net.view.heavy if _fits(net, node)}
    banned: set[str] = set()
    while True:
        region = _grown(net, heavy, floats, banned)
        leading = _leading(net, region)
        idle = {
            node.output[0]
            for node in net.view.nodes
            if node.op_type in BETWEEN and node.output[0] in region - leading
        }
        if not idle:
            return region
        banned |= idle


def _grown(net: Net, heavy: set[str], floats: Collection[str], banned: set[str]) -> set[str]:
    """Return heavy layers, and nodes that take their data from float16 alone."""
    region = set(heavy)
    for node in net.view.nodes:
        if node.op_type not in POINTWISE | BETWEEN or not banned.isdisjoint(node.output):
            continue
        data = [name for name in _data_inputs(node) if name in floats]
        if (
            data
            and region.issuperset(data)
            and net.view.outputs.isdisjoint(node.output)
            and _fits(net, node)
        ):
            region.update(node.output)
    return region


def _leading(net: Net, region: set[str]) -> set[str]:
    """Return what of the region leads to some arithmetic without leaving it."""
    leading: set[str] = set()
    taken: set[str] = set()
    for node in reversed(net.view.nodes):
        output = node.output[0]
        if output in region and (output in taken or node.op_type not in BETWEEN):
            leading.add(output)
            taken.update(node.input)
    return leading


def _data_inputs(node: Any) -> list[str]:
    return list(node.input[: _DATA_INPUTS.get(node.op_type)])


def _fits(net: Net, node: Any) -> bool:
    """Tell whether the weights of a node lie in the range of float16."""
    limit = float(np.finfo(np.float16).max)
    arrays = [net.array(name) for name in _data_inputs(node) if net.is_float(name)]
    return all(not array.size or float(np.abs(array).max()) <= limit for array in arrays)


def _lowered(net: Net, region: set[str], floats: Collection[str]) -> list[Any]:
    """Return all nodes, with one Cast for each tensor that crosses the region's border."""
    cast: dict[str, str] = {}
    nodes = []
    for node in net.view.nodes:
        inside = node.output[0] in region
        for place, name in enumerate(_data_inputs(node)):
            if inside and net.is_float(name):
                node.input[place] = net.add_weight(f"{name}_f16", net.array(name).astype("float16"))
            elif name in floats and (name in region) != inside:
                if name not in cast:
                    nodes.append(_cast(net, name, half=inside))
                    cast[name] = nodes[-1].output[0]
                node.input[place] = cast[name]
        nodes.append(node)
    return nodes


def _cast(net: Net, name: str, *, half: bool) -> Any:
    proto = net.onnx.TensorProto
    kind, output = (proto.FLOAT16, f"{name}_f16") if half else (proto.FLOAT, f"{name}_f32")
    return net.node("Cast", [name], output, to=kind)
