"""On-line pairing loss, Zhang et al., TPAMI 2020, Eq. 1 and 2."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from train.losses.dictionary import EMPTY, FeatureDictionary


def olp_loss(
    features: Tensor,
    labels: Tensor,
    frames: Tensor,
    dictionary: FeatureDictionary,
    *,
    scale: float = 1.0,
) -> Tensor:
    """Return the mean of Eq. 1 over all subgroups of a batch, a scalar.

    A subgroup is an anchor, one positive of its identity from ANOTHER frame, and every slot of
    the dictionary with another label. The gradient flows into the anchor alone (Eq. 2).

    Args:
        features: ``(N, 256)`` of unit length.
        labels: ``(N,)`` identities; below 0 = without identity, never an anchor.
        frames: ``(N,)`` which frame of the batch each comes from.
        dictionary: the negatives, from before this batch.
        scale: multiplies the cosines; the paper uses 1.
    """
    cosines = features @ features.detach().T * scale
    same = labels[:, None] == labels[None, :]
    pairs = same & (labels >= 0)[:, None] & (frames[:, None] != frames[None, :])
    negatives = dictionary.similarities(features) * scale
    usable = (dictionary.labels != EMPTY) & (dictionary.labels != labels[:, None])
    # log of the sum over negatives; with none the subgroup's loss is 0.
    log_sum = torch.logsumexp(negatives.masked_fill(~usable, -1e4), dim=1, keepdim=True)
    # -log(e^p / (e^p + sum e^n)) = softplus(log sum e^n - p)
    losses = softplus(log_sum - cosines)
    return losses[pairs].sum() / pairs.sum().clamp(min=1)
