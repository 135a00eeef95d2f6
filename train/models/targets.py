"""The persons of a batch as tensors of one shape, and the sampling of anchors and RoIs.

Labels: an identity 0..L-1, `UNLABELLED` for a person without identity, `IGNORE` for a region that
is neither person nor background, `PAD` for an empty row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from train.models.boxes import area, intersection, iou

UNLABELLED = -1
IGNORE = -3
PAD = -4


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Boxes ``(B, G, 4)`` in input pixels and labels ``(B, G)`` int64, padded with `PAD`."""

    boxes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Targets":
        """Return these targets on a device."""
        return Targets(self.boxes.to(device), self.labels.to(device))

    @property
    def is_person(self) -> Tensor:
        """Bool ``(B, G)``: rows that hold a person, with or without identity."""
        return self.labels >= UNLABELLED


def stack_targets(boxes: list[Tensor], labels: list[Tensor]) -> Targets:
    """Pad one frame's boxes ``(N, 4)`` and labels ``(N,)`` each into one batch."""
    longest = max([len(b) for b in boxes] + [1])
    out_boxes = torch.zeros(len(boxes), longest, 4)
    out_labels = torch.full((len(boxes), longest), PAD, dtype=torch.int64)
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        out_boxes[row, : len(box)] = box
        out_labels[row, : len(label)] = label
    return Targets(out_boxes, out_labels)


def widened(targets: Targets, rows: int) -> Targets:
    """Return targets padded to ``rows`` a frame."""
    missing = rows - targets.labels.shape[1]
    boxes = torch.nn.functional.pad(targets.boxes, (0, 0, 0, missing))
    return Targets(boxes, torch.nn.functional.pad(targets.labels, (0, missing), value=PAD))


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """For each candidate box ``(B, N)``: best overlap, the person's row, and if it is ignored."""

    overlap: Tensor
    row: Tensor
    ignored: Tensor


def match(candidates: Tensor, targets: Targets) -> Match:
    """Match boxes ``(B, N, 4)`` with persons; ignored = mostly inside an ignore region."""
    overlaps = iou(candidates, targets.boxes)
    overlaps = torch.where(targets.is_person[:, None, :], overlaps, -1.0)
    best, row = overlaps.max(dim=2)
    inside = intersection(candidates, targets.boxes) / area(candidates)[..., None].clamp(min=1e-6)
    ignores = (targets.labels == IGNORE)[:, None, :]
    ignored = ((inside > 0.5) & ignores).any(dim=2)
    return Match(best.clamp(min=0), row, ignored)


def best_anchor_of_each(anchors: Tensor, targets: Targets) -> Tensor:
    """Return bool ``(B, N)``: anchors that overlap some person most (Faster R-CNN, 3.1.2)."""
    overlaps = iou(anchors, targets.boxes)
    overlaps = torch.where(targets.is_person[:, None, :], overlaps, -1.0)
    top = overlaps.amax(dim=1, keepdim=True)
    return ((overlaps >= top - 1e-6) & (top > 0.05)).any(dim=2)


def sample(positive: Tensor, negative: Tensor, size: int, share: float, noise: Tensor) -> Tensor:
    """Draw at most ``size`` candidates a frame, at most ``share`` of them positive.

    Args:
        positive: bool ``(B, N)``.
        negative: bool ``(B, N)``, disjoint from ``positive``.
        size: how many at most.
        share: of positive ones.
        noise: uniform in 0..1, ``(B, N)``: the lowest are drawn.

    Returns:
        bool ``(B, N)`` of the drawn ones.
    """
    most = torch.full((len(positive),), int(size * share), device=positive.device)
    drawn_positive = _draw(positive, noise, most)
    room = size - drawn_positive.sum(dim=1)
    return drawn_positive | _draw(negative, noise, room)


def _draw(mask: Tensor, noise: Tensor, limit: Tensor) -> Tensor:
    order = torch.where(mask, noise, 2.0).argsort(dim=1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(mask.shape[1], device=mask.device).expand_as(order).contiguous()
    )
    return mask & (rank < limit[:, None])
