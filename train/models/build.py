"""Networks by name."""

from train.config import NetworkConfig
from train.models.dcinet import DCINet
from train.models.fpn import PYRAMIDS
from train.models.fpn_net import PyramidNet
from train.models.network import PersonSearchNet, SharedHeadNet
from train.models.separate import SeparateNet

_CLASSES: dict[str, type[PersonSearchNet]] = {
    "dc-i-net": DCINet,
    "i-net": SharedHeadNet,
    "oim": SharedHeadNet,
    "separate": SeparateNet,
}


def build_network(config: NetworkConfig) -> PersonSearchNet:
    """Return the network of a configuration, its weights drawn from torch's generator."""
    if config.backbone in PYRAMIDS:
        return PyramidNet(config)
    return _CLASSES[config.model](config)
