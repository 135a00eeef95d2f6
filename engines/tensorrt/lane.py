"""Batches through one plan: pinned buffers, two streams, two batches on the way.

A lane holds two slots, each with its own host and GPU buffers for the largest batch. A batch is
copied up in one stream and computed and copied down in the other, which waits for its copy alone:
so the copy of batch n+1 overlaps the computation of batch n. A slot is used again only after its
batch was collected; whoever needs it collects for the batch's owner, so threads never wait for
each other's attention.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import InferenceError, PlanError
from engines.graph_io import Dim, Tensor
from engines.tensorrt.api import logger_of, new_runtime
from engines.tensorrt.cuda import Device

logger = logging.getLogger(__name__)

SLOTS = 2


class _Buffer:
    """Host and GPU memory of one tensor at the largest batch."""

    def __init__(self, device: Device, tensor: Tensor, rows: int) -> None:
        self.host: NDArray[Any] = device.pinned((rows, *tensor.sizes), tensor.dtype)
        try:
            self.memory = device.memory(self.host.nbytes)
        except BaseException:
            self._free_host()
            raise

    def fill(self, values: NDArray[Any], rows: int) -> NDArray[Any]:
        """Put in ``values``, repeat the first up to ``rows``; return that part of the host's."""
        self.host[: len(values)] = values
        self.host[len(values) : rows] = values[0]
        return self.host[:rows]

    def free(self) -> None:
        self.memory.free()
        self._free_host()

    def _free_host(self) -> None:
        owner: Any = self.host.base
        self.host = np.empty(0)
        owner.free()


class _Slot:
    """The buffers and events of one batch on its way."""

    def __init__(self, device: Device) -> None:
        self.buffers: dict[str, _Buffer] = {}
        self.uploaded = device.event()
        self.done = device.event()
        self.job: Job | None = None

    def free(self) -> None:
        while self.buffers:
            self.buffers.popitem()[1].free()
        self.uploaded = self.done = None


class Job:
    """A batch on its way; its answer can be had once it is collected, by any thread."""

    def __init__(
        self, device: Device, slot: _Slot, outputs: Sequence[Tensor], rows: int, doing: str
    ) -> None:
        self._lock = threading.Lock()
        self._device = device
        self._slot: _Slot | None = slot
        self._names = [tensor.name for tensor in outputs]
        self._rows = rows
        self._doing = doing
        self._answers: list[NDArray[Any]] = []
        self._error: InferenceError | None = None

    def collect(self) -> None:
        """Wait until the batch is through and take its answer out of the buffers."""
        with self._lock:
            slot = self._slot
            if slot is None:
                return
            try:
                with self._device.active(self._doing):
                    slot.done.synchronize()
                buffers = [slot.buffers[name] for name in self._names]
                self._answers = [buffer.host[: self._rows].copy() for buffer in buffers]
            except InferenceError as error:
                self._error = error
            self._slot = None

    def result(self) -> list[NDArray[Any]]:
        """Return the outputs, each ``(B, …)``, in the order of the graph's.

        Raises:
            InferenceError: the batch failed; DeviceLostError if the GPU did.
        """
        self.collect()
        if self._error is not None:
            raise self._error
        return self._answers


