"""What every person-search network has: a trunk, proposals, a detection head, two graphs.

Frames are uint8 RGB ``(B, 3, H, W)``, letterboxed; boxes are in input pixels. `search` and
`query` have static shapes but for the batch: they are what is exported.
"""

from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from train.config import NetworkConfig
from train.errors import ConfigError
from train.models.backbones import STRIDE, make_box_head, make_trunk
from train.models.boxes import clip, decode, has_area, make_anchors, nms_keep, take
from train.models.roi import roi_align, roi_pool

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Seen(NamedTuple):
    """Normalised frames ``(B, 3, H, W)`` and their shared map ``(B, C, H/16, W/16)``.

    ``levels`` are those of a feature pyramid, where there is one.
    """

    pixels: Tensor
    map: Tensor
    levels: tuple[Tensor, ...] = ()


class Proposals(NamedTuple):
    """Objectness logits ``(B, N, 2)`` and deltas ``(B, N, 4)`` of all anchors."""

    logits: Tensor
    deltas: Tensor


class Detected(NamedTuple):
    """What the detection head says of R RoIs a frame.

    ``logits (B, R, classes)``, ``deltas`` and refined ``boxes (B, R, 4)``, ``hidden (B, R, C)``.
    """

    logits: Tensor
    deltas: Tensor
    boxes: Tensor
    hidden: Tensor


class Persons(NamedTuple):
    """``boxes (B, D, 4), scores (B, D), embeddings (B, D, dim), counts (B,)``, best first."""

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
        return Proposals(anchor_rows(self.logits(hidden), 2), anchor_rows(self.deltas(hidden), 4))


def anchor_rows(values: Tensor, size: int) -> Tensor:
    """Reshape ``(B, A*size, h, w)`` to ``(B, h*w*A, size)`` in float32."""
    batch = values.shape[0]
    return values.permute(0, 2, 3, 1).reshape(batch, -1, size).float()


