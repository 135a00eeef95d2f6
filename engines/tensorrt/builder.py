"""Compile one graph of a bundle into a plan for the GPU of this machine.

Networks are strongly typed: the precision of every layer is what the graph says. The batch is the
only open size; MIN, OPT and MAX of it make the one optimisation profile. TensorFloat-32 is off
unless asked for, so that fp32 means fp32. Compiling takes minutes and runs in a thread of its own:
Ctrl-C, or an error in ``progress``, stops it at its next step.
"""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from engines.errors import BuildError
from engines.tensorrt.api import load, logger_of, new_builder, recorder_of
from engines.tensorrt.cuda import open_device

WORKSPACE_BYTES = 4 << 30
BATCH = (1, 4, 8)
_SAID_OF_A_PHASE = 5
"""A phase can have a step for each layer; this many of them are told."""


@dataclass(frozen=True, slots=True)
class Built:
    """A compiled graph, and what was measured on the way (it makes the next build faster)."""

    plan: bytes
    timing_cache: bytes


def _silent(text: str) -> None:
    """Say nothing."""


def build(
    graph: bytes,
    *,
    batch: tuple[int, int, int] = BATCH,
    workspace_bytes: int = WORKSPACE_BYTES,
    timing_cache: bytes = b"",
    progress: Callable[[str], None] = _silent,
    tf32: bool = False,
    device: int | None = None,
    module: Any = None,
) -> Built:
    """Compile an ONNX graph for batches of MIN to MAX frames, fastest at OPT.

    ``workspace_bytes`` limits the GPU memory of a layer; ``timing_cache`` is that of an earlier
    build by the same TensorRT on the same GPU, or empty; ``progress`` is called in this thread
    with a few words at each step. ``device`` is the GPU's number, by default the one that is
    current in this thread. ``module`` stands in for TensorRT.

    Raises:
        BackendUnavailableError: TensorRT is missing, or finds no GPU.
        BuildError: TensorRT cannot read or compile the graph; every fault is named.
    """
    if not 1 <= batch[0] <= batch[1] <= batch[2]:
        raise ValueError(f"batch must be MIN,OPT,MAX with 1 <= MIN <= OPT <= MAX, got {batch}")
    trt = module or load()
    with _current(device):
        return _build(trt, graph, batch, workspace_bytes, timing_cache, progress, tf32, device)


def _current(device: int | None) -> AbstractContextManager[None]:
    return nullcontext() if device is None else open_device(device).active("compiling")


def _build(
    trt: Any,
    graph: bytes,
    batch: tuple[int, int, int],
    workspace_bytes: int,
    timing_cache: bytes,
    progress: Callable[[str], None],
    tf32: bool,
    device: int | None,
) -> Built:
    builder = new_builder(trt)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, graph)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    _add_profile(builder, network, config, batch)
    _use_timing_cache(config, timing_cache)
    builder.error_recorder = recorder = recorder_of(trt)  # given earlier, the network crashes
    config.progress_monitor = monitor = _monitor_of(trt)

    def compiled() -> Any:
        with _current(device):
            return builder.build_serialized_network(network, config)

    plan = _watched(compiled, monitor, progress)
    if plan is None:
        reason = recorder.complaints.take() or logger_of(trt).complaints.take() or "no reason given"
        raise BuildError(f"TensorRT {trt.__version__} cannot compile the graph: {reason}")
    return Built(bytes(memoryview(plan)), _timing_cache_of(config))


def _parse(trt: Any, network: Any, graph: bytes) -> None:
    """Read the graph into the network.

    Raises:
        BuildError: naming every node that TensorRT refuses.
    """
    parser = trt.OnnxParser(network, logger_of(trt))
    if parser.parse(graph):
        return
    faults = [_fault(parser.get_error(index)) for index in range(parser.num_errors)]
    reason = "; ".join(faults) or logger_of(trt).complaints.take()
    raise BuildError(f"TensorRT {trt.__version__} cannot read the graph: {reason}")


def _fault(error: Any) -> str:
    """Return what the parser says, with the node that it speaks of."""
    text = " ".join(error.desc().split())
    node = " ".join(part for part in (error.node_operator(), error.node_name()) if part)
    return f"{node}: {text}" if node else text


def _add_profile(builder: Any, network: Any, config: Any, batch: tuple[int, int, int]) -> None:
    """Open the first size of every input from MIN to MAX.

    Raises:
        BuildError: another size is open too, or the first is not.
    """
    profile = builder.create_optimization_profile()
    for tensor in (network.get_input(index) for index in range(network.num_inputs)):
        sizes = tuple(tensor.shape)
        if sizes[0] != -1 or min(sizes[1:]) < 1:
            raise BuildError(f"input {tensor.name} has sizes {sizes}; only the first may be open")
        least, usual, most = ((frames, *sizes[1:]) for frames in batch)
        profile.set_shape(tensor.name, least, usual, most)
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(f"TensorRT refuses the batch profile {batch}")


def _use_timing_cache(config: Any, data: bytes) -> None:
    """Begin with what an earlier build measured; with nothing where that does not fit here."""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _timing_cache_of(config: Any) -> bytes:
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(memoryview(cache.serialize()))


def _watched(compiled: Callable[[], Any], monitor: Any, progress: Callable[[str], None]) -> Any:
    """Compile in a thread of its own and report from this one."""
    with ThreadPoolExecutor(1, "tensorrt build") as pool:
        job: Future[Any] = pool.submit(compiled)
        job.add_done_callback(lambda _: monitor.says.put(None))
        try:
            for text in _until_none(monitor.says):
                progress(text)
        finally:
            monitor.stopped = True
    return job.result()


def _until_none(texts: "queue.SimpleQueue[str | None]") -> Iterator[str]:
    while (text := texts.get()) is not None:
        yield text


def _monitor_of(trt: Any) -> Any:
    """Return what TensorRT tells its progress to; called by threads of its own."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Puts steps into ``says`` and answers whether to go on."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.says: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            self.stopped = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self.says.put(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            steps = self._steps.get(phase_name, 0)
            if steps and (step + 1) * _SAID_OF_A_PHASE // steps > step * _SAID_OF_A_PHASE // steps:
                self.says.put(f"{phase_name} {step + 1}/{steps}")
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
