"""Where a network begins: as drawn, from published weights, or from another run."""

from pathlib import Path

from train.config import PRETRAINED, FitConfig
from train.models.backbones import freeze_stem
from train.models.network import PersonSearchNet
from train.pretrained import (
    download_coco,
    download_imagenet,
    load_coco,
    load_from_run,
    load_imagenet,
)


def start(net: PersonSearchNet, config: FitConfig) -> dict[str, object]:
    """Give a network the weights that ``config.init`` names.

    Returns:
        what to note in the log: where the weights came from, and which were not there.

    Raises:
        ConfigError: they cannot be had, or are those of another network.
        CheckpointError: no whole checkpoint lies there.
    """
    missing: tuple[str, ...] = ()
    if config.init == "none":
        return {}
    if config.init == "imagenet":
        load_imagenet(net, download_imagenet(config.network.backbone))
    elif config.init == "coco":
        load_coco(net, download_coco(config.network.backbone), config.seed)
    else:
        missing = load_from_run(net, Path(config.init))
    return {"init": config.init, "not_loaded": list(missing)}


def freeze(net: PersonSearchNet, config: FitConfig) -> None:
    """Stop the training of the first stages where published weights fill them."""
    if config.init in PRETRAINED:
        freeze_stem(net.trunk)
