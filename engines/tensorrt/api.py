"""TensorRT's Python module: load it, check its version, make its objects, read its complaints.

One source for TensorRT 10.13 and later and for 11; whatever the module is, it is called ``trt``.
TensorRT answers most faults with None or False and says why to a logger or a recorder; here those
become errors that carry the text.
"""

import logging
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

from engines.errors import BackendUnavailableError
from engines.runtimes import require

OLDEST = (10, 13)
NEWEST_MAJOR = 11

logger = logging.getLogger(__name__)

_KEPT = 20
"""Complaints that are remembered; the first ones tell most."""


def load() -> ModuleType:
    """Import TensorRT.

    Raises:
        BackendUnavailableError: it is missing, cannot be loaded, or of a version that is not known.
    """
    trt = require("tensorrt", "gpu")
    found = version_of(trt)
    if found < OLDEST or found[0] > NEWEST_MAJOR:
        raise BackendUnavailableError(
            f"TensorRT {trt.__version__} is installed; this version of Sightline knows "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST_MAJOR}"
        )
    return trt


def version_of(trt: Any) -> tuple[int, ...]:
    """Return the leading numbers of the version, ``(10, 16, 1, 11)``."""
    numbers = re.match(r"\d+(\.\d+)*", trt.__version__)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


class Complaints:
    """The first complaints since the last look; filled by threads of TensorRT's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: deque[str] = deque()

    def add(self, text: str) -> None:
        """Remember a complaint, unless it is known or there are enough."""
        line = " ".join(text.split())
        with self._lock:
            if line not in self._texts and len(self._texts) < _KEPT:
                self._texts.append(line)

    def take(self) -> str:
        """Return the complaints in one line, and forget them."""
        with self._lock:
            text = "; ".join(self._texts)
            self._texts.clear()
        return text

    def count(self) -> int:
        """Return how many are remembered."""
        return len(self._texts)

    def text(self, index: int) -> str:
        """Return one complaint."""
        return self._texts[index]


@lru_cache
def logger_of(trt: Any) -> Any:
    """Return the one logger of a module (TensorRT keeps the first that it is given for good).

    What it calls an error is raised by us too, so that ``logging`` gets it as information.
    """
    errors = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Hands TensorRT's messages on, and remembers the errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaints = Complaints()

        def log(self, severity: Any, msg: str) -> None:
            if severity in errors:
                self.complaints.add(msg)
            logger.log(logging.INFO if severity in errors else logging.DEBUG, "%s", msg)

    return Logger()


def recorder_of(trt: Any) -> Any:
    """Return a new error recorder; its ``complaints`` are what TensorRT reports to it.

    It must live as long as what reports to it.
    """

    class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
        """Remembers what TensorRT reports."""

        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)
            self.complaints = Complaints()

        def num_errors(self) -> int:
            return self.complaints.count()

        def get_error_code(self, index: int) -> Any:
            return trt.ErrorCodeTRT.UNSPECIFIED_ERROR

        def get_error_desc(self, index: int) -> str:
            return self.complaints.text(index)

        def has_overflowed(self) -> bool:
            return self.complaints.count() >= _KEPT

        def clear(self) -> None:
            self.complaints.take()

        def report_error(self, code: Any, desc: str) -> bool:
            self.complaints.add(desc)
            return True

    return Recorder()


def new_builder(trt: Any) -> Any:
    """Return a compiler.

    Raises:
        BackendUnavailableError: TensorRT finds no GPU that it can use.
    """
    with _needs_gpu(trt):
        return trt.Builder(logger_of(trt))


def new_runtime(trt: Any) -> Any:
    """Return what loads plans.

    Raises:
        BackendUnavailableError: TensorRT finds no GPU that it can use.
    """
    with _needs_gpu(trt):
        return trt.Runtime(logger_of(trt))


@contextmanager
def _needs_gpu(trt: Any) -> Iterator[None]:
    """Turn pybind11's word for a factory that returned nothing into ours."""
    complaints: Complaints = logger_of(trt).complaints
    complaints.take()
    try:
        yield
    except TypeError as error:
        reason = complaints.take() or str(error)
        raise BackendUnavailableError(
            f"TensorRT {trt.__version__} is installed but cannot start: {reason}; it needs an "
            f"NVIDIA GPU and a driver that is new enough for it (nvidia-smi shows both)"
        ) from error
