"""pycuda.driver over the simulated GPU of ``fake_gpu.py``, which must have been loaded before."""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tests_support_fake_gpu import (
    POISON,
    Error,
    LaunchError,
    LogicError,
    Mark,
    MemoryError,  # noqa: A004
    RuntimeError,  # noqa: A004
    Simulation,
    Task,
)


class _Pages:
    """What owns page-locked memory."""

    def __init__(self, gpu: Simulation, shape: Sequence[int], dtype: DTypeLike) -> None:
        self._gpu, self._context = gpu, gpu.stack()[-1]
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.memory = np.full(size, POISON, np.uint8)
        interface = self.memory.__array_interface__
        self.__array_interface__ = {
            "version": 3,
            "data": interface["data"],
            "shape": tuple(shape),
            "typestr": np.dtype(dtype).str,
        }
        gpu.pinned_bytes += size

    def free(self) -> None:
        self._gpu.release("host memory", self._context)
        self._gpu.pinned_bytes -= len(self.memory)
        self.memory[:] = POISON


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    flat: NDArray[np.uint8] = array.reshape(-1).view(np.uint8)
    return flat


def _classes(gpu: Simulation) -> Iterator[type]:
    """Yield the driver's classes over one simulated GPU."""

    class Context:
        """A context; the stack of current ones is a thread's own."""

        def push(self) -> None:
            gpu.stack().append(self)

        @staticmethod
        def pop() -> None:
            gpu.stack().pop()

        def detach(self) -> None:
            pass

        @staticmethod
        def synchronize() -> None:
            with gpu.lock:
                gpu.call("cuCtxSynchronize")
                gpu.finish()

    yield Context

    class Device:
        """The one device."""

        def __init__(self, number: int) -> None:
            self._number = number

        @staticmethod
        def count() -> int:
            return 1

        def name(self) -> str:
            return "Simulated GPU"

        def compute_capability(self) -> tuple[int, int]:
            return 9, 0

        def retain_primary_context(self) -> Context:
            return Context()

    yield Device

    class Stream:
        """A queue of work."""

        def __init__(self, flags: int = 0) -> None:
            gpu.call("cuStreamCreate")
            self._context, self.queue = gpu.stack()[-1], gpu.new_queue()

        @property
        def handle(self) -> int:
            return self.queue.number + 1

        def wait_for_event(self, evt: Any) -> None:
            with gpu.lock:
                gpu.call("cuStreamWaitEvent")
                if evt.mark is not None:
                    gpu.put(self.queue, Task(waits=evt.mark))

        def __del__(self) -> None:
            gpu.release("stream", self._context)

    yield Stream

    class Event:
        """A mark in a stream."""

        def __init__(self, flags: int = 0) -> None:
            gpu.call("cuEventCreate")
            self._context = gpu.stack()[-1]
            self.mark: Mark | None = None

        def record(self, stream: Any = None) -> "Event":
            with gpu.lock:
                gpu.call("cuEventRecord")
                self.mark = Mark(stream.queue)
                gpu.put(stream.queue, Task(sets=self.mark))
            return self

        def synchronize(self) -> "Event":
            with gpu.lock:
                gpu.call("cuEventSynchronize")
                if self.mark is not None:
                    gpu.reach(self.mark)
            return self

        def __del__(self) -> None:
            gpu.release("event", self._context)

    yield Event

    class DeviceAllocation:
        """Memory of the GPU."""

        def __init__(self, size: int) -> None:
            self._context, self._address = gpu.stack()[-1], gpu.allocate(size)

        def __int__(self) -> int:
            return self._address

        __index__ = __int__

        def free(self) -> None:
            gpu.release("memory", self._context)
            gpu.deallocate(self._address)

    yield DeviceAllocation


def driver_of(gpu: Simulation) -> ModuleType:
    """Return what stands for ``pycuda.driver``."""
    driver: Any = ModuleType("pycuda.driver")
    for cls in (Error, MemoryError, LogicError, LaunchError, RuntimeError, *_classes(gpu)):
        setattr(driver, cls.__name__, cls)
    driver.event_flags = type("event_flags", (), {"BLOCKING_SYNC": 1, "DISABLE_TIMING": 2})

    def init(flags: int = 0) -> None:
        pass

    def get_driver_version() -> int:
        return 13000

    def mem_alloc(size: int) -> Any:
        gpu.call("cuMemAlloc")
        return driver.DeviceAllocation(size)

    def pagelocked_empty(
        shape: Sequence[int], dtype: DTypeLike, order: str = "C", mem_flags: int = 0
    ) -> NDArray[Any]:
        gpu.call("cuMemHostAlloc")
        return np.asarray(_Pages(gpu, shape, dtype))

    def memcpy_htod_async(dest: Any, src: NDArray[Any], stream: Any = None) -> None:
        source = _bytes(src)

        def copy() -> None:
            target = gpu.at(int(dest), len(source))
            if target is not None:
                target[:] = source
                source[:] = POISON

        with gpu.lock:
            gpu.call("cuMemcpyHtoDAsync")
            gpu.put(stream.queue, gpu.task("up", copy))

    def memcpy_dtoh_async(dest: NDArray[Any], src: Any, stream: Any = None) -> None:
        target = _bytes(dest)

        def copy() -> None:
            source = gpu.at(int(src), len(target))
            if source is not None:
                target[:] = source
                source[:] = POISON

        with gpu.lock:
            gpu.call("cuMemcpyDtoHAsync")
            target[:] = POISON
            gpu.put(stream.queue, gpu.task("down", copy))

    for function in (
        init, get_driver_version, mem_alloc, pagelocked_empty, memcpy_htod_async, memcpy_dtoh_async,
    ):  # fmt: skip
        setattr(driver, function.__name__, function)
    return driver
