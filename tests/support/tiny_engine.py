"""A bundle of two real ONNX graphs, small enough to build in a test and easy to foresee.

The input is 32 x 48 pixels in cells of 4 x 4. A cell whose brightest channel exceeds 0.5 is a
person: its box is the cell, its score that brightness, its embedding its colour as a unit
vector. The query graph embeds the colour of the cell under the middle of a box.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.bundle import write_bundle

INPUT_HW = (32, 48)
CELL = 4
GRID_HW = (INPUT_HW[0] // CELL, INPUT_HW[1] // CELL)
CELLS = GRID_HW[0] * GRID_HW[1]
PERSONS = 4
QUERY_BOXES = 3
DIM = 256
GRAPH_FLOOR = 0.5
SCORE_THRESHOLD = 0.6


def cell_boxes() -> NDArray[np.float32]:
    """Boxes (cells, 4) of all cells in input pixels, row by row."""
    rows, columns = np.divmod(np.arange(CELLS), GRID_HW[1])
    corner = np.stack([columns, rows], axis=1) * CELL
    return np.concatenate([corner, corner + CELL], axis=1).astype(np.float32)


class Graph:
    """Collects nodes and constants; names values by their order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        names = outputs or (f"v{len(self.nodes)}",)
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def build(self, inputs: dict[str, Any], outputs: dict[str, Any], opset: int = 18) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
            self.weights,
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        data: bytes = model.SerializeToString()
        return data


def _colours(g: Graph) -> str:
    """Mean colour of each cell: (B, cells, 3) in 0..1."""
    pixels = g.op("Cast", "frames", to=TensorProto.FLOAT)
    pooled = g.op("AveragePool", pixels, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    unit = g.op("Mul", pooled, g.const(1 / 255))
    flat = g.op("Reshape", unit, g.const([0, 3, CELLS], np.int64))
    return g.op("Transpose", flat, perm=[0, 2, 1])


def _embed(g: Graph, colours: str, cells: str, output: str = "") -> str:
    """Unit colour of cells (B, N, 1), padded with zeros to (B, N, 256)."""
    picked = g.op("GatherND", colours, cells, batch_dims=1)
    unit = g.op("LpNormalization", picked, axis=-1, p=2)
    pads = g.const([0, 0, 0, 0, 0, DIM - 3], np.int64)
    return g.op("Pad", unit, pads, outputs=(output,) if output else ())


def search_graph(
    *,
    persons: int = PERSONS,
    table: NDArray[np.float32] | None = None,
    count_offset: int = 0,
    batch: int | str = "batch",
    counts_type: int = TensorProto.INT64,
    boxes_name: str = "boxes",
) -> bytes:
    """Build the graph that finds persons; the arguments spoil it in one way each."""
    g = Graph()
    colours = _colours(g)
    brightness = g.op("ReduceMax", colours, g.const([2], np.int64), keepdims=0)
    g.op("TopK", brightness, g.const([persons], np.int64), outputs=("top", "cells"), axis=1)
    found = g.op("Greater", "top", g.const(GRAPH_FLOOR))
    mask = g.op("Cast", found, to=TensorProto.FLOAT)
    mask3 = g.op("Unsqueeze", mask, g.const([2], np.int64))
    index = g.op("Unsqueeze", "cells", g.const([2], np.int64))
    boxes = g.op("Gather", g.const(cell_boxes() if table is None else table), "cells")
    g.op("Mul", boxes, mask3, outputs=(boxes_name,))
    g.op("Mul", "top", mask, outputs=("scores",))
    g.op("Mul", _embed(g, colours, index), mask3, outputs=("embeddings",))
    ones = g.op("Cast", found, to=counts_type)
    total = g.op("ReduceSum", ones, g.const([1], np.int64), keepdims=0)
    dtype = helper.tensor_dtype_to_np_dtype(counts_type)
    g.op("Add", total, g.const(count_offset, dtype), outputs=("counts",))
    return g.build(
        {"frames": (TensorProto.UINT8, [batch, 3, *INPUT_HW])},
        {
            boxes_name: (TensorProto.FLOAT, [batch, persons, 4]),
            "scores": (TensorProto.FLOAT, [batch, persons]),
            "embeddings": (TensorProto.FLOAT, [batch, persons, DIM]),
            "counts": (counts_type, [batch]),
        },
    )


def query_graph(*, rows: int = QUERY_BOXES) -> bytes:
    """Build the graph that embeds boxes."""
    g = Graph()
    colours = _colours(g)
    half = 0.5 / CELL
    middle = g.op("MatMul", "boxes", g.const([[half, 0], [0, half], [half, 0], [0, half]]))
    cell = g.op("Min", g.op("Floor", middle), g.const([GRID_HW[1] - 1, GRID_HW[0] - 1]))
    number = g.op("MatMul", cell, g.const([[1], [GRID_HW[1]]]))
    index = g.op("Cast", number, to=TensorProto.INT64)
    _embed(g, colours, index, "embeddings")
    return g.build(
        {
            "frames": (TensorProto.UINT8, ["batch", 3, *INPUT_HW]),
            "boxes": (TensorProto.FLOAT, ["batch", rows, 4]),
        },
        {"embeddings": (TensorProto.FLOAT, ["batch", rows, DIM])},
    )


def bundle_fields() -> dict[str, Any]:
    """Return valid arguments of write_bundle but for ``out``."""
    return {
        "search": search_graph(),
        "query": query_graph(),
        "name": "tiny",
        "input_hw": INPUT_HW,
        "max_persons": PERSONS,
        "query_boxes": QUERY_BOXES,
        "dim": DIM,
        "score_threshold": SCORE_THRESHOLD,
        "nms_threshold": 0.4,
        "preset": "tiny",
        "dataset": "none",
        "metrics": {"detection": {"ap": 0.5}},
        "training": {"command": "none", "seed": 7, "duration_s": 1.5},
        "attributions": ["made by a test"],
        "versions": {"onnx": onnx.__version__},
    }


def write_tiny(out: Path, **changes: Any) -> Path:
    """Write the tiny bundle, with some fields changed."""
    return write_bundle(out, **{**bundle_fields(), **changes})
