"""What every identity loss is given and what it returns."""

from typing import NamedTuple

from torch import Tensor, nn


class Embedded(NamedTuple):
    """Embeddings of one batch.

    ``features (N, D)`` of unit length; ``labels (N,)`` int64, an identity 0..L-1 or -1 for a
    person without identity; ``frames (N,)`` int64, which frame of the whole batch.
    """

    features: Tensor
    labels: Tensor
    frames: Tensor


class Term(NamedTuple):
    """A loss as the sum of ``count`` summands, so that processes can join theirs exactly."""

    total: Tensor
    count: Tensor  # type: ignore[assignment]

    def mean(self) -> Tensor:
        """Return the mean, 0 where there is nothing to average."""
        return self.total / self.count.clamp(min=1)


class IdentityLoss(nn.Module):
    """A loss on identities. Whatever it remembers lies in buffers, so that a run resumes exactly.

    ``needs_pool`` tells that `forward` wants the priority pool.
    """

    needs_pool = False

    def forward(self, anchors: Embedded, batch: Embedded, pool: Tensor | None) -> Term:
        """Return the loss of ``anchors``, the embeddings of this process.

        Args:
            anchors: what the gradient flows into.
            batch: the embeddings of all processes, in order; with one process the anchors.
            pool: identities ``(P,)`` ascending that compete in this iteration.
        """
        raise NotImplementedError

    def remember(self, batch: Embedded) -> None:
        """Take in a batch after its losses are known; without gradient."""
