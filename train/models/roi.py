"""RoIAlign and RoIPool from plain operations: no plugin, the same numbers in every runtime.

Boxes are ``(B, R, 4)`` of input pixels, clipped to the input; features ``(B, C, H, W)``; what
comes out is ``(B*R, C, h, w)``. Arithmetic on coordinates is float32 whatever the features are.
"""

import torch
from torch import Tensor


def _axis_weights(low: Tensor, high: Tensor, bins: int, length: int) -> Tensor:
    """Return ``(B, R, bins, length)``: how much each cell gives to each bin along one axis."""
    steps = (torch.arange(bins * 2, device=low.device, dtype=low.dtype) + 0.5) / (bins * 2)
    at = low[..., None] + (high - low)[..., None] * steps - 0.5
    at = at.clamp(0, length - 1)
    cells = torch.arange(length, device=low.device, dtype=low.dtype)
    weights = (1 - (at[..., None] - cells).abs()).clamp(min=0)
    return weights.reshape(*low.shape, bins, 2, length).mean(dim=-2)


def roi_align(features: Tensor, boxes: Tensor, out_hw: tuple[int, int], stride: int) -> Tensor:
    """Pool boxes by bilinear samples, two a bin and axis (He et al., Mask R-CNN, section 3).

    A bilinear sample is linear in the feature map and separable, so that pooling a box is a
    product with a row matrix and a column matrix.
    """
    batch, channels, height, width = features.shape
    rois, (out_h, out_w) = boxes.shape[1], out_hw
    scaled = boxes.float() / stride
    wx = _axis_weights(scaled[..., 0], scaled[..., 2], out_w, width).to(features.dtype)
    wy = _axis_weights(scaled[..., 1], scaled[..., 3], out_h, height).to(features.dtype)
    columns = features.permute(0, 3, 2, 1).reshape(batch, width, height * channels)
    across = torch.matmul(wx.reshape(batch, rois * out_w, width), columns)
    across = across.reshape(batch, rois, out_w, height, channels).transpose(2, 3)
    pooled = torch.matmul(wy, across.reshape(batch, rois, height, out_w * channels))
    pooled = pooled.reshape(batch * rois, out_h, out_w, channels)
    return pooled.permute(0, 3, 1, 2)


def roi_pool(features: Tensor, boxes: Tensor, out_hw: tuple[int, int], stride: int) -> Tensor:
    """Pool boxes by the greatest value of each bin of whole cells (Girshick, Fast R-CNN, 2.1).

    The maximum over a bin is the maximum over two overlapping windows a power of two long, taken
    from tables of such windows: as exact as a loop over cells, and of a size that does not
    depend on the boxes. A bin without cells is 0.
    """
    batch, channels, height, width = features.shape
    corners = torch.floor(boxes.float() / stride + 0.5)
    y0, y1 = _bins(corners[..., 1], corners[..., 3], out_hw[0], height)
    x0, x1 = _bins(corners[..., 0], corners[..., 2], out_hw[1], width)
    tall, wide = _longest(height, out_hw[0]), _longest(width, out_hw[1])
    table = _window_maxima(features, tall, wide)
    level_y, last_y = _level(y0, y1, tall)
    level_x, last_x = _level(x0, x1, wide)
    level = (level_y[..., :, None] * len(wide) + level_x[..., None, :]) * height
    frames = torch.arange(batch, device=features.device)[:, None, None, None]
    base = (frames * (len(tall) * len(wide) * height) + level) * width
    pooled = None
    for rows in (y0.clamp(max=height - 1), last_y):
        for columns in (x0.clamp(max=width - 1), last_x):
            index = base + rows[..., :, None] * width + columns[..., None, :]
            part = table[index.reshape(-1)]
            pooled = part if pooled is None else torch.maximum(pooled, part)
    assert pooled is not None
    filled = (y1 > y0)[..., :, None] & (x1 > x0)[..., None, :]
    pooled = pooled * filled.reshape(-1, 1).to(pooled.dtype)
    return pooled.reshape(-1, *out_hw, channels).permute(0, 3, 1, 2)


def _bins(low: Tensor, high: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """Return the first cell and the one after the last of each bin, int64 ``(B, R, bins)``."""
    size = (high - low + 1).clamp(min=1)[..., None] / bins
    number = torch.arange(bins, device=low.device, dtype=low.dtype)
    first = torch.floor(number * size) + low[..., None]
    last = torch.ceil((number + 1) * size) + low[..., None]
    return first.clamp(0, length).long(), last.clamp(0, length).long()


def _longest(length: int, bins: int) -> tuple[int, ...]:
    """Return the powers of two up to the cells that one bin can span."""
    longest = min(length, -(-(length + 1) // bins) + 1)
    return tuple(2**k for k in range(longest.bit_length()))


def _window_maxima(features: Tensor, tall: tuple[int, ...], wide: tuple[int, ...]) -> Tensor:
    """Return ``(B * len(tall) * len(wide) * H * W, C)``: the maximum of each window by its corner.

    A window that would leave the map repeats its last valid one; it is never asked for.
    """
    grown = []
    for y in tall:
        if y > 1:
            features = _double(features, y // 2, 2)
        row = features
        for x in wide:
            if x > 1:
                row = _double(row, x // 2, 3)
            grown.append(row)
    return torch.stack(grown, dim=1).permute(0, 1, 3, 4, 2).reshape(-1, features.shape[1])


def _double(maxima: Tensor, step: int, dim: int) -> Tensor:
    """Return the maxima of windows twice as long: each joined with the one ``step`` further."""
    length = maxima.shape[dim]
    if step >= length:
        return maxima
    ahead = torch.cat(
        [maxima.narrow(dim, step, length - step), maxima.narrow(dim, length - step, step)], dim
    )
    return torch.maximum(maxima, ahead)


def _level(first: Tensor, end: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return for each bin the longest window that fits, and where the last such one begins."""
    cells = end - first
    level = torch.zeros_like(cells)
    size = torch.ones_like(cells)
    for number, length in enumerate(lengths[1:], 1):
        fits = cells >= length
        level = torch.where(fits, torch.full_like(level, number), level)
        size = torch.where(fits, torch.full_like(size, length), size)
    return level, (end - size).clamp(min=0)
