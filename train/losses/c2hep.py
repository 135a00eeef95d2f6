"""Class-centre guided hard example priority loss (C2HEP), TPAMI 2020, Eq. 7-9."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.classifier import cross_entropies
from train.losses.embedded import Embedded, IdentityLoss, Term
from train.losses.pool import columns, required


class ClassCentreLoss(IdentityLoss):
    """Eq. 9: which centre of the priority pool is the anchor's, by cosine.

    One centre an identity ``(L, D)``, moved towards its features after the loss (Eq. 7). A centre
    not yet seen has logit 0, and an anchor of such an identity is left out.
    """

    needs_pool = True
    centres: Tensor
    seen: Tensor

    def __init__(
        self,
        identities: int,
        dim: int = 256,
        *,
        scale: float = 10.0,
        momentum: float = 0.5,
        norm: bool = True,
    ) -> None:
        """Begin with no centre seen.

        Args:
            identities: L.
            dim: D, length of an embedding.
            scale: lambda of Eq. 8; paper: 10.
            momentum: phi of Eq. 7; paper: 0.5.
            norm: bring a centre back to unit length after it moved.
        """
        super().__init__()
        self.scale = scale
        self.momentum = momentum
        self.norm = norm
        self.register_buffer("centres", torch.zeros(identities, dim))
        self.register_buffer("seen", torch.zeros(identities, dtype=torch.bool))

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum of Eq. 9 over the anchors whose centre is seen, and their number."""
        pool = required(pool, "c2hep")
        known = (anchors.labels >= 0) & self.seen[anchors.labels.clamp(min=0)]
        # indexing copies, so `remember` may move the centres before the backward pass
        logits = anchors.features[known] @ self.centres[pool].T * self.scale
        logits = logits.masked_fill(~self.seen[pool], 0.0)
        column = columns(anchors.labels[known], pool)
        return cross_entropies(logits, column)

    @torch.no_grad()
    def remember(self, batch: Embedded) -> None:
        """Move each identity's centre once, by the mean of its features (Eq. 7)."""
        labelled = batch.labels >= 0
        identities, row = torch.unique(batch.labels[labelled], return_inverse=True)
        means = _means(batch.features[labelled].to(self.centres.dtype), row, len(identities))
        old = self.centres[identities]
        moved = self.momentum * old + (1 - self.momentum) * means
        new = torch.where(self.seen[identities][:, None], moved, means)
        self.centres[identities] = normalize(new, dim=1) if self.norm else new
        self.seen[identities] = True


def _means(features: Tensor, row: Tensor, rows: int) -> Tensor:
    """Return the mean ``(rows, D)`` of the features of each row.

    As a product with a table of memberships and not by adding up in place, whose order, and so
    its rounding, differs from one process to the next on a GPU.
    """
    member = row == torch.arange(rows, device=row.device)[:, None]
    shares = member.to(features.dtype) / member.sum(dim=1, keepdim=True)
    return shares @ features
