"""The feature dictionary of OLP: the last person features seen, with their identities.

Section 3.2 of Zhang et al., TPAMI 2020. First in, first out. A slot holds an embedding of unit
length and its label: an identity 0..L-1, or -1 for a person without identity; -4 marks an empty
slot. Background is never stored. All state lies in buffers, so that a resumed run continues
exactly. Its owner alone stores into it, once an iteration, however many losses read it.
"""

import torch
from torch import Tensor, nn

EMPTY = -4


class FeatureDictionary(nn.Module):
    """``slots`` embeddings ``(K, D)`` and labels ``(K,)`` in a ring."""

    features: Tensor
    labels: Tensor
    position: Tensor

    def __init__(self, slots: int, dim: int = 256) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(slots, dim))
        self.register_buffer("labels", torch.full((slots,), EMPTY, dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def store(self, features: Tensor, labels: Tensor) -> None:
        """Put embeddings ``(N, D)`` with labels ``(N,)`` over the oldest slots."""
        slots = len(self.labels)
        features, labels = features[-slots:].detach(), labels[-slots:]
        order = torch.arange(len(labels), device=self.labels.device)
        index = (self.position + order) % slots
        self.features[index] = features.to(self.features.dtype)
        self.labels[index] = labels
        self.position.copy_((self.position + len(labels)) % slots)

    def similarities(self, anchors: Tensor) -> Tensor:
        """Return cosines ``(N, K)`` of anchors with all slots; no gradient into the slots."""
        return anchors @ self.features.clone().T
