"""One GPU through pycuda: its context, memory, streams, and its errors as ours.

pycuda ties whatever it allocates to one context object and frees it only where that object is
current. So there is one object a GPU and process, on the GPU's primary context (which TensorRT
and torch share); a thread makes it current for the length of a call, and nothing stays on a
thread's stack. It is kept to the end of the process, as TensorRT's own hold on it is.
"""

import atexit
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from numpy.typing import DTypeLike, NDArray

from engines.errors import BackendUnavailableError, DeviceLostError, InferenceError
from engines.runtimes import require

logger = logging.getLogger(__name__)

LOST = (
    "an illegal memory access was encountered",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected during the execution",
    "device-side assert triggered",
    "hardware stack error",
    "an illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "context is destroyed",
    "invalid device context",
    "driver shutting down",
    "no CUDA-capable device is detected",
    "CUDA-capable device(s) is/are busy or unavailable",
    "unknown error",
)
"""What the driver says of a fault that only a new process can mend (its words, not pycuda's)."""

_opening = threading.Lock()


def open_device(index: int) -> "Device":
    """Return a GPU by its number; the same object for everybody in this process.

    Raises:
        BackendUnavailableError: pycuda is missing or finds no driver, or there is no such GPU.
    """
    driver = require("pycuda.driver", "gpu")
    with _opening:
        return _device(driver, index)


@lru_cache
def _device(driver: Any, index: int) -> "Device":
    try:
        driver.init()
        if not 0 <= index < driver.Device.count():
            raise BackendUnavailableError(
                f"there is no GPU {index}; this machine has {driver.Device.count()}"
            )
        context = driver.Device(index).retain_primary_context()
    except driver.Error as error:
        raise BackendUnavailableError(f"GPU {index} cannot be used: {error}") from error
    atexit.register(context.detach)  # left to itself, pycuda would free it in the wrong way
    return Device(driver, index, context)


class Device:
    """A GPU. Every method but `active` needs it to be active in the calling thread."""

    def __init__(self, driver: Any, index: int, context: Any) -> None:
        self.index = index
        self._driver = driver
        self._context = context

    @contextmanager
    def active(self, doing: str) -> Iterator[None]:
        """Make the GPU current for this thread; its errors become ours and say ``doing``.

        Raises:
            InferenceError: it failed and can go on, for want of memory for instance.
            DeviceLostError: it failed for good.
        """
        try:
            self._context.push()
        except self._driver.Error as error:
            raise self._lost(doing, error) from error
        try:
            yield
        except self._driver.Error as error:
            raise self._explained(doing, error) from error
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            self._driver.Context.pop()
        except self._driver.Error as error:  # what made it so has been raised already
            logger.warning("GPU %d: %s", self.index, error)

    def stream(self) -> Any:
        """Return a new stream."""
        return self._driver.Stream()

    def event(self) -> Any:
        """Return a new event; who waits for it sleeps."""
        flags = self._driver.event_flags
        return self._driver.Event(flags.BLOCKING_SYNC | flags.DISABLE_TIMING)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return page-locked host memory, which a copy can use while the CPU does other things."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        return array

    def memory(self, size_bytes: int) -> Any:
        """Return memory of the GPU; ``int()`` of it is its address."""
        return self._driver.mem_alloc(size_bytes)

    def upload(self, memory: Any, array: NDArray[Any], stream: Any) -> None:
        """Copy page-locked ``array`` to the GPU in the order of ``stream``."""
        self._driver.memcpy_htod_async(memory, array, stream)

    def download(self, array: NDArray[Any], memory: Any, stream: Any) -> None:
        """Copy from the GPU into page-locked ``array`` in the order of ``stream``."""
        self._driver.memcpy_dtoh_async(array, memory, stream)

    def check(self, doing: str) -> None:
        """Wait for everything, to learn whether the GPU still works.

        Raises:
            DeviceLostError: it does not.
        """
        try:
            self._driver.Context.synchronize()
        except self._driver.Error as error:
            raise self._lost(doing, error) from error

    def drain(self) -> None:
        """Wait for everything, whatever becomes of it."""
        try:
            self._driver.Context.synchronize()
        except self._driver.Error as error:
            logger.info("GPU %d while it was closed: %s", self.index, error)

    def _explained(self, doing: str, error: Exception) -> InferenceError:
        """Return our error for one of the driver's, and find out whether the GPU still works."""
        if isinstance(error, self._driver.MemoryError):
            return InferenceError(f"GPU {self.index} has not enough memory for {doing}: {error}")
        if any(text in str(error) for text in LOST):
            return self._lost(doing, error)
        try:
            self._driver.Context.synchronize()
        except self._driver.Error as later:
            return self._lost(doing, later)
        return InferenceError(f"GPU {self.index} failed on {doing}: {error}")

    def _lost(self, doing: str, error: Exception) -> DeviceLostError:
        return DeviceLostError(
            f"GPU {self.index} was lost on {doing}: {error}; only a new process can use it again"
        )
