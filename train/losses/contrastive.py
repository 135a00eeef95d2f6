"""Contrastive loss, Hadsell et al., CVPR 2006, Eq. 4, over all pairs of a batch."""

import torch
from torch import Tensor

from train.losses.distance import squared_distances
from train.losses.embedded import Embedded, IdentityLoss, Term


class ContrastiveLoss(IdentityLoss):
    """``d^2 / 2`` for a pair of one identity, ``max(0, margin - d)^2 / 2`` for any other pair.

    A pair is two different embeddings of the batch, of which one or both have an identity: two
    persons without one may be the same. Each pair stands in the sums from both of its ends, which
    leaves the mean as it is. The gradient flows into both.
    """

    def __init__(self, *, margin: float = 1.0) -> None:
        """Take the distance beyond which persons that differ are far enough apart."""
        super().__init__()
        self.margin = margin

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum over the pairs of the anchors, and their number."""
        squares = squared_distances(anchors.features, batch.features)
        # the root has no gradient at 0; two persons in one place are pushed nowhere
        floor = torch.finfo(squares.dtype).eps
        apart = torch.relu(self.margin - squares.clamp(min=floor).sqrt())
        labelled = (anchors.labels >= 0)[:, None]
        same = (anchors.labels[:, None] == batch.labels) & labelled
        other = anchors.labels[:, None] != batch.labels
        total = (squares[same].sum() + apart[other].square().sum()) / 2
        # every labelled anchor met itself in the batch, at distance 0
        return Term(total, same.sum() + other.sum() - labelled.sum())
