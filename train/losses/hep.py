"""Hard example priority loss (HEP), Zhang et al., TPAMI 2020, Eq. 5."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from train.losses.classifier import classifier, cross_entropies
from train.losses.embedded import Embedded, IdentityLoss, Term
from train.losses.pool import columns, required


class HardExamplePriorityLoss(IdentityLoss):
    """Eq. 5: classify each labelled anchor among the priority pool and background.

    The classifier has a row for each of the C identities and, last, one for background. Anchors
    are persons with identity, so background is a rival and never an answer.
    """

    needs_pool = True

    def __init__(self, identities: int, dim: int = 256, *, scale: float = 1.0) -> None:
        """Make the classifier; ``scale`` multiplies the unit features before it (paper: 1)."""
        super().__init__()
        self.scale = scale
        self.classifier = classifier(dim, identities + 1)

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum of Eq. 5 over the labelled anchors, and their number n."""
        pool = required(pool, "hep")
        labelled = anchors.labels >= 0
        background = pool.new_tensor([self.classifier.out_features - 1])
        rows = torch.cat([pool, background])
        weight, bias = self.classifier.weight[rows], self.classifier.bias[rows]
        logits = linear(anchors.features[labelled] * self.scale, weight, bias)
        return cross_entropies(logits, columns(anchors.labels[labelled], pool))
