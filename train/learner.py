"""A network together with its identity losses: frames in, losses out."""

import torch
from torch import Tensor, nn

from train.config import FitConfig
from train.distributed import World
from train.losses.joint import IdentityLosses
from train.models.build import build_network
from train.models.losses import training_losses
from train.models.network import PersonSearchNet
from train.models.targets import Targets


class Learner(nn.Module):
    """All that a run trains. Its forward pass returns each term of the loss by name.

    With several processes on GPUs, batch normalisation takes its statistics over all of them;
    on CPUs each process takes its own (torch has no other), and the first one's are saved.
    """

    def __init__(self, net: PersonSearchNet, identity: IdentityLosses, world: World) -> None:
        super().__init__()
        self.net = net
        self.identity = identity
        self.world = world

    def forward(
        self, frames: Tensor, targets: Targets, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the losses of this process's frames, by name.

        Their average over the processes is the mean over the whole batch.
        """
        return training_losses(self.net, self.identity, frames, targets, generator, self.world)


def make_learner(config: FitConfig, identities: int, world: World) -> Learner:
    """Return a learner as its seed draws it, on the processor."""
    torch.manual_seed(config.seed)
    net = build_network(config.network)
    return Learner(net, IdentityLosses(config.loss, identities, config.network.dim), world)


def placed(learner: Learner) -> Learner:
    """Move a learner to its device, the same in every process, and make it ready to train."""
    world = learner.world
    if world.size > 1 and world.device.type == "cuda":
        learner.net = nn.SyncBatchNorm.convert_sync_batchnorm(learner.net)  # type: ignore[no-untyped-call]
    learner.to(world.device)
    world.begin_alike(learner)
    learner.net.to(memory_format=torch.channels_last)
    return learner.train()
