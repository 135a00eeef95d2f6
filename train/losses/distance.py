"""Distances of embeddings for the losses that compare pairs and triplets."""

from torch import Tensor


def squared_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Return squared Euclidean distances ``(N, M)`` of ``(N, D)`` and ``(M, D)``, from 0 to 4.

    The gradient flows into both ends.
    """
    squares = rows.square().sum(dim=1)[:, None] + columns.square().sum(dim=1)
    return (squares - 2 * rows @ columns.T).clamp(min=0)
