"""RoIAlign as two matrix products: no plugin, the same numbers in every runtime.

A bilinear sample is linear in the feature map and separable, so that pooling a box is a product
with a row matrix and a column matrix (He et al., Mask R-CNN, section 3; aligned coordinates, two
samples a bin). Exact where boxes lie inside the input: clip them first.
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
    """Pool boxes ``(B, R, 4)`` of input pixels from ``(B, C, H, W)`` to ``(B*R, C, h, w)``.

    The arithmetic on coordinates stays in float32 whatever the features are.
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
