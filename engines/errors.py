"""Errors of the engines floor.

EngineError
├── BundleError              a bundle is missing, damaged or not what its manifest says
├── BackendUnavailableError  a runtime is not installed, or refuses to start here
├── InferenceError           a runtime failed on a batch, or answered nonsense
│   └── DeviceLostError      the accelerator is gone; this process cannot use it again
├── BuildError               a graph cannot be compiled, or its precision lowered
├── PlanError                a compiled plan is damaged, foreign, or its folder cannot be used
├── BoxError                 a box does not lie on its frame
└── PictureError             a picture file cannot be read or written
"""

from collections.abc import Sequence
from pathlib import Path


class EngineError(Exception):
    """Base of everything that this package raises on purpose."""


class BundleError(EngineError):
    """A bundle is missing, damaged or not what its manifest says."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"cannot use engine bundle {path}: {reason}")


class BackendUnavailableError(EngineError):
    """A runtime is not installed, or refuses to start on this machine."""


class InferenceError(EngineError):
    """A runtime failed on a batch, or answered nonsense."""


class DeviceLostError(InferenceError):
    """The accelerator is gone, or in a state that only a new process can mend."""


class BuildError(EngineError):
    """A graph cannot be compiled, or its precision cannot be lowered."""


class PlanError(EngineError):
    """A compiled plan is damaged or foreign, or the folder of the plans cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"cannot use plan {path}: {reason}")


class BoxError(EngineError):
    """A box does not lie on its frame."""

    def __init__(self, box: Sequence[float], frame_hw: tuple[int, int]) -> None:
        self.box = tuple(box)
        edges = ", ".join(f"{edge:g}" for edge in self.box)
        super().__init__(
            f"box x1 y1 x2 y2 = ({edges}) does not lie on the frame of "
            f"{frame_hw[1]} x {frame_hw[0]} pixels"
        )


class PictureError(EngineError):
    """A picture file cannot be read or written."""

    def __init__(self, path: Path, reason: str, *, action: str = "read") -> None:
        self.path = path
        super().__init__(f"cannot {action} picture {path}: {reason}")
