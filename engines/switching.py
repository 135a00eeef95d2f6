"""Serve with one engine while a better one is being made, then change over between two calls.

A call of ``detect`` or ``embed`` runs on one engine from beginning to end. The engine that is
left is closed when its last call has ended. A better engine that cannot be made changes nothing
but ``info.reason``.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine, EngineInfo
from engines.errors import EngineError, InferenceError
from engines.values import Detections

logger = logging.getLogger(__name__)

Make = Callable[[threading.Event], Engine]
"""Makes the better engine; returns or raises EngineError soon after the event is set."""

JOIN_S = 10.0
"""How long ``close`` waits for the making to end; after that it ends by itself."""


@dataclass(slots=True, eq=False)
class _Served:
    """An engine and how many calls are running on it."""

    engine: Engine
    calls: int = 0
    left: bool = False


class SwitchingEngine:
    """An engine that becomes another one (see :class:`engines.engine.Engine`).

    ``what`` names the better engine ("tensorrt fp16"). May be called by several threads at once.
    """

    def __init__(self, serving: Engine, make: Make, *, what: str) -> None:
        self._what = what
        self._make = make
        self._lock = threading.Lock()
        self._current: _Served | None = _Served(serving)
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._info = self._explained(serving, f"serving while {what} is made")
        self._thread = threading.Thread(target=self._run, name=f"making {what}", daemon=True)
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        """What is known of the engine that takes the next call; ``reason`` tells how it goes."""
        return self._info

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the better engine serves or has failed; False if it took longer."""
        return self._settled.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return the persons in each frame (see :meth:`engines.engine.Engine.detect`)."""
        with self._call() as engine:
            return engine.detect(frames, min_score=min_score)

    def embed(
        self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return the embeddings of boxes (see :meth:`engines.engine.Engine.embed`)."""
        with self._call() as engine:
            return engine.embed(frames, boxes)

    def close(self) -> None:
        """End the making and free the runtime; a call in progress still ends well."""
        self._stop.set()
        self._serve(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    @contextmanager
    def _call(self) -> Iterator[Engine]:
        """Give the engine that serves now, and keep it open while the block runs."""
        with self._lock:
            served = self._current
            if served is None:
                raise InferenceError(f"engine {self._info.name} is closed")
            served.calls += 1
        try:
            yield served.engine
        finally:
            with self._lock:
                served.calls -= 1
                last = served.left and served.calls == 0
            if last:
                served.engine.close()

    def _serve(self, better: Engine | None) -> bool:
        """Let the next calls go to another engine, or nowhere; False if it was closed before."""
        with self._lock:
            served = self._current
            if served is None:
                return False
            self._current = None if better is None else _Served(better)
            if better is not None:
                self._info = self._explained(better, f"{self._what} was made and took over")
            served.left = True
            idle = served.calls == 0
        if idle:
            served.engine.close()
        return True

    def _run(self) -> None:
        try:
            self._take_over()
        except EngineError as error:
            if not self._stop.is_set():
                self._stay(error)
        finally:
            self._settled.set()

    def _take_over(self) -> None:
        better = self._make(self._stop)
        fault = _difference(self._info, better.info)
        if fault:
            better.close()
            raise InferenceError(f"it is another engine: {fault}")
        if self._stop.is_set() or not self._serve(better):
            better.close()
            return
        logger.info("%s now serves engine %s", self._what, self._info.name)

    def _stay(self, error: EngineError) -> None:
        now = f"{self._info.backend} {self._info.precision}"
        logger.warning("%s cannot be made, %s goes on: %s", self._what, now, error)
        with self._lock:
            self._info = replace(self._info, reason=f"{self._what} cannot be made: {error}")

    def _explained(self, engine: Engine, reason: str) -> EngineInfo:
        info = engine.info
        return replace(info, reason=f"{info.backend} {info.precision}: {reason}")


def _difference(before: EngineInfo, after: EngineInfo) -> str:
    """Return in words how another engine would change the meaning of what it answers."""
    fields = ("model", "input_hw", "max_persons", "dim", "score_threshold", "query_boxes")
    return "; ".join(
        f"{field} is {getattr(after, field)}, not {getattr(before, field)}"
        for field in fields
        if getattr(before, field) != getattr(after, field)
    )
