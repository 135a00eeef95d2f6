"""The total loss of DC-I-Net: four detection terms, OLP and C2HEP (Eq. 10)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from train.config import LossConfig, NetworkConfig
from train.losses.c2hep import ClassCentres, priority_pool
from train.losses.dictionary import FeatureDictionary
from train.losses.olp import olp_loss
from train.models.boxes import encode, take
from train.models.dcinet import DCINet, Proposals
from train.models.targets import (
    PAD,
    UNLABELLED,
    Match,
    Targets,
    best_anchor_of_each,
    match,
    sample,
)


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of one iteration, each a scalar tensor."""

    rpn_class: Tensor
    rpn_box: Tensor
    person_class: Tensor
    person_box: Tensor
    olp: Tensor
    c2hep: Tensor

    def total(self, config: LossConfig) -> Tensor:
        """Return Eq. 10."""
        detection = self.rpn_class + self.person_class
        detection = detection + config.box_loss * (self.rpn_box + self.person_box)
        return detection + config.alpha * self.olp + config.beta * self.c2hep

    def as_floats(self) -> dict[str, float]:
        """Return the terms by name, for a log."""
        return {name: float(getattr(self, name).detach()) for name in self.__slots__}


def _classify(logits: Tensor, positive: Tensor, drawn: Tensor) -> Tensor:
    losses = cross_entropy(logits.flatten(0, 1), positive.long().flatten(), reduction="none")
    return (losses * drawn.flatten()).sum() / drawn.sum().clamp(min=1)


def _regress(deltas: Tensor, wanted: Tensor, positive: Tensor, drawn: Tensor) -> Tensor:
    """Return smooth L1 over positives, divided by the drawn count (Faster R-CNN, Eq. 1)."""
    losses = smooth_l1_loss(deltas[positive], wanted[positive], beta=1.0, reduction="sum")
    return losses / drawn.sum().clamp(min=1)


def _wanted(
    matched: Match, targets: Targets, boxes: Tensor, weights: tuple[float, float]
) -> Tensor:
    return encode(take(targets.boxes, matched.row), boxes, weights)


