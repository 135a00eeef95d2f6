"""Box arithmetic on tensors: anchors, coding, overlap, suppression.

Boxes are float32 ``(..., 4)`` of x1 y1 x2 y2 in input pixels. Everything has static shapes, so
that the same code trains and exports.
"""

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Cap of the predicted log size ratio: keeps exp() finite (py-faster-rcnn)."""

SMALLEST_PX = 1e-2
"""A box that is narrower or lower is empty (torchvision)."""


def make_anchors(
    grid_hw: tuple[int, int], stride: int, sizes: tuple[float, ...], ratios: tuple[float, ...]
) -> Tensor:
    """Return anchors ``(h*w*A, 4)``, A = len(sizes)*len(ratios), cell by cell.

    ``sizes`` are square roots of the area in pixels, ``ratios`` height / width.
    """
    shapes = torch.tensor([(s / math.sqrt(r), s * math.sqrt(r)) for s in sizes for r in ratios])
    half = torch.cat([-shapes, shapes], dim=1) / 2
    ys = (torch.arange(grid_hw[0]) + 0.5) * stride
    xs = (torch.arange(grid_hw[1]) + 0.5) * stride
    cy, cx = torch.meshgrid(ys, xs, indexing="ij")
    centres = torch.stack([cx, cy, cx, cy], dim=-1).reshape(-1, 1, 4)
    return (centres + half).reshape(-1, 4)


def encode(boxes: Tensor, anchors: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return the regression targets ``(..., 4)`` that move anchors onto boxes.

    ``(dx, dy)`` are multiplied by ``weights[0]``, ``(dw, dh)`` by ``weights[1]``
    (Girshick 2015, Eq. 1-4 of R-CNN's appendix C).
    """
    size = (anchors[..., 2:] - anchors[..., :2]).clamp(min=1e-3)
    centre = (anchors[..., 2:] + anchors[..., :2]) / 2
    box_size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    box_centre = (boxes[..., 2:] + boxes[..., :2]) / 2
    shift = (box_centre - centre) / size * weights[0]
    return torch.cat([shift, torch.log(box_size / size) * weights[1]], dim=-1)


def decode(deltas: Tensor, anchors: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return the boxes ``(..., 4)`` that ``deltas`` make of ``anchors``: `encode` undone."""
    size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., 2:] + anchors[..., :2]) / 2
    box_centre = deltas[..., :2] / weights[0] * size + centre
    log_scale = (deltas[..., 2:] / weights[1]).clamp(max=MAX_LOG_SCALE)
    half = torch.exp(log_scale) * size / 2
    return torch.cat([box_centre - half, box_centre + half], dim=-1)


def clip(boxes: Tensor, input_hw: tuple[int, int]) -> Tensor:
    """Return boxes cut to the input."""
    height, width = input_hw
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def area(boxes: Tensor) -> Tensor:
    """Return areas ``(...)`` in square pixels; empty boxes have none."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def has_area(boxes: Tensor) -> Tensor:
    """Return 1 or 0 ``(...)``: whether a box is more than a line after it was clipped."""
    return ((boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) >= SMALLEST_PX).to(boxes.dtype)


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Return pairwise intersections ``(..., N, M)`` of ``(..., N, 4)`` and ``(..., M, 4)``."""
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    size = (high - low).clamp(min=0)
    return size[..., 0] * size[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return pairwise intersection over union ``(..., N, M)``."""
    inter = intersection(a, b)
    union = area(a)[..., :, None] + area(b)[..., None, :] - inter
    return inter / union.clamp(min=1e-6)


def nms_keep(boxes: Tensor, threshold: float, iterations: int = 16) -> Tensor:
    """Return the keep mask ``(B, N)`` as float 0/1 of boxes ``(B, N, 4)`` sorted by score.

    Greedy suppression as the fixed point of ``keep = not(keep @ S)``, S = (IoU > threshold)
    strictly above the diagonal. Even iterates hold at least what greedy keeps, so that too few
    iterations can only leave a duplicate, never lose a box.
    """
    if iterations % 2:
        raise ValueError(f"nms iterations must be even, got {iterations}")
    suppresses = torch.triu((iou(boxes, boxes) > threshold).to(boxes.dtype), diagonal=1)
    keep = torch.ones_like(boxes[..., 0])
    for _ in range(iterations):
        hits = torch.matmul(keep[:, None, :], suppresses)[:, 0, :]
        keep = (hits < 0.5).to(boxes.dtype)
    return keep


def take(values: Tensor, index: Tensor) -> Tensor:
    """Return rows ``(B, K, C)`` of ``(B, N, C)`` at ``index`` ``(B, K)``."""
    return torch.gather(values, 1, index[..., None].expand(-1, -1, values.shape[-1]))
