"""Triplet loss of FaceNet, Schroff et al., CVPR 2015, section 3.1, over all of a batch."""

import torch
from torch import Tensor

from train.losses.distance import squared_distances
from train.losses.embedded import Embedded, IdentityLoss, Term


class TripletLoss(IdentityLoss):
    """``[d(a, p)^2 - d(a, n)^2 + margin]+`` with Euclidean distances on the unit sphere.

    A triplet is a labelled anchor, one positive of its identity from another frame, and one
    negative: any embedding of the batch with another label, persons without identity included.
    The mean is over all triplets that exist, also those that cost nothing. The gradient flows
    into all three.
    """

    def __init__(self, *, margin: float = 0.2) -> None:
        """Take the margin between squared distances (FaceNet: 0.2)."""
        super().__init__()
        self.margin = margin

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum over the triplets of the anchors, and their number."""
        distances = squared_distances(anchors.features, batch.features)
        same = anchors.labels[:, None] == batch.labels
        pairs = same & (anchors.labels >= 0)[:, None]
        pairs &= anchors.frames[:, None] != batch.frames
        anchor, positive = pairs.nonzero(as_tuple=True)
        near = distances[anchor, positive][:, None]
        costs = torch.relu(near - distances[anchor] + self.margin)
        negatives = ~same[anchor]
        return Term(costs[negatives].sum(), negatives.sum())
