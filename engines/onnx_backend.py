"""The engine on ONNX Runtime, on the CPU.

Graphs come from checked bytes, so that no graph can point at another file. What a graph takes
and returns is compared with the manifest before the first frame. The query graph is loaded when
it is first needed.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import InferenceError
from engines.graph_engine import GraphEngine, SearchOutputs
from engines.graph_io import Tensor, query_io, search_io
from engines.graph_source import GraphSource
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.plans.cache import Plan
from engines.runtimes import require
from engines.values import Precision

BACKEND = "onnxruntime"
MAX_BATCH = 8
"""Frames a run. More gain nothing on a CPU and take memory."""

_FATAL_ONLY = 4
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


class OnnxEngine(GraphEngine):
    """An engine on ONNX Runtime; ``threads`` CPU threads a call (its own choice by default).

    With a ``plan`` its graphs are run in place of the bundle's, in the precision of the plan.

    Raises:
        BackendUnavailableError: onnxruntime is missing or cannot start.
        BundleError: a graph cannot be loaded, or is not what the manifest says.
        PlanError: the plan is not of this bundle and backend, or is damaged.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        plan: Plan | None = None,
        threads: int | None = None,
        max_batch: int = MAX_BATCH,
    ) -> None:
        runner = OnnxRunner(bundle, threads, plan)
        precision = "fp32" if plan is None else plan.key.precision
        super().__init__(bundle, runner, backend=BACKEND, max_batch=max_batch, precision=precision)


class OnnxRunner:
    """The two graphs of a bundle, or of a plan made from it, in ONNX Runtime sessions."""

    def __init__(self, bundle: Bundle, threads: int | None, plan: Plan | None = None) -> None:
        self._source = GraphSource(bundle, BACKEND, plan)
        self._bundle = bundle
        self._threads = threads
        self._lock = threading.Lock()
        self._search = _load(self._source, SEARCH_GRAPH, threads)
        self._query: Any = None

    @property
    def precision(self) -> Precision:
        """What the heavy layers of the graphs compute in."""
        return self._source.precision

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        outputs = _run(self._search, search_io(self._bundle.manifest)[1], {"frames": frames})
        return SearchOutputs(*outputs)

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` of frames ``(B, 3, H, W)``: float32 (B, R, 256)."""
        feed: dict[str, NDArray[Any]] = {"frames": frames, "boxes": boxes}
        outputs = _run(self._query_session(), query_io(self._bundle.manifest)[1], feed)
        embeddings: NDArray[np.float32] = outputs[0]
        return embeddings

    def _query_session(self) -> Any:
        with self._lock:
            if self._query is None:
                self._query = _load(self._source, QUERY_GRAPH, self._threads)
            return self._query

    def close(self) -> None:
        """Let go of the sessions; the runtime frees them when their last call ends."""
        with self._lock:
            self._search = self._query = None


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return every error class that ONNX Runtime raises (they share no base of their own).

    One is Python's own: a message that quotes bytes of a graph which are no text.
    """
    state = require("onnxruntime.capi.onnxruntime_pybind11_state")
    classes = [value for value in vars(state).values() if isinstance(value, type)]
    own = [kind for kind in classes if issubclass(kind, Exception)]
    return (*own, RuntimeError, MemoryError, UnicodeError)


@contextmanager
def _as_inference_error() -> Iterator[None]:
    try:
        yield
    except runtime_errors() as error:
        raise InferenceError(f"onnxruntime failed on a batch: {_first_line(error)}") from error


def _run(
    session: Any, outputs: Sequence[Tensor], feed: dict[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    if session is None:
        raise InferenceError("the engine was closed while it was in use")
    with _as_inference_error():
        answers: list[NDArray[Any]] = session.run([tensor.name for tensor in outputs], feed)
        return answers


def _load(source: GraphSource, name: str, threads: int | None) -> Any:
    runtime = require("onnxruntime")
    graph = source.read(name)
    try:
        session = runtime.InferenceSession(
            graph,
            _options(runtime, threads),
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print to standard output and try the same again
        )
    except runtime_errors() as error:
        raise source.error(f"onnxruntime cannot load {name}: {_first_line(error)}") from error
    session.disable_fallback()
    if faults := _session_faults(source.bundle, name, session):
        raise source.error(f"{name} is not the graph of its manifest: {'; '.join(faults)}")
    return session


def _options(runtime: Any, threads: int | None) -> Any:
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY  # what is wrong is in the errors that it raises
    # A graph that names another file for its weights shall not find one.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    # Threads that spin while they wait take the CPU that the decoders need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session_faults(bundle: Bundle, name: str, session: Any) -> list[str]:
    inputs, outputs = (search_io if name == SEARCH_GRAPH else query_io)(bundle.manifest)
    return [
        *_faults("input", inputs, session.get_inputs()),
        *_faults("output", outputs, session.get_outputs()),
    ]


def _faults(kind: str, wanted: Sequence[Tensor], found: Sequence[Any]) -> Iterator[str]:
    """Compare what a session says of its inputs or outputs with what the manifest demands."""
    by_name = {node.name: node for node in found}
    if by_name.keys() != {tensor.name for tensor in wanted}:
        yield f"{kind}s are {', '.join(by_name)}, not {', '.join(t.name for t in wanted)}"
        return
    for tensor in wanted:
        node = by_name[tensor.name]
        yield from tensor.faults(kind, _TYPES.get(node.type, node.type), node.shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
