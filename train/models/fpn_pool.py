"""RoIAlign over the levels of a feature pyramid, from plain operations with static shapes.

Each box is pooled from the one level of its size (Lin et al., "Feature Pyramid Networks", CVPR
2017, Eq. 1), as torchvision's MultiScaleRoIAlign does it: cells begin at whole coordinates, a
box is at least one cell wide, and each bin is the mean of two samples an axis. Boxes are
``(B, R, 4)`` of input pixels, clipped to the input; levels are ``(B, C, H/stride, W/stride)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CANONICAL_PX = 224
"""A box of this size (square root of its area) belongs to `CANONICAL_LEVEL`."""
CANONICAL_LEVEL = 4
_SLACK = 2**-1e-6
"""torchvision adds 1e-6 to the logarithm, so that a box of a level's very size reaches it."""


def level_of(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Return the number of each box's level ``(B, R)`` int64, 0 = the finest: Eq. 1.

    Level k has stride 2^k and takes boxes of 224 * 2^(k-4) pixels up to twice that size.
    """
    size = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).sqrt()
    level = torch.zeros_like(size, dtype=torch.int64)
    for stride in strides[1:]:
        smallest = CANONICAL_PX * 2.0 ** (math.log2(stride) - CANONICAL_LEVEL) * _SLACK
        level = level + (size >= smallest).long()
    return level


def pyramid_align(
    levels: Sequence[Tensor], boxes: Tensor, out_hw: tuple[int, int], strides: Sequence[int]
) -> Tensor:
    """Pool each box from its own level to ``(B*R, C, h, w)``.

    A bin is the weighted sum of 4 x 4 cells: two samples an axis, each between two cells. They
    are gathered from one table of all levels' cells, so that a box costs the same on a large
    level as on a small one.
    """
    batch, channels = levels[0].shape[:2]
    table = torch.cat([x.permute(0, 2, 3, 1).reshape(batch, -1, channels) for x in levels], dim=1)
    cells = table.shape[1]
    table = table.reshape(-1, channels)
    height, width, stride, start = _geometry(levels, strides, level_of(boxes, strides))
    scaled = boxes.float() / stride[..., None]
    y, wy = _taps(scaled[..., 1], scaled[..., 3], out_hw[0], height)
    x, wx = _taps(scaled[..., 0], scaled[..., 2], out_hw[1], width)
    frames = torch.arange(batch, device=boxes.device)[:, None] * cells
    rows = y * width.long()[..., None, None] + (start.long() + frames)[..., None, None]
    pooled = torch.zeros((), device=boxes.device)
    for i in range(rows.shape[-1]):
        for j in range(x.shape[-1]):
            cell = rows[..., :, None, i] + x[..., None, :, j]
            share = wy[..., :, None, i] * wx[..., None, :, j]
            part = torch.index_select(table, 0, cell.reshape(-1))
            pooled = pooled + part * share.reshape(-1, 1)
    return pooled.reshape(-1, *out_hw, channels).permute(0, 3, 1, 2)


def _geometry(levels: Sequence[Tensor], strides: Sequence[int], level: Tensor) -> Sequence[Tensor]:
    """Return each box's level's height, width, stride and first row in the table, ``(B, R)``."""
    first, facts = 0, []
    for features, stride in zip(levels, strides, strict=True):
        height, width = features.shape[2:]
        facts.append((float(height), float(width), float(stride), float(first)))
        first += height * width
    table = torch.tensor(facts, device=level.device)
    return [table[:, column][level] for column in range(4)]


def _taps(low: Tensor, high: Tensor, bins: int, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells and their weights that each bin sums along one axis, ``(B, R, bins, 4)``."""
    steps = (torch.arange(bins * 2, device=low.device, dtype=low.dtype) + 0.5) / (bins * 2)
    at = low[..., None] + (high - low).clamp(min=1)[..., None] * steps
    length = length[..., None]
    inside = (at <= length).to(at.dtype)  # a box that was made one cell wide may leave the map
    at = torch.minimum(at.clamp(min=0), length - 1)
    first = torch.floor(at)
    share = at - first
    index = torch.stack([first, torch.minimum(first + 1, length - 1)], dim=-1)
    weight = torch.stack([1 - share, share], dim=-1) * (inside / 2)[..., None]
    shape = (*low.shape, bins, 4)
    return index.reshape(shape).long(), weight.reshape(shape)
