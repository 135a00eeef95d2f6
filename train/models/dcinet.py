"""DC-I-Net: detection first, then a re-identification head of its own on the refined boxes.

Zhang et al., "Tasks Integrated Networks", TPAMI 2020, Fig. 2 (right) and section 4.1.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from train.config import NetworkConfig
from train.models.backbones import STRIDE, make_head
from train.models.network import PersonSearchNet, Seen, unit
from train.models.roi import roi_align


class ReidHead(nn.Module):
    """Pooled refined boxes ``(N, C, 14, 7)`` to embeddings ``(N, dim)`` of unit length.

    With ``reid_levels="trunk+head"`` half of the embedding comes from the pooled trunk map and
    half from the head's (Chen et al., "Norm-Aware Embedding", CVPR 2020, Fig. 2).
    """

    def __init__(self, config: NetworkConfig, trunk_channels: int) -> None:
        super().__init__()
        self.head = make_head(config.backbone, config.width)
        self.rows, self.maximum = config.reid_rows, config.reid_pool == "max"
        self.both = config.reid_levels == "trunk+head"
        dim = config.dim // 2 if self.both else config.dim
        channels = int(self.head.channels)  # type: ignore[arg-type]
        self.linear = nn.Linear(channels * self.rows, dim)
        self.neck = nn.BatchNorm1d(dim) if config.reid_neck else nn.Identity()
        if self.both:
            self.trunk_linear = nn.Linear(trunk_channels * self.rows, dim)
            self.trunk_neck = nn.BatchNorm1d(dim) if config.reid_neck else nn.Identity()
        for layer in [m for m in self.children() if isinstance(m, nn.Linear)]:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        embedding = self.neck(self.linear(self._stripes(self.head(pooled))))
        if self.both:
            low = self.trunk_neck(self.trunk_linear(self._stripes(pooled)))
            embedding = torch.cat([low, embedding], dim=1)
        return unit(embedding)

    def _stripes(self, features: Tensor) -> Tensor:
        """Pool each horizontal stripe of ``(N, C, h, w)``; they stand side by side."""
        height = features.shape[2]
        edges = [round(i * height / self.rows) for i in range(self.rows + 1)]
        parts = [features[:, :, low : max(high, low + 1)] for low, high in pairwise(edges)]
        if self.maximum:
            return torch.cat([part.amax(dim=(2, 3)) for part in parts], dim=1)
        return torch.cat([part.mean(dim=3).mean(dim=2) for part in parts], dim=1)


class DCINet(PersonSearchNet):
    """DC-I-Net: each task its own copy of the head, re-identification on refined boxes."""

    reid_from = "refined"

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.reid = ReidHead(config, self.channels)

    def embed(self, seen: Seen, boxes: Tensor) -> Tensor:
        pooled = roi_align(seen.map, boxes, self.config.reid_pool_hw, STRIDE)
        out: Tensor = self.reid(pooled)
        return out.reshape(boxes.shape[0], boxes.shape[1], self.config.dim)
