"""The values that cross from a camera to an engine and back.

Boxes are float32 ``(N, 4)`` of x1 y1 x2 y2 in pixels of the SOURCE frame, origin top left.
Time is UTC in whole milliseconds since 1970; ``arrived_s`` alone is monotonic.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EMBEDDING_DIM = 256
"""Length of every embedding (paper: 256-D, L2-normalised)."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""What the heavy layers of a graph compute in; boxes and scores stay float32 in all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture: RGB uint8 ``(H, W, 3)`` and when it was taken.

    ``time_source`` tells where ``captured_at_ms`` came from: ``"camera"`` (the sender's own
    clock), ``"arrival"`` (ours) or ``"file"`` (start of the recording plus its time stamps).
    """

    camera: str
    index: int
    pixels: NDArray[np.uint8]
    captured_at_ms: int
    arrived_s: float
    time_source: str

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"frame of {self.camera}: want uint8 (H, W, 3), "
                f"got {self.pixels.dtype} {self.pixels.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The persons found in one frame, best score first.

    ``boxes`` float32 (N, 4) in source pixels, ``scores`` float32 (N,) in 0..1, ``embeddings``
    float32 (N, 256), each row of unit length. ``full`` is true when every slot of the engine
    was used, so that further persons may have been cut.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    full: bool = False

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.embeddings.shape != (n, EMBEDDING_DIM):
            raise ValueError(
                f"detections disagree: boxes {self.boxes.shape}, scores {self.scores.shape}, "
                f"embeddings {self.embeddings.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)
