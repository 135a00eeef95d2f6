"""The reference engine: both graphs in torch, on the CPU or a CUDA device.

It is what faster engines are compared with: every operator as ONNX defines it, in the graph's
own precision, TensorFloat-32 off.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import BackendUnavailableError, DeviceLostError, InferenceError
from engines.graph_engine import GraphEngine, SearchOutputs
from engines.graph_io import Tensor, query_io, search_io
from engines.graph_source import GraphSource
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.plans.cache import Plan
from engines.reference.program import GraphFaultError, Program, RunFaultError, Value
from engines.runtimes import require

BACKEND = "reference"
MAX_BATCH = 8


class ReferenceEngine(GraphEngine):
    """An engine in torch; ``device`` is "cpu", "cuda" or "cuda:1", ``threads`` those of a call.

    With a ``plan`` its graphs are run, so that lower precision can be looked into.

    Raises:
        BackendUnavailableError: torch or onnx is missing, or there is no such device.
        BundleError: a graph holds what is not known, or is not what the manifest says.
        PlanError: the plan is not of this bundle and backend, or is damaged.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        plan: Plan | None = None,
        device: str = "cpu",
        threads: int | None = None,
        max_batch: int = MAX_BATCH,
    ) -> None:
        source = GraphSource(bundle, BACKEND, plan)
        runner = ReferenceRunner(source, device, threads)
        super().__init__(
            bundle, runner, backend=BACKEND, max_batch=max_batch, precision=source.precision
        )


class ReferenceRunner:
    """The two graphs as programs of torch."""

    def __init__(self, source: GraphSource, device: str, threads: int | None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._source = source
        self._torch = require("torch", "train")
        self._device = _checked_device(self._torch, device)
        self._threads = threads
        self._lock = threading.Lock()
        self._gpu = threading.Lock()
        self._search: Program | None = self._load(SEARCH_GRAPH)
        self._query: Program | None = None
        self._closed = False

    def _load(self, name: str) -> Program:
        graph = self._source.read(name)
        with _device_errors(self._torch):
            try:
                program = Program(graph, self._device)
            except GraphFaultError as error:
                raise self._source.error(f"{name}: {error}") from error
        inputs, outputs = self._io(name)
        faults = [*_faults("input", inputs, program.inputs),
                  *_faults("output", outputs, program.outputs)]  # fmt: skip
        if faults:
            reason = f"{name} is not the graph of its manifest: {'; '.join(faults)}"
            raise self._source.error(reason)
        return program

    def _io(self, name: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return (search_io if name == SEARCH_GRAPH else query_io)(self._source.bundle.manifest)

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        program = self._search
        if program is None:
            raise _closed()
        outputs = self._run(program, {"frames": frames}, self._io(SEARCH_GRAPH)[1])
        return SearchOutputs(*outputs)

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` of frames ``(B, 3, H, W)``: float32 (B, R, 256)."""
        feed: dict[str, NDArray[Any]] = {"frames": frames, "boxes": boxes}
        (embeddings,) = self._run(self._query_program(), feed, self._io(QUERY_GRAPH)[1])
        return embeddings

    def _query_program(self) -> Program:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._query is None:
                self._query = self._load(QUERY_GRAPH)
            return self._query

    def close(self) -> None:
        """Let go of the graphs."""
        with self._lock:
            self._closed = True
            self._search = self._query = None

    def _run(
        self, program: Program, feed: dict[str, NDArray[Any]], wanted: Sequence[Tensor]
    ) -> list[NDArray[Any]]:
        with self._exactly(), _device_errors(self._torch), self._torch.inference_mode():
            outputs = program.run({name: self._moved(array) for name, array in feed.items()})
            arrays = [np.array(outputs[tensor.name].cpu().numpy()) for tensor in wanted]
        batch = len(feed["frames"])
        for tensor, array in zip(wanted, arrays, strict=True):
            if array.shape != (batch, *tensor.sizes) or array.dtype.name != tensor.dtype:
                raise InferenceError(
                    f"reference: output {tensor.name} came as {array.dtype} {array.shape}"
                )
        return arrays

    def _moved(self, array: NDArray[Any]) -> Any:
        """Return an input on the device, pictures with their channels last."""
        tensor = self._torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if self._device != "cpu":
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        if tensor.dim() == 4:
            return tensor.contiguous(memory_format=self._torch.channels_last)
        return tensor

    def _exactly(self) -> AbstractContextManager[Any]:
        """Return the settings of a run: threads on the CPU; on a GPU true float32, one at a time.

        The switch for TensorFloat-32 holds for the whole process, hence the lock.
        """
        if self._device != "cpu":
            return _without_tf32(self._torch, self._gpu)
        if self._threads is None:
            return nullcontext()
        return _with_threads(self._torch, self._threads)


def _closed() -> InferenceError:
    return InferenceError("the engine was closed while it was in use")


def _checked_device(torch: Any, device: str) -> str:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise BackendUnavailableError(f"torch knows no device {device!r}") from error
    if wanted.type not in ("cpu", "cuda"):
        raise BackendUnavailableError(f"the reference runs on cpu or cuda, not on {device!r}")
    if wanted.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= found:
            raise BackendUnavailableError(f"torch finds {found} CUDA devices, {device!r} is none")
        return f"cuda:{wanted.index or 0}"
    return "cpu"


@contextmanager
def _with_threads(torch: Any, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_tf32(torch: Any, lock: threading.Lock) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    flags = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )
    with lock, flags:
        before = matmul.allow_tf32
        matmul.allow_tf32 = False
        try:
            yield
        finally:
            matmul.allow_tf32 = before


@contextmanager
def _device_errors(torch: Any) -> Iterator[None]:
    """Turn torch's errors into ours; a CUDA error other than lack of memory ends the device."""
    try:
        yield
    except RunFaultError as error:
        cause = error.__cause__
        if isinstance(cause, torch.AcceleratorError):
            raise DeviceLostError(f"reference: the CUDA device is lost: {error}") from error
        raise InferenceError(f"reference failed on a batch: {error}") from error
    except torch.AcceleratorError as error:
        raise DeviceLostError(f"reference: the CUDA device is lost: {error}") from error
    except (RuntimeError, MemoryError) as error:
        raise InferenceError(f"reference failed on a batch: {error}") from error


def _faults(kind: str, wanted: Sequence[Tensor], found: Sequence[Value]) -> Iterator[str]:
    by_name = {value.name: value for value in found}
    if by_name.keys() != {tensor.name for tensor in wanted}:
        yield f"{kind}s are {', '.join(by_name)}, not {', '.join(t.name for t in wanted)}"
        return
    for tensor in wanted:
        yield from tensor.faults(kind, by_name[tensor.name].dtype, by_name[tensor.name].shape)
