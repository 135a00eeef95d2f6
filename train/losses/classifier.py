"""The linear classifier that the softmax losses learn along with the network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from train.losses.embedded import Term


def classifier(dim: int, classes: int) -> nn.Linear:
    """Return ``Linear(dim, classes)`` that knows nothing, so that its loss is near ln(classes).

    Weights of deviation 0.01 around 0 and zero bias, as Fast R-CNN begins its own (section 2.3).
    """
    linear = nn.Linear(dim, classes)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return linear


def cross_entropies(logits: Tensor, columns: Tensor) -> Term:
    """Return the sum of the cross-entropies of ``(N, C)`` against ``(N,)``, and N."""
    total = cross_entropy(logits, columns, reduction="sum")
    return Term(total, torch.tensor(len(columns), device=columns.device))
