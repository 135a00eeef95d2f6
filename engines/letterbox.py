"""Fit a frame of any size into the engine's fixed input, and map boxes back.

Scale is the same on both axes; the picture is centred and the rest is grey. Boxes are float32
``(N, 4)`` of x1 y1 x2 y2 in pixels, origin top left.
"""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

PAD_VALUE = 114
"""Grey of the padding (the usual choice; near the mean of natural pictures)."""

PREPROCESSING = f"rgb uint8, one scale, centred, padded with {PAD_VALUE}, area down, bilinear up"
"""What :class:`Letterbox` does to a frame. Part of a model's identity: embeddings that were made
with another preprocessing are not comparable. Change it whenever the pixels change."""

_EXACT = (
    Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


class Letterbox:
    """The map between one source size and one input size, both ``(height, width)``.

    One instance must not be used by two threads at once: the scaler keeps state.
    """

    def __init__(self, source_hw: tuple[int, int], input_hw: tuple[int, int]) -> None:
        if min(*source_hw, *input_hw) < 1:
            raise ValueError(f"letterbox needs sizes of at least 1, got {source_hw} -> {input_hw}")
        self.source_hw = source_hw
        self.input_hw = input_hw
        self.scale = min(input_hw[0] / source_hw[0], input_hw[1] / source_hw[1])
        self.inner_hw = (
            min(input_hw[0], max(1, round(source_hw[0] * self.scale))),
            min(input_hw[1], max(1, round(source_hw[1] * self.scale))),
        )
        self.top = (input_hw[0] - self.inner_hw[0]) // 2
        self.left = (input_hw[1] - self.inner_hw[1]) // 2
        # The inner size is whole pixels, so the true scale differs a little between the axes.
        sx, sy = self.inner_hw[1] / source_hw[1], self.inner_hw[0] / source_hw[0]
        self._scale = np.array([sx, sy, sx, sy], np.float32)
        self._shift = np.array([self.left, self.top, self.left, self.top], np.float32)
        self._reformatter = VideoReformatter()

    def fit(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return uint8 ``(3, H, W)`` of an RGB picture ``(h, w, 3)`` of the source size."""
        if rgb.shape != (*self.source_hw, 3) or rgb.dtype != np.uint8:
            raise ValueError(
                f"picture is {rgb.dtype} {rgb.shape}, this letterbox takes uint8 "
                f"{(*self.source_hw, 3)}"
            )
        out = np.full((3, *self.input_hw), PAD_VALUE, np.uint8)
        rows = slice(self.top, self.top + self.inner_hw[0])
        columns = slice(self.left, self.left + self.inner_hw[1])
        self._resize(rgb, out[:, rows, columns])
        return out

    def _resize(self, rgb: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Scale ``(h, w, 3)`` into ``out`` ``(3, inner height, inner width)``."""
        if self.inner_hw == self.source_hw:
            out[:] = rgb.transpose(2, 0, 1)
            return
        kind = Interpolation.AREA if self.scale < 1 else Interpolation.BILINEAR
        resized = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"),
            width=self.inner_hw[1],
            height=self.inner_hw[0],
            format="gbrp",
            interpolation=kind | _EXACT,
            threads=1,
        )
        for channel, plane in zip((1, 2, 0), resized.planes, strict=True):
            lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            out[channel] = lines[: self.inner_hw[0], : self.inner_hw[1]]

    def to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes ``(N, 4)`` of the source frame into input pixels."""
        return (boxes * self._scale + self._shift).astype(np.float32)

    def to_source(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes ``(N, 4)`` of the input back to the source frame, clipped to it."""
        return clip_boxes((boxes - self._shift) / self._scale, self.source_hw)


def clip_boxes(boxes: NDArray[np.float32], hw: tuple[int, int]) -> NDArray[np.float32]:
    """Cut boxes ``(N, 4)`` at the edges of a frame of ``(height, width)``."""
    limit = np.array([hw[1], hw[0], hw[1], hw[0]], np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)
