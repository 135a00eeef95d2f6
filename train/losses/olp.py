"""On-line pairing loss (OLP), Zhang et al., TPAMI 2020, Eq. 1 and 2."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from train.losses.dictionary import EMPTY, FeatureDictionary
from train.losses.embedded import Embedded, IdentityLoss, Term


class OnlinePairingLoss(IdentityLoss):
    """Eq. 1: tell the positive from every negative in the feature dictionary.

    A subgroup is an anchor, one positive of its identity from ANOTHER frame, and every slot of
    the dictionary with another label. The gradient flows into the anchor alone (Eq. 2).

    The dictionary is shared, so it is no part of this module: whoever made it moves it, saves it
    and stores each batch into it once the losses are known.
    """

    dictionary: FeatureDictionary

    def __init__(self, dictionary: FeatureDictionary, *, scale: float = 1.0) -> None:
        """Take the dictionary of negatives; ``scale`` multiplies the cosines (paper: 1)."""
        super().__init__()
        self.__dict__["dictionary"] = dictionary  # past nn.Module, which would make it a part
        self.scale = scale

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the sum of Eq. 1 over the subgroups of the anchors, and their number m."""
        cosines = anchors.features @ batch.features.detach().T * self.scale
        same = anchors.labels[:, None] == batch.labels
        pairs = same & (anchors.labels >= 0)[:, None]
        pairs &= anchors.frames[:, None] != batch.frames
        # -log(e^p / (e^p + sum e^n)) = softplus(log sum e^n - p)
        losses = softplus(self._negatives(anchors) - cosines)
        return Term(losses[pairs].sum(), pairs.sum())

    def _negatives(self, anchors: Embedded) -> Tensor:
        """Return log sum e^n over each anchor's negatives, ``(N, 1)``."""
        labels = self.dictionary.labels
        usable = (labels != EMPTY) & (labels != anchors.labels[:, None])
        cosines = self.dictionary.similarities(anchors.features) * self.scale
        # far below any cosine, yet finite: with no negative at all the subgroup's loss is 0
        return torch.logsumexp(cosines.masked_fill(~usable, -1e4), dim=1, keepdim=True)
