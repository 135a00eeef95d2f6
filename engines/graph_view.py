"""What the nodes of a graph are for, read off its edges.

- A *constant* depends on weights alone.
- A *layer* multiplies what it sees in the frames by trained weights (Conv, Gemm, MatMul).
- A *last layer* is one whose answer reaches an output or a ranking (TopK) before any other
  layer does: logits, box deltas, the projection of the embedding.
- All other layers are *heavy*: trunk, proposal convolution, heads.
- *Boxes* are tensors made of nothing but answers of last layers, given boxes and constants.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply by trained weights."""

_POINTWISE = """
    Add Clip Div Elu Erf HardSigmoid HardSwish LeakyRelu MaxPool Mul Neg PRelu Relu Sigmoid
    Softplus Sub Tanh
"""
POINTWISE = frozenset(_POINTWISE.split())
"""Worked into the layer before them by every compiler."""

_BETWEEN = """
    AveragePool Concat Flatten GlobalAveragePool GlobalMaxPool Identity LayerNormalization Pad
    ReduceMax ReduceMean Reshape Resize Slice Squeeze Transpose Unsqueeze
"""
BETWEEN = frozenset(_BETWEEN.split())
"""Found between two layers; each takes and gives one type."""


class GraphView:
    """The edges of a graph (an ``onnx.ModelProto``) as it is now."""

    def __init__(self, model: Any) -> None:
        self.nodes: list[Any] = list(model.graph.node)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}
        self.inputs = {value.name for value in model.graph.input} - self.weights.keys()
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.consumers[name].append(node)

    @cached_property
    def constants(self) -> set[str]:
        """Every tensor that depends on weights alone; "" stands for an input left out."""
        found = {"", *self.weights}
        for node in self.nodes:  # each follows what it needs
            if found.issuperset(node.input):
                found.update(node.output)
        return found

    @cached_property
    def _roles(self) -> tuple[list[Any], list[Any], set[str]]:
        """Layers, last layers and boxes. What multiplies boxes by constants is no layer."""
        seen = self._seen()
        layers = [
            node
            for node in self.nodes
            if node.op_type in LAYERS and node.input[0] in seen and node.input[1] in self.constants
        ]
        while True:
            outputs = {node.output[0] for node in layers}
            last = [node for node in layers if self._decides(node, outputs)]
            boxes = self._made_of(last)
            kept = [node for node in layers if node.input[0] not in boxes]
            if len(kept) == len(layers):
                return layers, last, boxes
            layers = kept

    @property
    def layers(self) -> list[Any]:
        """The nodes that multiply what is seen in the frames by weights, in the graph's order."""
        return self._roles[0]

    @property
    def last(self) -> list[Any]:
        """The last layers, in the graph's order."""
        return self._roles[1]

    @property
    def boxes(self) -> set[str]:
        """Tensors made of answers of last layers, given boxes, sizes and constants alone."""
        return self._roles[2]

    @cached_property
    def heavy(self) -> list[Any]:
        """The other layers, in the graph's order."""
        last = {node.output[0] for node in self.last}
        return [node for node in self.layers if node.output[0] not in last]

    def _seen(self) -> set[str]:
        """Return what depends on the values of the frames."""
        seen = {"frames"}
        for node in self.nodes:  # each follows what it needs
            if node.op_type != "Shape" and not seen.isdisjoint(node.input):
                seen.update(node.output)
        return seen

    def _decides(self, layer: Any, layers: set[str]) -> bool:
        waiting, met = list(layer.output), set(layer.output)
        while waiting:
            tensor = waiting.pop()
            if tensor in self.outputs:
                return True
            for node in self.consumers[tensor]:
                if node.op_type == "TopK":
                    return True
                if node.output[0] not in layers:
                    fresh = [name for name in node.output if name not in met]
                    met.update(fresh)
                    waiting += fresh
        return False

    def _made_of(self, last: Iterable[Any]) -> set[str]:
        found = {name for node in last for name in node.output} | (self.inputs & {"boxes"})
        neutral = set(self.constants)
        for node in self.nodes:
            if node.op_type == "Shape" or neutral.issuperset(node.input):
                neutral.update(node.output)
            elif found.issuperset(name for name in node.input if name not in neutral):
                found.update(node.output)
        return found
