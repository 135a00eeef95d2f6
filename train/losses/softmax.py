"""Softmax cross-entropy over all identities: the plain identity loss that the papers compare."""

from torch import Tensor

from train.losses.classifier import classifier, cross_entropies
from train.losses.embedded import Embedded, IdentityLoss, Term


class SoftmaxLoss(IdentityLoss):
    """Classify each labelled anchor among all L identities."""

    def __init__(self, identities: int, dim: int = 256, *, scale: float = 1.0) -> None:
        """Make the classifier; ``scale`` multiplies the unit features before it."""
        super().__init__()
        self.scale = scale
        self.classifier = classifier(dim, identities)

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum of the cross-entropies over the labelled anchors, and their number."""
        labelled = anchors.labels >= 0
        logits = self.classifier(anchors.features[labelled] * self.scale)
        return cross_entropies(logits, anchors.labels[labelled])
