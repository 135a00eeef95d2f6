"""What every engine does, whatever runs it, and how to open one.

An engine takes whole frames and returns the persons in them, each with an embedding; or takes
frames with boxes and returns the embeddings of those boxes. Frames are RGB uint8 ``(H, W, 3)``
of any sizes, mixed freely; boxes are float32 ``(N, 4)`` of x1 y1 x2 y2 in pixels of the frame
they belong to. Each frame gets the same answer alone and in any company.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.bundle import open_bundle, shipped_bundle
from engines.runtimes import require
from engines.values import Detections, Precision

if TYPE_CHECKING:
    from engines.plans.cache import PlanCache

__all__ = ["Engine", "EngineInfo", "open_engine", "require"]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of an open engine. ``model`` marks every embedding that it makes.

    ``precision`` is that of the heavy layers; ``reason`` says why this backend was taken.
    """

    model: str
    name: str
    backend: str
    input_hw: tuple[int, int]
    max_persons: int
    dim: int
    score_threshold: float
    query_boxes: int
    path: Path
    precision: Precision = "fp32"
    reason: str = ""


class Engine(Protocol):
    """Frames in, persons out. May be called by several threads at once."""

    @property
    def info(self) -> EngineInfo:
        """What is known of this engine."""
        ...

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return the persons in each frame, boxes in source pixels, best score first.

        ``min_score`` replaces the bundle's own threshold; the graph may hold a floor of its own.

        Raises:
            InferenceError: the runtime failed, or the engine is closed.
        """
        ...

    def embed(
        self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return an embedding ``(256,)`` of unit length for every box of every frame.

        ``boxes[i]`` is ``(R, 4)`` of frame i, any R with 0; boxes are cut at the frame's edges.

        Raises:
            BoxError: a box has no area on its frame.
            InferenceError: the runtime failed, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Free the runtime; calls that follow raise InferenceError."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_engine(
    bundle: Path | None = None,
    *,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    cache: "PlanCache | Path | None" = None,
    device: str | int | None = None,
) -> Engine:
    """Open a bundle (the shipped one by default) on a runtime.

    ``auto`` takes the fastest that was verified on this machine; ``info.reason`` says which and
    why. A named backend or precision is taken as named. ``threads`` is the number of CPU threads
    for one call; the runtime's own choice by default. ``cache`` holds the plans, or is their
    folder. ``device`` names
    a GPU by its number, or "cpu" or "cuda" for the reference. TensorRT without a plan is served
    by ONNX Runtime until one has been made.

    Raises:
        BackendUnavailableError: no such runtime, or it cannot start here or run the precision.
        BundleError: the bundle is missing, damaged or not what its manifest says.
        PlanError: a plan is missing (it names the command that makes it) or cannot be used.
    """
    from engines.opening import open_on

    return open_on(
        open_bundle(bundle or shipped_bundle()),
        backend=backend,
        precision=precision,
        threads=threads,
        cache=cache,
        device=device,
    )
