"""The engine on OpenVINO, on the CPU, in float32, bfloat16 or 8 bits.

Graphs come from checked bytes in memory. A graph is compiled for a fixed batch, twice at most
and when first needed: for one frame and for a full batch. Fixed sizes run 5 to 40 % faster than
an open one, and a frame costs the same alone as in a batch; so a batch that is not full runs
frame by frame, and each frame's answer is the same in any company.

In bfloat16 OpenVINO lowers every layer, the arithmetic of boxes included. Holding boxes and last
layers in float32 was tried: it costs 8 % and changes little, for the error comes from the trunk.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import BackendUnavailableError, InferenceError
from engines.graph_engine import GraphEngine, SearchOutputs
from engines.graph_io import Dim, Tensor, query_io, search_io
from engines.graph_source import GraphSource
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.plans.cache import Plan
from engines.plans.machine import cpu_text
from engines.runtimes import require
from engines.values import Precision

BACKEND = "openvino"
MAX_BATCH = 8

NATIVE_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instructions that multiply in bfloat16; without one OpenVINO accepts it and runs slower."""

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What the layers compute in that the graph does not quantise itself."""

_TYPES = {"u8": "uint8", "f32": "float32", "i64": "int64"}

Arrays = Mapping[str, NDArray[Any]]


class OpenVinoEngine(GraphEngine):
    """An engine on OpenVINO; ``threads`` CPU threads a call (its own choice by default).

    ``bf16`` runs the bundle's own graphs; ``int8`` those of a ``plan``.

    Raises:
        BackendUnavailableError: openvino is missing, or the CPU lacks what the precision needs.
        BundleError: a graph cannot be loaded, or is not what the manifest says.
        PlanError: the plan is not of this bundle, backend and precision, or is damaged.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision = "fp32",
        plan: Plan | None = None,
        threads: int | None = None,
        max_batch: int = MAX_BATCH,
    ) -> None:
        source = GraphSource(bundle, BACKEND, plan)
        _check_precision(source, precision)
        options = _options(precision, threads)
        runner = OpenVinoRunner(source, options, max_batch)
        super().__init__(bundle, runner, backend=BACKEND, max_batch=max_batch, precision=precision)


