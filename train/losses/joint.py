"""Any set of identity losses by name, with all that they remember."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from train.config import LossConfig
from train.distributed import World
from train.losses.c2hep import ClassCentreLoss
from train.losses.contrastive import ContrastiveLoss
from train.losses.dictionary import FeatureDictionary
from train.losses.embedded import Embedded, IdentityLoss
from train.losses.hep import HardExamplePriorityLoss
from train.losses.oim import OIMLoss
from train.losses.olp import OnlinePairingLoss
from train.losses.pool import priority_pool
from train.losses.softmax import SoftmaxLoss
from train.losses.triplet import TripletLoss

_Maker = Callable[[LossConfig, int, int, FeatureDictionary], IdentityLoss]

_MAKERS: dict[str, _Maker] = {
    "olp": lambda c, n, d, m: OnlinePairingLoss(m, scale=c.olp_scale),
    "hep": lambda c, n, d, m: HardExamplePriorityLoss(n, d, scale=c.hep_scale),
    "c2hep": lambda c, n, d, m: ClassCentreLoss(
        n, d, scale=c.centre_scale, momentum=c.centre_momentum, norm=c.centre_norm
    ),
    "oim": lambda c, n, d, m: OIMLoss(
        n, d, queue=c.oim_queue, scale=c.oim_scale, momentum=c.oim_momentum
    ),
    "softmax": lambda c, n, d, m: SoftmaxLoss(n, d, scale=c.softmax_scale),
    "triplet": lambda c, n, d, m: TripletLoss(margin=c.triplet_margin),
    "contrastive": lambda c, n, d, m: ContrastiveLoss(margin=c.contrastive_margin),
}


class IdentityLosses(nn.Module):
    """The losses that a run asks for, the feature dictionary that they share, and their pool."""

    def __init__(self, config: LossConfig, identities: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.identities = identities
        self.dictionary = FeatureDictionary(config.dictionary, dim)
        self.terms = nn.ModuleDict(
            {
                name: _MAKERS[name](config, identities, dim, self.dictionary)
                for name in config.losses
            }
        )

    def forward(self, own: Embedded, world: World, generator: torch.Generator) -> dict[str, Tensor]:
        """Return each loss by name for embeddings ``(N, dim)``, then remember them.

        Averaged over processes, a value is the mean over the whole batch.
        """
        batch = world.gather(own)
        pool = self._pool(batch, generator)
        losses = {}
        for name, term in self._terms():
            total, count = term(own, batch, pool)
            losses[name] = world.mean(total, count)
        seen = Embedded(batch.features.detach(), batch.labels, batch.frames)
        self.dictionary.store(seen.features, seen.labels)
        for _, term in self._terms():
            term.remember(seen)
        return losses

    def _terms(self) -> list[tuple[str, IdentityLoss]]:
        return [(n, t) for n, t in self.terms.items() if isinstance(t, IdentityLoss)]

    def _pool(self, batch: Embedded, generator: torch.Generator) -> Tensor | None:
        if not any(term.needs_pool for _, term in self._terms()):
            return None
        return priority_pool(
            batch,
            self.dictionary,
            identities=self.identities,
            size=self.config.pool_size,
            hard=self.config.pool_hard,
            generator=generator,
        )
