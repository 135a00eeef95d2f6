"""A detector of a handful of layers as two graphs: trunk, proposals, RoIAlign, embedding."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

INPUT_HW = (32, 48)
GRID_HW = (4, 6)
CELLS = 24
PERSONS, ROWS, DIM = 4, 3, 256
LAST = ["net.rpn.logits", "net.rpn.deltas", "net.reid.linear"]
TRUNK = [f"net.trunk.conv{n}" for n in (1, 2, 3, 4)]
HEAVY = [*TRUNK, "net.rpn.conv", "net.reid.fc6", "net.reid.fc7"]


@dataclass(frozen=True)
class Mini:
    """Both graphs, and frames for them."""

    search: bytes
    query: bytes
    frames: tuple[Pixels, ...]


class Maker:
    """Writes the graphs; ``change`` may replace the values of a weight by its name."""

    def __init__(self, tiny: ModuleType, change: Callable[[str, Any], Any], bare: bool) -> None:
        self.g = tiny.Graph()
        self.change = change
        self.bare = bare

    def weight(self, name: str, *shape: int, scale: float) -> str:
        onnx = pytest.importorskip("onnx")
        rng = np.random.default_rng(sum(name.encode()))
        values = self.change(name, rng.normal(0, scale, shape).astype(np.float32))
        if name.endswith("weight") and not self.bare:  # as bundles store them
            stored = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_f16")
            self.g.weights.append(stored)
            self.g.op("Cast", stored.name, outputs=(name,), to=onnx.TensorProto.FLOAT)
        else:
            self.g.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, name: str, size: tuple[int, int], kernel: int, **options: Any) -> str:
        spread = (2 / (size[1] * kernel * kernel)) ** 0.5
        weight = self.weight(f"net.{name}.weight", *size, kernel, kernel, scale=spread)
        bias = self.weight(f"net.{name}.bias", size[0], scale=0.1)
        pads = [kernel // 2] * 4
        out: str = self.g.op("Conv", x, weight, bias, pads=pads, **options)
        return out

    def linear(self, x: str, name: str, out: int, size: int) -> str:
        weight = self.weight(f"net.{name}.weight", out, size, scale=(2 / size) ** 0.5)
        bias = self.weight(f"net.{name}.bias", out, scale=0.1)
        made: str = self.g.op("Gemm", x, weight, bias, transB=1)
        return made

    def relu(self, x: str) -> str:
        out: str = self.g.op("Relu", x)
        return out

    def reshape(self, x: str, *shape: int) -> str:
        out: str = self.g.op("Reshape", x, self.g.const(shape, np.int64))
        return out

    def trunk(self) -> str:
        """Return the map (B, 16, 4, 6): a stem, a residual block, a strided layer."""
        g = self.g
        pixels = g.op("Cast", "frames", to=1)
        pixels = g.op("Div", g.op("Sub", pixels, g.const(114.0)), g.const(58.0))
        stem = self.relu(self.conv(pixels, "trunk.conv1", (8, 3), 3, strides=[2, 2]))
        stem = g.op("MaxPool", stem, kernel_shape=[2, 2], strides=[2, 2])
        inner = self.relu(self.conv(stem, "trunk.conv2", (8, 8), 3))
        block = self.relu(g.op("Add", self.conv(inner, "trunk.conv3", (8, 8), 3), stem))
        return self.relu(self.conv(block, "trunk.conv4", (16, 8), 3, strides=[2, 2]))

    def cells(self) -> NDArray[np.float32]:
        rows, columns = np.divmod(np.arange(CELLS), GRID_HW[1])
        corner = np.stack([columns, rows], axis=1) * 8
        return np.concatenate([corner, corner + 8], axis=1).astype(np.float32)

    def embed(self, features: str, boxes: str, count: int) -> str:
        """Pool boxes (B, N, 4) by products of weights, then two layers and a projection."""
        g = self.g
        middles = self.cells()[:, :2] + 4
        shares = []
        for axis in (0, 1):
            low = g.op("Gather", boxes, g.const([axis], np.int64), axis=2)
            high = g.op("Gather", boxes, g.const([axis + 2], np.int64), axis=2)
            centre = g.op("Div", g.op("Add", low, high), g.const(2.0))
            away = g.op("Abs", g.op("Sub", centre, g.const(middles[:, axis])))
            near = g.op("Sub", g.const(1.0), g.op("Div", away, g.const(16.0)))
            shares.append(g.op("Max", near, g.const(0.0)))
        table = g.op("Transpose", self.reshape(features, 0, 16, CELLS), perm=[0, 2, 1])
        pooled = self.reshape(g.op("MatMul", g.op("Mul", *shares), table), -1, 16)
        hidden = self.relu(self.linear(pooled, "reid.fc6", 32, 16))
        hidden = self.relu(self.linear(hidden, "reid.fc7", 32, 32))
        unit = g.op("LpNormalization", self.linear(hidden, "reid.linear", DIM, 32), axis=1, p=2)
        return self.reshape(unit, -1, count, DIM)

    def search(self) -> bytes:
        g = self.g
        features = self.trunk()
        hidden = self.relu(self.conv(features, "rpn.conv", (16, 16), 1))
        logits = self.reshape(self.conv(hidden, "rpn.logits", (1, 16), 1), 0, CELLS)
        deltas = self.reshape(self.conv(hidden, "rpn.deltas", (4, 16), 1), 0, 4, CELLS)
        deltas = g.op("Transpose", deltas, perm=[0, 2, 1])
        ranked = g.op("Sigmoid", logits)
        g.op("TopK", ranked, g.const([PERSONS], np.int64), outputs=("scores", "best"), axis=1)
        index = g.op("Unsqueeze", "best", g.const([2], np.int64))
        moved = g.op("Add", g.op("GatherND", deltas, index, batch_dims=1),
                     g.op("Gather", g.const(self.cells()), "best"))  # fmt: skip
        g.op("Clip", moved, g.const(0.0), g.const(48.0), outputs=("boxes",))
        g.op("Identity", self.embed(features, "boxes", PERSONS), outputs=("embeddings",))
        found = g.op("Cast", g.op("Greater", "scores", g.const(0.3)), to=7)
        g.op("ReduceSum", found, g.const([1], np.int64), keepdims=0, outputs=("counts",))
        data: bytes = g.build(
            {"frames": (2, ["batch", 3, *INPUT_HW])},
            {
                "boxes": (1, ["batch", PERSONS, 4]),
                "scores": (1, ["batch", PERSONS]),
                "embeddings": (1, ["batch", PERSONS, DIM]),
                "counts": (7, ["batch"]),
            },
        )
        return data

    def query(self) -> bytes:
        embedded = self.embed(self.trunk(), "boxes", ROWS)
        self.g.op("Identity", embedded, outputs=("embeddings",))
        data: bytes = self.g.build(
            {"frames": (2, ["batch", 3, *INPUT_HW]), "boxes": (1, ["batch", ROWS, 4])},
            {"embeddings": (1, ["batch", ROWS, DIM])},
        )
        return data


MakeMini = Callable[..., Mini]


@pytest.fixture(scope="session")
def make_mini(tiny: ModuleType) -> MakeMini:
    """Give the function that makes the graphs; ``change(name, values)`` spoils a weight."""

    def make(change: Callable[[str, Any], Any] = lambda _name, v: v, bare: bool = False) -> Mini:
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (6, 3, 8, 12), dtype=np.uint8)
        frames = tuple(coarse.repeat(4, axis=2).repeat(4, axis=3))
        search = Maker(tiny, change, bare).search()
        return Mini(search, Maker(tiny, change, bare).query(), frames)

    return make


@pytest.fixture(scope="session")
def mini(make_mini: MakeMini) -> Mini:
    """Give the small detector."""
    return make_mini()


def _run(graph: bytes, **feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Run a graph in ONNX Runtime and return its outputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


@pytest.fixture(scope="session")
def run_graph() -> Callable[..., dict[str, NDArray[Any]]]:
    """Give the function that runs a graph."""
    return _run
