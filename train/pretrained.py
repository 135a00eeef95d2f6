"""Start a trunk and its heads from torchvision's ImageNet weights, by name."""

from collections.abc import Mapping

from torch import Tensor
from torchvision.models import get_weight

from train.errors import ConfigError
from train.models.backbones import backbone_spec
from train.models.dcinet import DCINet


def download_imagenet(backbone: str) -> Mapping[str, Tensor]:
    """Return torchvision's weights of a backbone, from its cache or the network.

    Raises:
        ConfigError: they cannot be had, as on a machine without a network.
    """
    name = backbone_spec(backbone).weights
    try:
        weights: Mapping[str, Tensor] = get_weight(name).get_state_dict(
            progress=False, check_hash=True
        )
        return weights
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"cannot fetch the pretrained weights {name}: {error}; "
            "train with --init none, or fetch them on a machine with a network"
        ) from error


def load_imagenet(net: DCINet, weights: Mapping[str, Tensor]) -> None:
    """Copy ImageNet weights into the trunk and into both copies of layer4.

    Raises:
        ConfigError: a weight is missing or has another shape (a width below 1 has none).
    """
    for part in (net.trunk, net.detection.head, net.reid.head):
        wanted = {k: v for k, v in part.state_dict().items() if not k.endswith("batches_tracked")}
        for key, value in wanted.items():
            found = weights.get(key)
            if found is None or found.shape != value.shape:
                shape = None if found is None else tuple(found.shape)
                raise ConfigError(
                    f"pretrained weight {key} has shape {shape}, this network wants "
                    f"{tuple(value.shape)}; only width 1 has pretrained weights"
                )
        part.load_state_dict({k: weights[k] for k in wanted}, strict=False)
