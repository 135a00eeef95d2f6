"""The two plans of a bundle on a GPU."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import InferenceError, PlanError
from engines.graph_engine import SearchOutputs
from engines.graph_io import query_io, search_io
from engines.plans.cache import Plan
from engines.tensorrt.cuda import Device
from engines.tensorrt.lane import Lane

SEARCH_PLAN = "search.plan"
QUERY_PLAN = "query.plan"


class TensorRTRunner:
    """The two plans of a bundle; the one that embeds boxes is loaded when it is first needed.

    Only what comes out of the cache of plans, checked, is given to TensorRT: a plan is a program.

    Raises:
        BackendUnavailableError: TensorRT finds no GPU.
        PlanError: a plan is damaged, or not for this bundle.
        InferenceError: the GPU has not enough memory.
    """

    def __init__(self, trt: Any, device: Device, bundle: Bundle, plan: Plan) -> None:
        self._trt, self._device, self._bundle, self._plan = trt, device, bundle, plan
        self._lock = threading.Lock()
        self._closed = False
        self._query: Lane | None = None
        self._search = self._lane(SEARCH_PLAN)

    @property
    def max_batch(self) -> int:
        """The largest batch that the plans take."""
        return self._search.most

    def _lane(self, name: str) -> Lane:
        io = (search_io if name == SEARCH_PLAN else query_io)(self._bundle.manifest)
        data = self._plan.read(name)
        return Lane(self._trt, self._device, self._plan.path / name, data, *io)

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        return self.start(frames)()

    def start(self, frames: NDArray[np.uint8]) -> Callable[[], SearchOutputs]:
        """Send letterboxed frames ``(B, 3, H, W)`` on their way; the result waits for the answer.

        ``frames`` may be changed as soon as this returns.
        """
        job = self._search.start({"frames": frames})
        return lambda: SearchOutputs(*job.result())

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` of frames ``(B, 3, H, W)``: float32 (B, R, 256)."""
        job = self._query_lane().start({"frames": frames, "boxes": boxes})
        embeddings: NDArray[np.float32] = job.result()[0]
        return embeddings

    def _query_lane(self) -> Lane:
        with self._lock:
            if self._closed:
                raise InferenceError("the engine was closed while it was in use")
            if self._query is None:
                self._query = self._checked_query()
            return self._query

    def _checked_query(self) -> Lane:
        lane = self._lane(QUERY_PLAN)
        if lane.most < self.max_batch:
            lane.close()
            reason = f"{QUERY_PLAN} takes {lane.most} frames, {SEARCH_PLAN} {self.max_batch}"
            raise PlanError(self._plan.path, reason)
        return lane

    def close(self) -> None:
        """Let the batches on their way end, and free the GPU's memory."""
        with self._lock:
            self._closed = True
            self._search.close()
            if self._query is not None:
                self._query.close()
