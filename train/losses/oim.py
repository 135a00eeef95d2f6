"""On-line instance matching (OIM), Xiao et al., CVPR 2017, Eq. 1-4.

The published code moves the table inside the backward pass. Here the gradient is autograd's, and
the state changes in `OIMLoss.remember` alone.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.classifier import cross_entropies
from train.losses.dictionary import EMPTY, FeatureDictionary
from train.losses.embedded import Embedded, IdentityLoss, Term


class OIMLoss(IdentityLoss):
    """Match each labelled anchor to its row of a table of identities.

    One softmax over the table ``(L, D)`` and a circular queue of persons without identity. Empty
    slots of the queue are left out. A row of the table whose identity was never seen is zero, as
    in the paper: its logit is 0, it competes, and an anchor of that identity counts.
    """

    table: Tensor

    def __init__(
        self,
        identities: int,
        dim: int = 256,
        *,
        queue: int = 5000,
        scale: float = 10.0,
        momentum: float = 0.5,
    ) -> None:
        """Begin with a table of zeros and an empty queue.

        Args:
            identities: L.
            dim: D, length of an embedding.
            queue: Q, persons without identity that are kept.
            scale: 1 / tau of Eq. 1; paper: 10.
            momentum: gamma, the share of the old row that stays; paper: 0.5.
        """
        super().__init__()
        self.scale = scale
        self.momentum = momentum
        self.queue = FeatureDictionary(queue, dim)
        self.register_buffer("table", torch.zeros(identities, dim))

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum of -log p over the labelled anchors (Eq. 1, 3), and their number."""
        labelled = anchors.labels >= 0
        known = torch.cat([self.table, self.queue.features])
        logits = anchors.features[labelled] @ known.T * self.scale
        rows = torch.zeros(len(self.table), dtype=torch.bool, device=logits.device)
        empty = torch.cat([rows, self.queue.labels == EMPTY])
        logits = logits.masked_fill(empty, -torch.inf)
        return cross_entropies(logits, anchors.labels[labelled])

    @torch.no_grad()
    def remember(self, batch: Embedded) -> None:
        """Move the rows of the identities seen, and queue the persons without identity.

        As in the paper, each feature moves its row and the row goes back to unit length, so that
        several features of one identity count in their order, the last one most.
        """
        labelled = batch.labels >= 0
        self.queue.store(batch.features[~labelled], batch.labels[~labelled])
        features = batch.features[labelled].to(self.table.dtype)
        for turn in _turns(batch.labels[labelled]):
            rows = batch.labels[labelled][turn]
            moved = self.momentum * self.table[rows] + (1 - self.momentum) * features[turn]
            self.table[rows] = normalize(moved, dim=1)


def _turns(labels: Tensor) -> list[Tensor]:
    """Return index tensors: the first of each identity, then the second of each, and so on."""
    order = labels.argsort(stable=True)
    ordered = labels[order]
    nth = torch.arange(len(labels), device=labels.device) - torch.searchsorted(ordered, ordered)
    return [order[nth == turn] for turn in range(int(nth.max()) + 1)] if len(labels) else []
