"""Class-centre guided hard example priority loss (C2HEP), TPAMI 2020, Eq. 7-9, and its pool."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from train.losses.dictionary import FeatureDictionary


def priority_pool(
    features: Tensor,
    labels: Tensor,
    dictionary: FeatureDictionary,
    *,
    identities: int,
    size: int,
    hard: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the identities that a batch is classified among, ``(P,)`` sorted (section 3.3).

    First every identity of the batch; then those of each anchor's ``hard`` most similar labelled
    negatives, most similar first; then random ones up to ``size``. The pool is larger than
    ``size`` only when the batch alone has more identities.
    """
    present = torch.unique(labels[labels >= 0])
    pool = torch.cat([present, _hard(features, labels, dictionary, hard, present)])
    pool = pool[: max(size, len(present))]
    rest = torch.ones(identities, dtype=torch.bool)
    rest[pool] = False
    others = rest.nonzero()[:, 0]
    order = torch.randperm(len(others), generator=generator)
    return torch.cat([pool, others[order[: max(0, size - len(pool))]]]).sort().values


@torch.no_grad()
def _hard(
    features: Tensor, labels: Tensor, dictionary: FeatureDictionary, hard: int, present: Tensor
) -> Tensor:
    """Return the identities of the hardest negatives, most similar first, none of the batch."""
    anchors = labels >= 0
    count = min(hard, len(dictionary.labels))
    if count == 0 or not anchors.any():
        return labels.new_zeros(0)
    cosines = dictionary.similarities(features[anchors].detach())
    negative = (dictionary.labels >= 0) & (dictionary.labels != labels[anchors][:, None])
    best, slot = cosines.masked_fill(~negative, -2.0).topk(count, dim=1)
    found = dictionary.labels[slot][best > -2.0]
    order = best[best > -2.0].argsort(descending=True, stable=True)
    ranked = list(dict.fromkeys(found[order].tolist()))
    taken = set(present.tolist())
    return torch.tensor([i for i in ranked if i not in taken], dtype=torch.int64)


class ClassCentres(nn.Module):
    """One centre ``(256,)`` an identity, moved towards its features (Eq. 7)."""

    centres: Tensor
    seen: Tensor

    def __init__(
        self, identities: int, dim: int = 256, *, momentum: float = 0.5, norm: bool = True
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.norm = norm
        self.register_buffer("centres", torch.zeros(identities, dim))
        self.register_buffer("seen", torch.zeros(identities, dtype=torch.bool))

    def loss(self, features: Tensor, labels: Tensor, pool: Tensor, *, scale: float) -> Tensor:
        """Return the mean of Eq. 9 over the anchors, a scalar.

        Logits are ``scale`` times the cosine with each centre in the pool; a centre not yet seen
        has logit 0, and an anchor of such an identity is left out.
        """
        anchors = (labels >= 0) & self.seen[labels.clamp(min=0)]
        logits = features[anchors] @ self.centres[pool].clone().T * scale
        logits = torch.where(self.seen[pool], logits, torch.zeros_like(logits))
        column = torch.searchsorted(pool, labels[anchors])
        total = cross_entropy(logits, column, reduction="sum") if len(column) else logits.sum()
        return total / anchors.sum().clamp(min=1)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Move each identity's centre once, by the mean of its features (Eq. 7)."""
        identities, row = torch.unique(labels[labels >= 0], return_inverse=True)
        if not len(identities):
            return
        chosen = features[labels >= 0].detach().to(self.centres.dtype)
        sums = chosen.new_zeros(len(identities), chosen.shape[1]).index_add_(0, row, chosen)
        means = sums / row.bincount(minlength=len(identities))[:, None]
        old = self.centres[identities]
        moved = self.momentum * old + (1 - self.momentum) * means
        new = torch.where(self.seen[identities][:, None], moved, means)
        self.centres[identities] = normalize(new, dim=1) if self.norm else new
        self.seen[identities] = True
