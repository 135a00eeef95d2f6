"""DC-I-Net put together from torchvision's own Faster R-CNN parts, to compare the step with.

The trunk is ResNet-50 up to ``layer3``; the box head and the embedding head are each a
``layer4``; the trunk's normalisation is frozen, and so is its stem. What is embedded are the
annotated boxes and, of the refined positive RoIs, as many a person as our network takes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models import resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from train.config import FitConfig
from train.distributed import World
from train.losses.embedded import Embedded
from train.losses.joint import IdentityLosses
from train.models.network import MEAN, STD
from train.models.targets import Targets

_TRUNK = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
_STEM = ("conv1", "bn1", "layer1")

KEEP_ALL = 1.0
"""Overlap above which a proposal is dropped. Ours fills up to its number of proposals with dropped
ones; here an untrained net would be left with a dozen, and have a tenth of the work."""


class _Trunk(nn.Sequential):
    """ResNet-50 up to ``layer3``, as GeneralizedRCNN wants its backbone."""

    out_channels = 1024

    def __init__(self) -> None:
        net = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        super().__init__(OrderedDict((name, getattr(net, name)) for name in _TRUNK))
        for name in _STEM:
            self.get_submodule(name).requires_grad_(False)


class _Head(nn.Module):
    """``layer4`` and the mean over its cells: ``(N, 1024, h, w)`` to ``(N, 2048)``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = resnet50(weights=None).layer4

    def forward(self, pooled: Tensor) -> Tensor:
        out: Tensor = self.layer4(pooled).mean(dim=(2, 3))
        return out


class _Chosen(NamedTuple):
    """Boxes of a frame that are embedded ``(N, 4)``, and their identities ``(N,)``."""

    boxes: Tensor
    labels: Tensor


class SearchHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's RoIHeads with an embedding of refined and annotated boxes.

    Targets also have ``ids`` (N,): an identity or -1.
    """

    def __init__(self, config: FitConfig) -> None:
        network, loss = config.network, config.loss
        super().__init__(
            MultiScaleRoIAlign(["0"], network.detection_pool_hw, 2),
            _Head(),
            FastRCNNPredictor(2048, 2),
            0.5,
            0.5,
            loss.rois,
            loss.foreground,
            tuple(weight for weight in network.box_weights for _ in range(2)),
            network.min_score,
            network.nms,
            network.max_persons,
        )
        self.per_box = loss.stored_per_box
        self.reid_pool = MultiScaleRoIAlign(["0"], network.reid_pool_hw, 2)
        self.reid_head = _Head()
        self.linear = nn.Linear(2048, network.dim)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return no detections, and two losses; beside these lie the fields of `Embedded`."""
        assert targets is not None
        rois, owner, labels, wanted = self.select_training_samples(proposals, targets)
        logits, deltas = self.box_predictor(
            self.box_head(self.box_roi_pool(features, rois, image_shapes))
        )
        classes, boxes = fastrcnn_loss(logits, deltas, labels, wanted)
        refined = self.box_coder.decode(deltas.detach(), rois)[:, 1].split([len(r) for r in rois])
        chosen = [
            self._choose(r, o, c, t)
            for r, o, c, t in zip(refined, owner, labels, targets, strict=True)
        ]
        embedded = self._embed(features, chosen, image_shapes)
        return [], {"loss_classifier": classes, "loss_box_reg": boxes} | embedded._asdict()

    def _choose(
        self, refined: Tensor, owner: Tensor, labels: Tensor, target: dict[str, Tensor]
    ) -> _Chosen:
        """Return a frame's own boxes, and of each person's positive RoIs the first few."""
        positive = labels > 0
        boxes, persons = refined[positive], owner[positive]
        hot = torch.nn.functional.one_hot(persons, len(target["boxes"]))
        nth = (hot.cumsum(dim=0) * hot).sum(dim=1)
        few = nth < self.per_box
        ids = target["ids"]
        return _Chosen(
            torch.cat([target["boxes"], boxes[few]]), torch.cat([ids, ids[persons[few]]])
        )

    def _embed(
        self,
        features: dict[str, Tensor],
        chosen: Sequence[_Chosen],
        image_shapes: list[tuple[int, int]],
    ) -> Embedded:
        pooled = self.reid_pool(features, [c.boxes for c in chosen], image_shapes)
        embeddings = normalize(self.linear(self.reid_head(pooled)), dim=1)
        frames = [torch.full_like(c.labels, number) for number, c in enumerate(chosen)]
        return Embedded(embeddings, torch.cat([c.labels for c in chosen]), torch.cat(frames))


class TorchvisionLearner(nn.Module):
    """The network and our identity losses; called as `train.learner.Learner` is."""

    def __init__(self, config: FitConfig, identities: int) -> None:
        super().__init__()
        network, loss = config.network, config.loss
        trunk = _Trunk()
        anchors = AnchorGenerator((network.anchor_sizes,), (network.anchor_ratios,))
        head = RPNHead(trunk.out_channels, anchors.num_anchors_per_location()[0])
        before, after = network.pre_nms, network.proposals
        rpn = RegionProposalNetwork(
            anchors, head, 0.7, 0.3, loss.rpn_batch, 0.5,
            {"training": before, "testing": before}, {"training": after, "testing": after},
            KEEP_ALL,
        )  # fmt: skip
        low, high = sorted(network.input_hw)
        transform = GeneralizedRCNNTransform(low, high, list(MEAN), list(STD))
        self.net = GeneralizedRCNN(trunk, rpn, SearchHeads(config), transform)
        self.identity = IdentityLosses(loss, identities, network.dim)

    def forward(
        self, frames: Tensor, targets: Targets, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the losses of frames uint8 ``(B, 3, H, W)`` by name."""
        self.net.train()
        values: dict[str, Tensor] = self.net(
            list((frames.float() / 255).unbind()), _as_dicts(targets)
        )
        own = Embedded(*(values.pop(field) for field in Embedded._fields))
        identity: dict[str, Tensor] = self.identity(own, World(), generator)
        return values | identity


def _as_dicts(targets: Targets) -> list[dict[str, Tensor]]:
    """Return targets as torchvision takes them; every person is of class 1."""
    people = targets.is_person
    return [
        {"boxes": boxes[who], "labels": torch.ones_like(ids[who]), "ids": ids[who]}
        for boxes, ids, who in zip(targets.boxes, targets.labels, people, strict=True)
    ]