class LossState(nn.Module):
    """What the identity losses remember: the feature dictionary and the class centres."""

    def __init__(self, network: NetworkConfig, config: LossConfig, identities: int) -> None:
        super().__init__()
        self.config = config
        self.identities = identities
        self.dictionary = FeatureDictionary(config.dictionary, network.dim)
        self.centres = ClassCentres(
            identities, network.dim, momentum=config.centre_momentum, norm=config.centre_norm
        )

    def forward(
        self, features: Tensor, labels: Tensor, frames: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return (OLP, C2HEP) of embeddings ``(N, 256)``, then remember them."""
        config = self.config
        olp = olp_loss(features, labels, frames, self.dictionary, scale=config.olp_scale)
        pool = priority_pool(
            features,
            labels,
            self.dictionary,
            identities=self.identities,
            size=config.pool_size,
            hard=config.pool_hard,
            generator=generator,
        )
        c2hep = self.centres.loss(features, labels, pool, scale=config.centre_scale)
        self.dictionary.store(features, labels)
        self.centres.update(features, labels)
        return olp, c2hep


def rpn_losses(
    raw: Proposals,
    anchors: Tensor,
    targets: Targets,
    config: LossConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the proposal head's two terms: positive at IoU >= 0.7 or best, negative < 0.3."""
    boxes = anchors[None].expand(raw.deltas.shape[0], -1, -1)
    matched = match(boxes, targets)
    positive = (matched.overlap >= 0.7) | best_anchor_of_each(boxes, targets)
    negative = (matched.overlap < 0.3) & ~positive & ~matched.ignored
    drawn = sample(positive, negative, config.rpn_batch, 0.5, generator)
    wanted = _wanted(matched, targets, boxes, (1.0, 1.0))
    chosen = drawn & positive
    return _classify(raw.logits, positive, drawn), _regress(raw.deltas, wanted, chosen, drawn)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRois:
    """RoIs that train the detection head: ``(B, R, 4)``, which are used, which are persons."""

    boxes: Tensor
    used: Tensor
    positive: Tensor
    matched: Match


def draw_rois(
    proposals: Tensor, targets: Targets, config: LossConfig, generator: torch.Generator
) -> DrawnRois:
    """Draw RoIs from proposals ``(B, P, 4)`` and the persons themselves."""
    candidates = torch.cat([proposals, targets.boxes], dim=1)
    matched = match(candidates, targets)
    real = torch.ones(candidates.shape[:2], dtype=torch.bool)
    real[:, proposals.shape[1] :] = targets.is_person
    positive = real & (matched.overlap >= 0.5)
    negative = real & (matched.overlap < 0.5) & ~matched.ignored
    drawn = sample(positive, negative, config.rois, config.foreground, generator)
    order = drawn.float().argsort(dim=1, descending=True, stable=True)[:, : config.rois]
    fields = (matched.overlap, matched.row, matched.ignored)
    picked = Match(*(torch.gather(field, 1, order) for field in fields))
    used = torch.gather(drawn, 1, order)
    persons = torch.gather(positive, 1, order) & used
    return DrawnRois(take(candidates, order), used, persons, picked)


def reid_boxes(
    refined: Tensor, positive: Tensor, targets: Targets, per_box: int
) -> tuple[Tensor, Tensor]:
    """Return boxes ``(B, R, 4)`` and labels ``(B, R)`` (`PAD` = unused) for the re-ID head.

    Refined boxes of positive RoIs (no gradient) that still overlap their person by 0.5, at most
    ``per_box - 1`` a person, and the person's own box.
    """
    candidates = torch.cat([targets.boxes, refined.detach()], dim=1)
    matched = match(candidates, targets)
    real = torch.cat([targets.is_person, positive], dim=1) & (matched.overlap >= 0.5)
    owner = torch.where(real, matched.row, targets.boxes.shape[1])
    hot = torch.nn.functional.one_hot(owner, targets.boxes.shape[1] + 1)
    nth = hot.cumsum(dim=1).gather(2, owner[..., None])[..., 0]
    chosen = real & (nth <= per_box)
    width = max(1, int(chosen.sum(dim=1).max()))
    order = chosen.float().argsort(dim=1, descending=True, stable=True)[:, :width]
    labels = torch.gather(targets.labels, 1, matched.row)
    labels = torch.where(chosen, labels, PAD)
    return take(candidates, order), torch.gather(labels, 1, order)


def training_losses(
    net: DCINet,
    state: LossState,
    frames: Tensor,
    targets: Targets,
    generator: torch.Generator,
) -> Losses:
    """Return all terms for frames ``(B, 3, H, W)`` 0..255 and their persons."""
    config = state.config
    features = net.features(frames)
    raw = net.rpn(features)
    rpn_class, rpn_box = rpn_losses(raw, net.anchors, targets, config, generator)
    with torch.no_grad():
        proposals, _ = net.propose(Proposals(raw.logits.detach(), raw.deltas.detach()))
    rois = draw_rois(proposals, targets, config, generator)
    logits, deltas, refined = net.detect(features, rois.boxes)
    wanted = _wanted(rois.matched, targets, rois.boxes, net.config.box_weights)
    boxes, labels = reid_boxes(refined, rois.positive, targets, config.stored_per_box)
    olp, c2hep = _identity_losses(net, state, features, boxes, labels, generator)
    return Losses(
        rpn_class,
        rpn_box,
        _classify(logits, rois.positive, rois.used),
        _regress(deltas, wanted, rois.positive, rois.used),
        olp,
        c2hep,
    )


def _identity_losses(
    net: DCINet,
    state: LossState,
    features: Tensor,
    boxes: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    embeddings = net.embed(features, boxes)
    used = labels >= UNLABELLED
    frames = torch.arange(len(boxes))[:, None].expand_as(labels)
    with torch.autocast("cpu", enabled=False):  # cosines want float32
        olp, c2hep = state(embeddings[used].float(), labels[used], frames[used], generator)
    return olp, c2hep