class DetectionHead(nn.Module):
    """Pooled proposals to class logits ``(N, classes)``, box deltas ``(N, 4)`` and features.

    Class 1 is the person, and the deltas are its.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.head = make_box_head(config.backbone, config.width)
        self.channels = int(self.head.channels)  # type: ignore[arg-type]
        self.logits = nn.Linear(self.channels, config.classes)
        self.deltas = nn.Linear(self.channels, 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.head(pooled).mean(dim=(2, 3))
        return self.logits(features).float(), self.deltas(features).float(), features


def unit(features: Tensor) -> Tensor:
    """Return features ``(N, D)`` in float32 at unit length; zero stays zero."""
    features = features.float()
    norm = features.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
    return features / norm


class PersonSearchNet(nn.Module):
    """A network that finds persons and embeds them; subclasses say how they embed.

    ``reid_from`` tells what trains the embedding: ``refined`` boxes of the detection head,
    ``proposals`` that it shares with the detection, or the ``truth`` alone.
    """

    reid_from: Literal["refined", "proposals", "truth"]
    anchors: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = make_trunk(config.backbone, config.width, frozen_norm=config.frozen_norm)
        self.channels = int(self.trunk.channels)  # type: ignore[arg-type]
        self.rpn = self.make_proposal_head()
        self.detection = DetectionHead(config)
        anchors = self.make_anchors()
        self.per_level = [len(level) for level in anchors]
        if config.proposals > sum(min(config.pre_nms, count) for count in self.per_level):
            raise ConfigError(
                f"proposals: an input of {config.input_hw} has {sum(self.per_level)} anchors, "
                f"too few for {config.proposals}"
            )
        self.register_buffer("anchors", torch.cat(anchors), persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)

    def make_proposal_head(self) -> nn.Module:
        """Return the proposal head: what `score_anchors` asks."""
        config = self.config
        per_cell = len(config.anchor_sizes) * len(config.anchor_ratios)
        return ProposalHead(self.channels, config.rpn_channels, per_cell)

    def make_anchors(self) -> list[Tensor]:
        """Return the anchors ``(N, 4)`` of each level of the maps that propose."""
        config = self.config
        grid = (config.input_hw[0] // STRIDE, config.input_hw[1] // STRIDE)
        return [make_anchors(grid, STRIDE, config.anchor_sizes, config.anchor_ratios)]

    def normalise(self, frames: Tensor) -> Tensor:
        """Return frames 0..255 as the backbone takes them."""
        return (frames.float() - self.mean) / self.std

    def see(self, frames: Tensor) -> Seen:
        """Return frames 0..255 normalised, with their shared map."""
        pixels = self.normalise(frames)
        return Seen(pixels, self.trunk(pixels))

    def score_anchors(self, seen: Seen) -> Proposals:
        """Return objectness and deltas of all anchors, level by level."""
        found: Proposals = self.rpn(seen.map)
        return found

    def propose(self, raw: Proposals) -> tuple[Tensor, Tensor]:
        """Return the best proposals ``(B, P, 4)`` after NMS and their scores ``(B, P)``.

        NMS works within a level; the best of all levels remain.
        """
        objectness = raw.logits[..., 1] - raw.logits[..., 0]
        edges = pairwise(accumulate(self.per_level, initial=0))
        levels = [
            self._best(objectness[:, a:b], raw.deltas[:, a:b], self.anchors[a:b]) for a, b in edges
        ]
        batch = raw.deltas.shape[0]
        boxes = torch.stack([level[0] for level in levels], dim=1).flatten(0, 1)
        scores = torch.stack([level[1] for level in levels], dim=1).reshape(batch, -1)
        keep = nms_keep(boxes, self.config.proposal_nms) * has_area(boxes)
        keep, boxes = keep.reshape(batch, -1), boxes.reshape(batch, -1, 4)
        best, order = torch.topk(scores * keep - (1 - keep), self.config.proposals, dim=1)
        return take(boxes, order), best

    def _best(self, objectness: Tensor, deltas: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Return a level's best boxes ``(B, K, 4)`` and scores ``(B, K)``, empty boxes added.

        K is the same for all levels.
        """
        wanted = min(self.config.pre_nms, max(self.per_level))
        count = min(wanted, objectness.shape[1])
        scores, index = torch.topk(objectness, count, dim=1)
        anchors = anchors[None].expand(deltas.shape[0], -1, -1)
        boxes = decode(take(deltas, index), take(anchors, index), (1.0, 1.0))
        boxes, scores = clip(boxes, self.config.input_hw), torch.sigmoid(scores)
        if count < wanted:
            boxes, scores = pad(boxes, (0, 0, 0, wanted - count)), pad(scores, (0, wanted - count))
        return boxes, scores

    def pool(self, seen: Seen, rois: Tensor) -> Tensor:
        """Return RoIs ``(B, R, 4)`` pooled for the detection head, ``(B*R, C, h, w)``."""
        return roi_align(seen.map, rois, self.config.detection_pool_hw, STRIDE)

    def detect(self, seen: Seen, rois: Tensor) -> Detected:
        """Classify and refine RoIs ``(B, R, 4)``."""
        batch, count = rois.shape[0], rois.shape[1]
        logits, deltas, hidden = self.detection(self.pool(seen, rois))
        deltas = deltas.reshape(batch, count, 4)
        refined = clip(decode(deltas, rois, self.config.box_weights), self.config.input_hw)
        shape = (batch, count, -1)
        return Detected(logits.reshape(shape), deltas, refined, hidden.reshape(shape))

    def embed(self, seen: Seen, boxes: Tensor) -> Tensor:
        """Return embeddings ``(B, R, dim)`` of boxes ``(B, R, 4)``."""
        raise NotImplementedError

    def describe(self, seen: Seen, found: Detected, boxes: Tensor, order: Tensor) -> Tensor:
        """Return embeddings of the detections ``boxes``, which are rows ``order`` of ``found``."""
        return self.embed(seen, boxes)

    def search(self, frames: Tensor) -> Persons:
        """Find every person of frames uint8 ``(B, 3, H, W)``; empty slots are zero."""
        config = self.config
        seen = self.see(frames)
        rois, objectness = self.propose(self.score_anchors(seen))
        found = self.detect(seen, rois)
        probability = torch.softmax(found.logits, dim=2)[..., 1]
        scores = torch.where(objectness > 0, probability, torch.zeros_like(probability))
        scores = scores * has_area(found.boxes)
        scores, order = torch.topk(scores, config.proposals, dim=1)
        scores = scores * nms_keep(take(found.boxes, order), config.nms)
        scores, best = torch.topk(scores, config.max_persons, dim=1)
        order = torch.gather(order, 1, best)
        boxes = take(found.boxes, order)
        valid = (scores >= config.min_score).to(scores.dtype)
        embeddings = self.describe(seen, found, boxes, order) * valid[..., None]
        counts = valid.sum(dim=1).to(torch.int64)
        return Persons(boxes * valid[..., None], scores * valid, embeddings, counts)

    def query(self, frames: Tensor, boxes: Tensor) -> Tensor:
        """Return embeddings ``(B, R, dim)`` of given boxes ``(B, R, 4)`` on their frames."""
        return self.embed(self.see(frames), clip(boxes, self.config.input_hw))


class SharedHeadNet(PersonSearchNet):
    """I-Net and OIM: one head for both tasks, on proposals as they leave the proposal network.

    I-Net: Zhang et al., TPAMI 2020, Fig. 2 (middle). OIM: Xiao et al., CVPR 2017, Fig. 2, with
    the whole third stage in the trunk, as later reimplementations have it.
    """

    reid_from = "proposals"

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.linear = nn.Linear(self.detection.channels, config.dim)
        self.neck = nn.BatchNorm1d(config.dim) if config.reid_neck else nn.Identity()
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def pool(self, seen: Seen, rois: Tensor) -> Tensor:
        pool = roi_pool if self.config.shared_pool == "pool" else roi_align
        return pool(seen.map, rois, self.config.detection_pool_hw, STRIDE)

    def project(self, hidden: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)`` of the shared head's features ``(N, C)``."""
        return unit(self.neck(self.linear(hidden)))

    def embed(self, seen: Seen, boxes: Tensor) -> Tensor:
        embeddings = self.project(self.detection(self.pool(seen, boxes))[2])
        return embeddings.reshape(boxes.shape[0], boxes.shape[1], self.config.dim)

    def describe(self, seen: Seen, found: Detected, boxes: Tensor, order: Tensor) -> Tensor:
        hidden = take(found.hidden, order)
        return self.project(hidden.flatten(0, 1)).reshape(*order.shape, self.config.dim)
