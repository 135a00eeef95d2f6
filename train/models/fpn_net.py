"""DC-I-Net whose detection half is torchvision's Faster R-CNN with a feature pyramid.

Proposals come from every level of the pyramid, each with its own NMS, and boxes are classified
by two linear layers; numbers and rules are torchvision's, so that its COCO weights find here
what they find there. Re-identification is DC-I-Net's own: a head of its own on the map of stride
16, on the refined boxes.
"""

import torch
from torch import Tensor, nn

from train.models.dcinet import DCINet
from train.models.fpn import RATIOS, PyramidTrunk, pyramid_anchors
from train.models.fpn_pool import pyramid_align
from train.models.network import Proposals, Seen, anchor_rows


class PyramidProposalHead(nn.Module):
    """One 3x3 convolution for all levels, then a logit and four deltas for each anchor."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, anchors * 4, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias if layer.bias is not None else layer.weight)

    def forward(self, levels: tuple[Tensor, ...]) -> Proposals:
        hidden = [torch.relu(self.conv(level)) for level in levels]
        logit = torch.cat([anchor_rows(self.objectness(h), 1) for h in hidden], dim=1)
        deltas = torch.cat([anchor_rows(self.deltas(h), 4) for h in hidden], dim=1)
        # The softmax of (0, x) is the sigmoid of x.
        return Proposals(torch.cat([torch.zeros_like(logit), logit], dim=2), deltas)


class PyramidNet(DCINet):
    """DC-I-Net with a feature pyramid in its detection half."""

    trunk: PyramidTrunk

    def make_proposal_head(self) -> nn.Module:
        per_cell = len(self.trunk.spec.sizes[0]) * len(RATIOS)
        return PyramidProposalHead(self.trunk.level_channels, per_cell)

    def make_anchors(self) -> list[Tensor]:
        return pyramid_anchors(self.config.backbone, self.config.input_hw)

    def see(self, frames: Tensor) -> Seen:
        pixels = self.normalise(frames)
        shared, levels = self.trunk(pixels)
        return Seen(pixels, shared, levels)

    def score_anchors(self, seen: Seen) -> Proposals:
        found: Proposals = self.rpn(seen.levels)
        return found

    def pool(self, seen: Seen, rois: Tensor) -> Tensor:
        count = self.trunk.spec.pooled
        pool_hw, strides = self.config.detection_pool_hw, self.trunk.spec.strides[:count]
        return pyramid_align(seen.levels[:count], rois, pool_hw, strides)
