"""Choose where QuantizeLinear and DequantizeLinear stand, given the layers that become int8.

``s8s8``: in front of layers, and on that side of a sum which a compiler works into the layer
before it. ``u8s8``: in front of layers and behind them too, and on both sides of sums, so that
ONNX Runtime keeps whole chains in integers.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engines.precision.graph import Net

Scheme = Literal["u8s8", "s8s8"]


@dataclass(frozen=True, slots=True)
class PairPlan:
    """Which layers become int8, and which tensors are put on a grid for whom.

    ``takers`` names the nodes (by first output) that take a tensor from its grid; ``alike`` says
    whose grid a tensor shares; ``places`` tells where a tensor stands, in words that are the same
    in another graph with the same layer.
    """

    layers: tuple[str, ...]
    takers: Mapping[str, frozenset[str]]
    alike: Mapping[str, str]
    places: Mapping[str, str]


def plan_pairs(net: Net, layers: Collection[str], scheme: Scheme) -> PairPlan:
    """Choose the tensors that are put on a grid, given the names of the layers."""
    chosen = [node for node in net.view.layers if node.name in layers]
    takers: dict[str, set[str]] = {}
    for node in chosen:
        takers.setdefault(node.input[0], set()).add(node.output[0])
    if scheme == "s8s8":
        _symmetric_sums(net, chosen, takers)
        alike: dict[str, str] = {}
    else:
        _behind_layers(net, chosen, takers)
        alike = _pooled(net, takers)
    ordered = {name: frozenset(takers[name]) for name in _in_order(net, takers)}
    names = tuple(node.name for node in chosen)
    return PairPlan(names, ordered, alike, _places(net, chosen, ordered))


def _places(net: Net, chosen: list[Any], tensors: Collection[str]) -> dict[str, str]:
    places: dict[str, str] = {}
    for node in chosen:
        weights = hashlib.sha256(net.array(node.input[1]).tobytes()).hexdigest()
        end = _after_relu(net, node.output[0])
        for side, name in (("before", node.input[0]), ("behind", end)):
            if name in tensors:
                places.setdefault(name, f"{side} {node.name} {weights}")
    return places


def _in_order(net: Net, names: Collection[str]) -> list[str]:
    made = [name for node in net.view.nodes for name in node.output if name in names]
    return [name for name in names if name not in made] + made


def _symmetric_sums(net: Net, chosen: list[Any], takers: dict[str, set[str]]) -> None:
    """Put the far side of each sum behind a layer on a grid, so that the sum joins the layer."""
    made = {node.output[0] for node in chosen if node.op_type == "Conv"}
    for node in net.view.nodes:
        if node.op_type != "Add" or made.isdisjoint(node.input):
            continue
        far = [name for name in node.input if name in takers or name in made]
        direct = [name for name in node.input if name in made]
        side = next((name for name in far if name != direct[0]), None)
        if side is not None:
            takers.setdefault(side, set()).add(node.output[0])


def _behind_layers(net: Net, chosen: list[Any], takers: dict[str, set[str]]) -> None:
    """Put what leaves a Conv or Gemm, after its Relu, on a grid for all who take it.

    Only so does it leave in integers; sums and maxima of such tensors are taken in integers too.
    Others who take what a layer takes, such as RoIAlign, see it as it is.
    """
    for node in chosen:
        end = _after_relu(net, node.output[0])
        if node.op_type in ("Conv", "Gemm") and end not in net.view.outputs:
            takers.setdefault(end, set()).update(n.output[0] for n in net.view.consumers[end])
    for node in net.view.nodes:
        if node.op_type in ("Add", "MaxPool") and takers.keys() >= set(node.input):
            for name in node.input:
                takers[name].add(node.output[0])


def _after_relu(net: Net, tensor: str) -> str:
    consumers = net.view.consumers[tensor]
    if len(consumers) == 1 and consumers[0].op_type == "Relu":
        return str(consumers[0].output[0])
    return tensor


def _pooled(net: Net, takers: Mapping[str, set[str]]) -> dict[str, str]:
    """A maximum keeps the grid of what it is taken from."""
    return {
        node.output[0]: node.input[0]
        for node in net.view.nodes
        if node.op_type == "MaxPool" and node.output[0] in takers and node.input[0] in takers
    }
