"""The priority pool: the identities that one iteration classifies among (TPAMI 2020, 3.3).

A pool ``(P,)`` is int64 and ascending. It is made from the embeddings of all processes and from
state that is the same in all of them; with generators in the same state it is the same everywhere.
"""

import torch
from torch import Tensor

from train.errors import TrainError
from train.losses.dictionary import FeatureDictionary
from train.losses.embedded import Embedded


@torch.no_grad()
def priority_pool(
    batch: Embedded,
    dictionary: FeatureDictionary,
    *,
    identities: int,
    size: int,
    hard: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the identities that a batch is classified among, ``(P,)`` ascending.

    First every identity of the batch; then those of each anchor's ``hard`` most similar labelled
    negatives, most similar first; then random ones up to ``size``. The pool is larger than
    ``size`` only when the batch alone has more identities.

    Args:
        batch: the embeddings of all processes.
        dictionary: where the negatives come from, as it was before this batch.
        identities: L, how many there are.
        size: T of the paper.
        hard: r of the paper.
        generator: draws the random ones; on the CPU, whatever device the batch is on.
    """
    present = torch.unique(batch.labels[batch.labels >= 0])
    rivals = _rivals(batch, dictionary, identities, hard)
    rivals = rivals[~torch.isin(rivals, present)]
    pool = torch.cat([present, rivals])[: max(size, len(present))]
    rest = torch.ones(identities, dtype=torch.bool, device=pool.device)
    rest[pool] = False
    others = rest.nonzero()[:, 0]
    order = torch.randperm(len(others), generator=generator, device=generator.device)
    drawn = others[order[: max(0, size - len(pool))].to(others.device)]
    return torch.cat([pool, drawn]).sort().values


def _rivals(batch: Embedded, dictionary: FeatureDictionary, identities: int, hard: int) -> Tensor:
    """Return the identities of the anchors' hardest negatives, most similar first."""
    labelled = batch.labels >= 0
    anchors, labels = batch.features[labelled], batch.labels[labelled]
    cosines = dictionary.similarities(anchors)
    usable = (dictionary.labels >= 0) & (dictionary.labels != labels[:, None])
    count = min(hard, len(dictionary.labels))
    best, slot = cosines.masked_fill(~usable, -torch.inf).topk(count, dim=1)
    found = dictionary.labels[slot].clamp(min=0)
    nearest = best.new_full((identities,), -torch.inf)
    nearest.scatter_reduce_(0, found.flatten(), best.flatten(), "amax")
    order = nearest.argsort(descending=True, stable=True)
    return order[nearest[order] > -torch.inf]


def columns(labels: Tensor, pool: Tensor) -> Tensor:
    """Return where each identity ``(N,)`` stands in the pool.

    Raises:
        TrainError: an identity is missing, so that the pool was made from another batch.
    """
    column = torch.searchsorted(pool, labels)
    there = pool[column.clamp(max=len(pool) - 1)] == labels
    if not bool(there.all()):
        missing = torch.unique(labels[~there]).tolist()
        raise TrainError(f"the priority pool lacks identities {missing} of the batch")
    return column


def required(pool: Tensor | None, name: str) -> Tensor:
    """Return the pool that the loss ``name`` cannot do without.

    Raises:
        TrainError: there is none.
    """
    if pool is None:
        raise TrainError(f"the loss {name!r} needs a priority pool and was given none")
    return pool
