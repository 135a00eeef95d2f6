"""The losses of one iteration: four terms of detection, and the identity losses (Eq. 6, 10)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from train.config import LossConfig
from train.distributed import World
from train.losses.embedded import Embedded
from train.losses.joint import IdentityLosses
from train.models.boxes import encode, take
from train.models.network import Detected, PersonSearchNet, Proposals, Seen
from train.models.targets import (
    PAD,
    UNLABELLED,
    Match,
    Targets,
    best_anchor_of_each,
    match,
    sample,
)

ALONE = World()


def total_loss(losses: dict[str, Tensor], config: LossConfig) -> Tensor:
    """Return Eq. 6 or 10: detection, and each identity loss by its weight."""
    detection = losses["rpn_class"] + losses["person_class"]
    total = detection + config.box_loss * (losses["rpn_box"] + losses["person_box"])
    for name in config.losses:
        total = total + config.weight(name) * losses[name]
    return total


def _classify(logits: Tensor, positive: Tensor, drawn: Tensor, world: World) -> Tensor:
    losses = cross_entropy(logits.flatten(0, 1), positive.long().flatten(), reduction="none")
    return world.mean((losses * drawn.flatten()).sum(), drawn.sum())


def _regress(
    deltas: Tensor, wanted: Tensor, positive: Tensor, drawn: Tensor, world: World
) -> Tensor:
    """Return smooth L1 over positives, divided by the drawn count (Faster R-CNN, Eq. 1)."""
    losses = smooth_l1_loss(deltas[positive], wanted[positive], beta=1.0, reduction="sum")
    return world.mean(losses, drawn.sum())


def _wanted(
    matched: Match, targets: Targets, boxes: Tensor, weights: tuple[float, float]
) -> Tensor:
    return encode(take(targets.boxes, matched.row), boxes, weights)


def rpn_losses(
    raw: Proposals,
    anchors: Tensor,
    targets: Targets,
    config: LossConfig,
    generator: torch.Generator,
    world: World = ALONE,
) -> tuple[Tensor, Tensor]:
    """Return the proposal head's two terms: positive at IoU >= 0.7 or best, negative < 0.3."""
    boxes = anchors[None].expand(raw.deltas.shape[0], -1, -1)
    matched = match(boxes, targets)
    positive = (matched.overlap >= 0.7) | best_anchor_of_each(boxes, targets)
    negative = (matched.overlap < 0.3) & ~positive & ~matched.ignored
    noise = world.rows((positive.shape[0], positive.shape[1]), generator)
    drawn = sample(positive, negative, config.rpn_batch, 0.5, noise.to(boxes.device))
    wanted = _wanted(matched, targets, boxes, (1.0, 1.0))
    chosen = drawn & positive
    return (
        _classify(raw.logits, positive, drawn, world),
        _regress(raw.deltas, wanted, chosen, drawn, world),
    )


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRois:
    """RoIs that train the detection head: ``(B, R, 4)``, which are used, which are persons."""

    boxes: Tensor
    used: Tensor
    positive: Tensor
    matched: Match


def draw_rois(
    proposals: Tensor,
    targets: Targets,
    config: LossConfig,
    generator: torch.Generator,
    world: World = ALONE,
) -> DrawnRois:
    """Draw RoIs from proposals ``(B, P, 4)`` and the persons themselves."""
    candidates = torch.cat([proposals, targets.boxes], dim=1)
    matched = match(candidates, targets)
    real = torch.ones(candidates.shape[:2], dtype=torch.bool, device=candidates.device)
    real[:, proposals.shape[1] :] = targets.is_person
    positive = real & (matched.overlap >= 0.5)
    negative = real & (matched.overlap < 0.5) & ~matched.ignored
    noise = world.rows((candidates.shape[0], candidates.shape[1]), generator)
    drawn = sample(positive, negative, config.rois, config.foreground, noise.to(candidates.device))
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


def shared_labels(rois: DrawnRois, targets: Targets, per_box: int) -> Tensor:
    """Return labels ``(B, R)`` of RoIs that are embedded as they are (`PAD` = unused).

    The positive ones have their person's, at most ``per_box`` of them a person, best overlap
    first.
    """
    overlap = torch.where(rois.positive, rois.matched.overlap, -1.0)
    order = overlap.argsort(dim=1, descending=True, stable=True)
    owner = torch.where(rois.positive, rois.matched.row, targets.boxes.shape[1])
    hot = torch.nn.functional.one_hot(torch.gather(owner, 1, order), targets.boxes.shape[1] + 1)
    nth = torch.zeros_like(owner).scatter_(1, order, (hot.cumsum(dim=1) * hot).sum(dim=2))
    labels = torch.gather(targets.labels, 1, rois.matched.row)
    return torch.where(rois.positive & (nth <= per_box), labels, PAD)


def training_losses(
    net: PersonSearchNet,
    identity: IdentityLosses,
    frames: Tensor,
    targets: Targets,
    generator: torch.Generator,
    world: World = ALONE,
) -> dict[str, Tensor]:
    """Return all terms by name for frames ``(B, 3, H, W)`` 0..255 and their persons."""
    config = identity.config
    seen = net.see(frames)
    raw = net.score_anchors(seen)
    rpn_class, rpn_box = rpn_losses(raw, net.anchors, targets, config, generator, world)
    with torch.no_grad():
        proposals, _ = net.propose(Proposals(raw.logits.detach(), raw.deltas.detach()))
    rois = draw_rois(proposals, targets, config, generator, world)
    found = net.detect(seen, rois.boxes)
    wanted = _wanted(rois.matched, targets, rois.boxes, net.config.box_weights)
    losses = {
        "rpn_class": rpn_class,
        "rpn_box": rpn_box,
        "person_class": _classify(found.logits, rois.positive, rois.used, world),
        "person_box": _regress(found.deltas, wanted, rois.positive, rois.used, world),
    }
    if not config.losses:
        return losses
    embeddings, labels = _embeddings(net, seen, found, rois, targets, config.stored_per_box)
    own = _used(embeddings, labels, world)
    with torch.autocast(frames.device.type, enabled=False):  # cosines want float32
        terms: dict[str, Tensor] = identity(own, world, generator)
    return losses | terms


def _embeddings(
    net: PersonSearchNet,
    seen: Seen,
    found: Detected,
    rois: DrawnRois,
    targets: Targets,
    per_box: int,
) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(B, R, dim)`` of what trains a network's, and labels ``(B, R)``."""
    if net.reid_from == "proposals":
        order = torch.arange(rois.boxes.shape[1], device=rois.boxes.device)
        order = order.expand(rois.boxes.shape[:2])
        labels = shared_labels(rois, targets, per_box)
        return net.describe(seen, found, rois.boxes, order), labels
    positive = rois.positive if net.reid_from == "refined" else torch.zeros_like(rois.positive)
    boxes, labels = reid_boxes(found.boxes, positive, targets, per_box)
    return net.embed(seen, boxes), labels


def _used(embeddings: Tensor, labels: Tensor, world: World) -> Embedded:
    used = labels >= UNLABELLED
    first = world.rank * len(labels)
    frames = torch.arange(first, first + len(labels), device=labels.device)[:, None]
    return Embedded(embeddings[used].float(), labels[used], frames.expand_as(labels)[used])