class OpenVinoRunner:
    """The two graphs of a bundle in OpenVINO."""

    def __init__(self, source: GraphSource, options: Mapping[str, Any], max_batch: int) -> None:
        self._source = source
        self._options = options
        self._max_batch = max_batch
        self._lock = threading.Lock()
        self._core = require("openvino", "openvino").Core()
        self._search: _Graph | None = self._load(SEARCH_GRAPH)
        self._query: _Graph | None = None
        self._closed = False

    def _load(self, name: str) -> "_Graph":
        return _Graph(self._core, self._source, name, self._options, self._max_batch)

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        graph = self._search
        if graph is None:
            raise _closed()
        return SearchOutputs(*graph.run({"frames": frames}))

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` of frames ``(B, 3, H, W)``: float32 (B, R, 256)."""
        (embeddings,) = self._query_graph().run({"frames": frames, "boxes": boxes})
        return embeddings

    def _query_graph(self) -> "_Graph":
        with self._lock:
            if self._closed:
                raise _closed()
            if self._query is None:
                self._query = self._load(QUERY_GRAPH)
            return self._query

    def close(self) -> None:
        """Let go of the graphs; the runtime frees them when their last call ends."""
        with self._lock:
            self._closed = True
            self._search = self._query = None


class _Graph:
    """One graph, compiled for a batch of one and for a full batch."""

    def __init__(
        self,
        core: Any,
        source: GraphSource,
        name: str,
        options: Mapping[str, Any],
        max_batch: int,
    ) -> None:
        self._core = core
        self._source = source
        self._name = name
        self._options = options
        self._max_batch = max_batch
        self._inputs, self._outputs = _wanted(source, name)
        self._lock = threading.Lock()
        self._compiled: dict[int, _Requests] = {}
        self._model = self._read()
        self._of_batch(1)

    def _read(self) -> Any:
        graph = self._source.read(self._name)
        with self._as_load_error():
            model = self._core.read_model(model=graph, weights=b"")
            faults = [
                *_faults("input", self._inputs, model.inputs),
                *_faults("output", self._outputs, model.outputs),
            ]
        if faults:
            reason = f"{self._name} is not the graph of its manifest: {'; '.join(faults)}"
            raise self._source.error(reason)
        return model

    def run(self, feed: Arrays) -> list[NDArray[Any]]:
        """Return the outputs for a batch, each in an array of its own."""
        total = len(feed["frames"])
        size = self._max_batch if total == self._max_batch else 1
        requests = self._of_batch(size)
        parts = [
            requests.run({name: array[at : at + size] for name, array in feed.items()})
            for at in range(0, total, size)
        ]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _of_batch(self, size: int) -> "_Requests":
        if size in self._compiled:  # nobody waits while another size is compiled
            return self._compiled[size]
        with self._lock:
            if size not in self._compiled:
                self._compiled[size] = self._compile(size)
            return self._compiled[size]

    def _compile(self, size: int) -> "_Requests":
        with self._as_load_error():
            model = self._model.clone()
            model.reshape({tensor.name: [size, *tensor.sizes] for tensor in self._inputs})
            compiled = self._core.compile_model(model, "CPU", dict(self._options))
        return _Requests(compiled, self._outputs)

    @contextmanager
    def _as_load_error(self) -> Iterator[None]:
        try:
            yield
        except runtime_errors() as error:
            reason = f"openvino cannot load {self._name}: {_reason(error)}"
            raise self._source.error(reason) from error


class _Requests:
    """A compiled graph, and those of its requests that no thread uses at the moment."""

    def __init__(self, compiled: Any, outputs: Sequence[Tensor]) -> None:
        self._compiled = compiled
        self._outputs = outputs
        self._free: list[Any] = []  # append and pop of a list are atomic

    def run(self, feed: Arrays) -> list[NDArray[Any]]:
        """Return copies of the outputs: the buffers of a request are used again."""
        with _as_inference_error():
            request = self._free.pop() if self._free else self._compiled.create_infer_request()
            answers = request.infer(dict(feed), share_inputs=False, share_outputs=False)
            outputs = [np.array(answers[tensor.name]) for tensor in self._outputs]
        self._free.append(request)
        return outputs


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return every error class that OpenVINO raises: its own, and those of C++ by pybind11."""
    bindings = require("openvino._pyopenvino", "openvino")
    own = [value for value in vars(bindings).values() if isinstance(value, type)]
    return (
        *(value for value in own if issubclass(value, Exception)),
        RuntimeError,
        MemoryError,
        ValueError,
        IndexError,
        OverflowError,
    )


@contextmanager
def _as_inference_error() -> Iterator[None]:
    try:
        yield
    except runtime_errors() as error:
        raise InferenceError(f"openvino failed on a batch: {_reason(error)}") from error


def _closed() -> InferenceError:
    return InferenceError("the engine was closed while it was in use")


def _check_precision(source: GraphSource, precision: Precision) -> None:
    if precision not in _HINTS:
        known = ", ".join(_HINTS)
        raise BackendUnavailableError(f"openvino does not run {precision}, it runs {known}")
    written = "int8" if precision == "int8" else "fp32"
    if source.precision != written:
        raise source.error(f"its graphs are {source.precision}, openvino needs {written} here")
    if precision == "bf16" and not NATIVE_BF16.intersection(cpu_text().split()):
        names = ", ".join(sorted(NATIVE_BF16))
        raise BackendUnavailableError(
            f"openvino would run bf16 slower than fp32 on this CPU: it has none of {names}"
        )


def _options(precision: Precision, threads: int | None) -> dict[str, Any]:
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or 0,
        # Threads tied to a core wait there for the decoders and for other engines.
        "ENABLE_CPU_PINNING": False,
    }


def _wanted(source: GraphSource, name: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return (search_io if name == SEARCH_GRAPH else query_io)(source.bundle.manifest)


def _faults(kind: str, wanted: Sequence[Tensor], found: Sequence[Any]) -> Iterator[str]:
    """Compare what a model says of its inputs or outputs with what the manifest demands."""
    by_name = {port.get_any_name(): port for port in found}
    if by_name.keys() != {tensor.name for tensor in wanted}:
        yield f"{kind}s are {', '.join(by_name)}, not {', '.join(t.name for t in wanted)}"
        return
    for tensor in wanted:
        port = by_name[tensor.name]
        dtype = port.get_element_type().get_type_name()
        yield from tensor.faults(kind, _TYPES.get(dtype, dtype), _shape(port))


def _shape(port: Any) -> list[Dim]:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [None if dim.is_dynamic else int(dim.get_length()) for dim in shape]


def _reason(error: Exception) -> str:
    """Return what is wrong: the last line before the summary; the others name OpenVINO's files."""
    told = str(error).partition("Summary:")[0]
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