class Lane:
    """One plan, loaded and ready; may be called by several threads at once.

    Raises:
        PlanError: TensorRT refuses the plan, or it is not for these inputs and outputs.
        InferenceError: the GPU has not enough memory.
    """

    def __init__(
        self,
        trt: Any,
        device: Device,
        path: Path,
        data: bytes,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
    ) -> None:
        self._trt, self._device, self._path = trt, device, path
        self._inputs, self._outputs = inputs, outputs
        self._lock = threading.Lock()
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._uploads: Any = None
        self._work: Any = None
        self._slots: list[_Slot] = []
        self.least, self.most = 1, 1
        try:
            with device.active(f"opening {path.name}"):
                self._open(data)
        except BaseException:
            self.close()
            raise

    def _open(self, data: bytes) -> None:
        self._runtime = new_runtime(self._trt)
        logger_of(self._trt).complaints.take()
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise PlanError(self._path, f"TensorRT refuses it: {self._complaints()}")
        if faults := list(_faults(self._trt, self._engine, self._inputs, self._outputs)):
            raise PlanError(self._path, "; ".join(faults))
        self.least, self.most = _profile(self._engine, self._inputs[0].name)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            self._device.check(f"opening {self._path.name}")
            raise InferenceError(f"TensorRT cannot open {self._path.name}: {self._complaints()}")
        self._uploads, self._work = self._device.stream(), self._device.stream()
        for _ in range(SLOTS):
            slot = _Slot(self._device)
            self._slots.append(slot)
            for tensor in (*self._inputs, *self._outputs):
                slot.buffers[tensor.name] = _Buffer(self._device, tensor, self.most)

    def _complaints(self) -> str:
        return logger_of(self._trt).complaints.take() or "no reason given"

    def start(self, feed: Mapping[str, NDArray[Any]]) -> Job:
        """Send a batch on its way; the arrays may be changed as soon as this returns.

        Raises:
            InferenceError: it cannot be sent, or the lane is closed.
        """
        rows = len(feed[self._inputs[0].name])
        if not 1 <= rows <= self.most:
            raise ValueError(f"{self._path.name} takes 1 to {self.most} frames, got {rows}")
        doing = f"a batch of {rows} frames"
        with self._lock:
            if self._context is None:
                raise InferenceError("the engine was closed while it was in use")
            slot = self._next_slot()
            try:
                with self._device.active(doing):
                    self._enqueue(self._context, slot, feed, max(rows, self.least), doing)
            except BaseException:
                self._settle()
                raise
            slot.job = Job(self._device, slot, self._outputs, rows, doing)
            return slot.job

    def _next_slot(self) -> _Slot:
        """Return the slot that was used longest ago, its batch collected."""
        slot = self._slots.pop(0)
        self._slots.append(slot)
        if slot.job is not None:
            slot.job.collect()
        return slot

    def _enqueue(
        self, context: Any, slot: _Slot, feed: Mapping[str, NDArray[Any]], rows: int, doing: str
    ) -> None:
        for tensor in self._inputs:
            buffer = slot.buffers[tensor.name]
            self._device.upload(buffer.memory, buffer.fill(feed[tensor.name], rows), self._uploads)
            shape = (rows, *tensor.sizes)
            self._ask(context.set_input_shape(tensor.name, shape), f"{tensor.name} {shape}", doing)
        slot.uploaded.record(self._uploads)
        self._work.wait_for_event(slot.uploaded)
        for name, buffer in slot.buffers.items():
            taken = context.set_tensor_address(name, int(buffer.memory))
            self._ask(taken, f"the buffer of {name}", doing)
        self._ask(context.execute_async_v3(self._work.handle), "to compute", doing)
        for tensor in self._outputs:
            buffer = slot.buffers[tensor.name]
            self._device.download(buffer.host[:rows], buffer.memory, self._work)
        slot.done.record(self._work)

    def _ask(self, taken: bool, what: str, doing: str) -> None:
        """Make sure that TensorRT took what it was given."""
        if not taken:
            self._device.check(doing)
            raise InferenceError(f"TensorRT refused {what} for {doing}: {self._complaints()}")

    def _settle(self) -> None:
        """Wait until nothing uses the buffers of a batch that was sent in part."""
        try:
            with self._device.active("settling"):
                self._device.drain()
        except InferenceError as error:
            logger.info("after a failed batch: %s", error)

    def close(self) -> None:
        """Let the batches on their way end, and free everything; a second call does nothing."""
        with self._lock:
            for slot in self._slots:
                if slot.job is not None:
                    slot.job.collect()
            try:
                with self._device.active(f"closing {self._path.name}"):
                    self._device.drain()
                    self._free()
            except InferenceError as error:
                logger.warning("%s", error)

    def _free(self) -> None:
        """Free what uses a thing before the thing."""
        self._context = None
        self._engine = None
        self._runtime = None
        while self._slots:
            self._slots.pop().free()
        self._uploads = self._work = None


def _profile(engine: Any, name: str) -> tuple[int, int]:
    """Return the smallest and the largest batch of a plan."""
    least, _, most = engine.get_tensor_profile_shape(name, 0)
    return int(least[0]), int(most[0])


def _faults(
    trt: Any, engine: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Iterator[str]:
    """Tell how a plan's inputs and outputs differ from those wanted."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    sides = (
        ("input", trt.TensorIOMode.INPUT, inputs),
        ("output", trt.TensorIOMode.OUTPUT, outputs),
    )
    for kind, mode, wanted in sides:
        found = [name for name in names if engine.get_tensor_mode(name) == mode]
        if set(found) != {tensor.name for tensor in wanted}:
            yield f"{kind}s are {', '.join(found)}, not {', '.join(t.name for t in wanted)}"
            continue
        for tensor in wanted:
            shape: list[Dim] = [None, *tuple(engine.get_tensor_shape(tensor.name))[1:]]
            dtype = _dtype(trt, engine.get_tensor_dtype(tensor.name))
            yield from tensor.faults(kind, dtype, shape)
            if engine.get_tensor_location(tensor.name) != trt.TensorLocation.DEVICE:
                yield f"{kind} {tensor.name} is not in the GPU's memory"


def _dtype(trt: Any, found: Any) -> str:
    types = trt.DataType
    known = {types.FLOAT: "float32", types.UINT8: "uint8", types.INT64: "int64"}
    return known.get(found, str(found))
