"""TensorRT's runtime over the simulated GPU: a plan is an ONNX graph, which ONNX Runtime computes.

The names are those of the real module. Nothing here compiles: `fake_plan` makes a plan.
"""

import enum
import json
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

VERSION = "10.16.1.11"
_MAGIC = b"fake plan\n"
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


def fake_plan(graph: bytes, batch: tuple[int, int, int] = (1, 4, 8)) -> bytes:
    """Return a plan of a graph for batches of MIN,OPT,MAX."""
    return _MAGIC + json.dumps([*batch, len(graph)]).encode() + b"\n" + graph


class DataType(enum.Enum):
    """Types of tensors."""

    FLOAT = 0
    HALF = 1
    UINT8 = 5
    INT64 = 8


class TensorIOMode(enum.Enum):
    """Inputs and outputs."""

    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.Enum):
    """Where a tensor lies."""

    DEVICE = 0
    HOST = 1


class ILogger:
    """Base of loggers."""

    class Severity(enum.Enum):
        """How bad it is."""

        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


_TYPES = {"uint8": DataType.UINT8, "float32": DataType.FLOAT, "int64": DataType.INT64}


class _Graph:
    """What a plan holds."""

    def __init__(self, plan: bytes) -> None:
        if not plan.startswith(_MAGIC):
            raise ValueError("not a plan")
        _, facts, graph = plan.split(b"\n", 2)
        *self.batch, size = json.loads(facts)
        if len(graph) != size:
            raise ValueError("not a whole plan")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {node.name: node for node in self.session.get_inputs()}
        self.outputs = {node.name: node for node in self.session.get_outputs()}

    def dtype(self, name: str) -> str:
        return _DTYPES[(self.inputs | self.outputs)[name].type]

    def sizes(self, name: str) -> list[int]:
        return list((self.inputs | self.outputs)[name].shape[1:])


def _classes(gpu: Any) -> Iterator[type]:
    class IExecutionContext:
        """Addresses and sizes of the next computation."""

        def __init__(self, graph: _Graph) -> None:
            self._graph = graph
            self._rows: dict[str, int] = {}
            self._addresses: dict[str, int] = {}

        def __del__(self) -> None:
            gpu.freed.append("context")

        def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
            least, _, most = self._graph.batch
            if not least <= shape[0] <= most or list(shape[1:]) != self._graph.sizes(name):
                return False
            self._rows[name] = shape[0]
            return True

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return name in self._graph.inputs | self._graph.outputs

        def execute_async_v3(self, stream_handle: int) -> bool:
            graph, rows, addresses = self._graph, dict(self._rows), dict(self._addresses)
            if gpu.refuses or len(rows) < len(graph.inputs):
                return False
            task = gpu.task("compute", lambda: _compute(gpu, graph, rows, addresses))
            gpu.put(gpu.queue_of(stream_handle), task)
            return True

    yield IExecutionContext

    class ICudaEngine:
        """A loaded plan."""

        def __init__(self, graph: _Graph) -> None:
            self._graph = graph
            self._names = [*graph.inputs, *graph.outputs]

        def __del__(self) -> None:
            gpu.freed.append("engine")

        @property
        def num_io_tensors(self) -> int:
            return len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if name in self._graph.inputs else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> DataType:
            return _TYPES[self._graph.dtype(name)]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (-1, *self._graph.sizes(name))

        def get_tensor_location(self, name: str) -> TensorLocation:
            return TensorLocation.DEVICE

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            return [(rows, *self._graph.sizes(name)) for rows in self._graph.batch]

        def create_execution_context(self) -> Any:
            gpu.call("createExecutionContext")
            return None if gpu.refuses_contexts else IExecutionContext(self._graph)

    yield ICudaEngine

    class Runtime:
        """Loads plans."""

        def __init__(self, logger: Any) -> None:
            self._logger = logger
            if gpu.refuses_runtime:
                logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def __del__(self) -> None:
            gpu.freed.append("runtime")

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            try:
                return ICudaEngine(_Graph(serialized_engine))
            except ValueError:
                self._logger.log(ILogger.Severity.ERROR, "magicTag == kPLAN failed.")
                return None

    yield Runtime


def _compute(gpu: Any, graph: _Graph, rows: dict[str, int], addresses: dict[str, int]) -> None:
    """Read the inputs from the GPU's memory, compute, and write the outputs there."""
    feed = {}
    for name, count in rows.items():
        shape = (count, *graph.sizes(name))
        dtype = np.dtype(graph.dtype(name))
        source = gpu.at(addresses[name], int(np.prod(shape)) * dtype.itemsize)
        if source is None:
            return
        feed[name] = source.view(dtype).reshape(shape).copy()
        gpu.saw_poison |= bool((source.reshape(count, -1) == 0xFF).all(axis=1).any())
        source[:] = 0xFF
    for name, values in zip(graph.outputs, graph.session.run(None, feed), strict=True):
        target = gpu.at(addresses[name], values.nbytes)
        if target is None:
            return
        target[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def tensorrt_of(gpu: Any) -> ModuleType:
    """Return what stands for ``tensorrt`` on a simulated GPU."""
    module: Any = ModuleType("tensorrt")
    module.__version__ = VERSION
    for cls in (DataType, TensorIOMode, TensorLocation, ILogger, *_classes(gpu)):
        setattr(module, cls.__name__, cls)
    return module
