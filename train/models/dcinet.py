"""DC-I-Net: one trunk, proposals, a detection head, and a re-identification head of its own.

Zhang et al., "Tasks Integrated Networks", TPAMI 2020, Fig. 2 (right). Frames are uint8 RGB
``(B, 3, H, W)``, letterboxed; boxes are in input pixels. `search` and `query` have static
shapes but for the batch: they are what is exported.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from train.config import NetworkConfig
from train.models.backbones import STRIDE, ResNetHead, ResNetTrunk, freeze_stem
from train.models.boxes import clip, decode, make_anchors, nms_keep, take
from train.models.roi import roi_align

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Proposals(NamedTuple):
    """Objectness logits ``(B, N, 2)`` and deltas ``(B, N, 4)`` of all anchors."""

    logits: Tensor
    deltas: Tensor


class Persons(NamedTuple):
    """``boxes (B, D, 4), scores (B, D), embeddings (B, D, 256), counts (B,)``, best first."""

    boxes: Tensor
    scores: Tensor
    embeddings: Tensor
    counts: Tensor


class ProposalHead(nn.Module):
    """3x3 convolution, then for each of A anchors a cell two logits and four deltas."""

    def __init__(self, channels: int, hidden: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden, 3, padding=1)
        self.logits = nn.Conv2d(hidden, anchors * 2, 1)
        self.deltas = nn.Conv2d(hidden, anchors * 4, 1)
        for layer in (self.conv, self.logits, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias if layer.bias is not None else layer.weight)

    def forward(self, features: Tensor) -> Proposals:
        hidden = torch.relu(self.conv(features))
        return Proposals(_rows(self.logits(hidden), 2), _rows(self.deltas(hidden), 4))


def _rows(values: Tensor, size: int) -> Tensor:
    """Reshape ``(B, A*size, h, w)`` to ``(B, h*w*A, size)`` in float32."""
    batch = values.shape[0]
    return values.permute(0, 2, 3, 1).reshape(batch, -1, size).float()


class DetectionHead(nn.Module):
    """Pooled proposals to person logits ``(N, 2)`` and box deltas ``(N, 4)``."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.head = ResNetHead(config.backbone, config.width)
        self.logits = nn.Linear(self.head.channels, 2)
        self.deltas = nn.Linear(self.head.channels, 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        features = self.head(pooled).mean(dim=(2, 3))
        return self.logits(features).float(), self.deltas(features).float()


class ReidHead(nn.Module):
    """Pooled refined boxes to embeddings ``(N, 256)`` of unit length."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.head = ResNetHead(config.backbone, config.width)
        self.rows = config.reid_rows
        self.linear = nn.Linear(self.head.channels * self.rows, config.dim)
        self.neck = nn.BatchNorm1d(config.dim) if config.reid_neck else nn.Identity()
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        features = self.head(pooled).mean(dim=3)
        height = features.shape[2]
        edges = [round(i * height / self.rows) for i in range(self.rows + 1)]
        stripes = [
            features[:, :, low : max(high, low + 1)].mean(dim=2) for low, high in pairwise(edges)
        ]
        embedding = self.neck(self.linear(torch.cat(stripes, dim=1))).float()
        norm = embedding.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
        unit: Tensor = embedding / norm
        return unit


class DCINet(nn.Module):
    """The whole network. Freezes its stem only when it starts from pretrained weights."""

    anchors: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNetTrunk(config.backbone, config.width)
        per_cell = len(config.anchor_sizes) * len(config.anchor_ratios)
        self.rpn = ProposalHead(self.trunk.channels, config.rpn_channels, per_cell)
        self.detection = DetectionHead(config)
        self.reid = ReidHead(config)
        grid = (config.input_hw[0] // STRIDE, config.input_hw[1] // STRIDE)
        anchors = make_anchors(grid, STRIDE, config.anchor_sizes, config.anchor_ratios)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)
        if pretrained:
            freeze_stem(self.trunk)

    def features(self, frames: Tensor) -> Tensor:
        """Return the shared map ``(B, C, H/16, W/16)`` of frames 0..255."""
        out: Tensor = self.trunk((frames.float() - self.mean) / self.std)
        return out

    def propose(self, raw: Proposals) -> tuple[Tensor, Tensor]:
        """Return the best proposals ``(B, P, 4)`` after NMS and their scores ``(B, P)``."""
        config = self.config
        objectness = raw.logits[..., 1] - raw.logits[..., 0]
        scores, index = torch.topk(objectness, config.pre_nms, dim=1)
        anchors = self.anchors[None].expand(raw.deltas.shape[0], -1, -1)
        boxes = decode(take(raw.deltas, index), take(anchors, index), (1.0, 1.0))
        boxes = clip(boxes, config.input_hw)
        keep = nms_keep(boxes, config.proposal_nms)
        ranked = torch.sigmoid(scores) * keep - (1 - keep)
        best, order = torch.topk(ranked, config.proposals, dim=1)
        return take(boxes, order), best

    def detect(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(B, R, 2)``, deltas and refined boxes ``(B, R, 4)`` of RoIs."""
        batch, count = rois.shape[0], rois.shape[1]
        pooled = roi_align(features, rois, self.config.detection_pool_hw, STRIDE)
        logits, deltas = self.detection(pooled)
        deltas = deltas.reshape(batch, count, 4)
        refined = clip(decode(deltas, rois, self.config.box_weights), self.config.input_hw)
        return logits.reshape(batch, count, 2), deltas, refined

    def embed(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return embeddings ``(B, R, 256)`` of boxes ``(B, R, 4)``."""
        pooled = roi_align(features, boxes, self.config.reid_pool_hw, STRIDE)
        out: Tensor = self.reid(pooled)
        return out.reshape(boxes.shape[0], boxes.shape[1], self.config.dim)

    def search(self, frames: Tensor) -> Persons:
        """Find every person of frames uint8 ``(B, 3, H, W)``; empty slots are zero."""
        config = self.config
        features = self.features(frames)
        rois, objectness = self.propose(self.rpn(features))
        logits, _, refined = self.detect(features, rois)
        probability = torch.softmax(logits, dim=2)[..., 1]
        scores = torch.where(objectness > 0, probability, torch.zeros_like(probability))
        scores, order = torch.topk(scores, config.proposals, dim=1)
        boxes = take(refined, order)
        scores = scores * nms_keep(boxes, config.nms)
        scores, order = torch.topk(scores, config.max_persons, dim=1)
        valid = (scores >= config.min_score).to(scores.dtype)
        boxes = take(boxes, order)
        embeddings = self.embed(features, boxes) * valid[..., None]
        counts = valid.sum(dim=1).to(torch.int64)
        return Persons(boxes * valid[..., None], scores * valid, embeddings, counts)

    def query(self, frames: Tensor, boxes: Tensor) -> Tensor:
        """Return embeddings ``(B, R, 256)`` of given boxes ``(B, R, 4)`` on their frames."""
        return self.embed(self.features(frames), clip(boxes, self.config.input_hw))
