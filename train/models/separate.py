"""The papers' baseline: a detector, and an ID-net on crops that shares nothing with it.

Zhang et al., TPAMI 2020, section 5.2.1: Faster R-CNN, then "ID-Net (the re-identification part
of OIM)" on each detected or annotated box. Both train in one run, on the same frames, but no
gradient passes between them.
"""

from torch import Tensor, nn

from train.config import NetworkConfig
from train.models.backbones import make_head, make_trunk
from train.models.boxes import clip
from train.models.network import PersonSearchNet, Seen, unit
from train.models.roi import roi_align


class IDNet(nn.Module):
    """A whole backbone on crops ``(N, 3, h, w)`` to embeddings ``(N, dim)`` of unit length."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.trunk = make_trunk(config.backbone, config.width, frozen_norm=config.frozen_norm)
        self.head = make_head(config.backbone, config.width)
        self.pool_hw = config.reid_pool_hw
        self.linear = nn.Linear(int(self.head.channels), config.dim)  # type: ignore[arg-type]
        self.neck = nn.BatchNorm1d(config.dim) if config.reid_neck else nn.Identity()
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.trunk(crops)
        whole = crops.new_tensor([0.0, 0.0, crops.shape[3], crops.shape[2]])
        boxes = whole.expand(crops.shape[0], 1, 4)
        pooled = roi_align(features, boxes, self.pool_hw, crops.shape[3] // features.shape[3])
        return unit(self.neck(self.linear(self.head(pooled).mean(dim=(2, 3)))))


class SeparateNet(PersonSearchNet):
    """A detector and an ID-net, side by side in one bundle."""

    reid_from = "truth"

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.reid = IDNet(config)

    def embed(self, seen: Seen, boxes: Tensor) -> Tensor:
        crops = roi_align(seen.pixels, boxes, self.config.crop_hw, 1)
        out: Tensor = self.reid(crops)
        return out.reshape(boxes.shape[0], boxes.shape[1], self.config.dim)

    def query(self, frames: Tensor, boxes: Tensor) -> Tensor:
        pixels = self.normalise(frames)
        return self.embed(Seen(pixels, pixels), clip(boxes, self.config.input_hw))
