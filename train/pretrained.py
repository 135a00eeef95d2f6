"""Start a network from weights that exist: torchvision's of ImageNet or COCO, or a checkpoint."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from train.checkpoint import CHECKPOINT, load_checkpoint
from train.config import COCO_CLASSES, PYRAMID_BACKBONES, FitConfig
from train.errors import ConfigError
from train.models.backbones import backbone_spec
from train.models.dcinet import ReidHead
from train.models.fpn import PyramidTrunk
from train.models.fpn_net import PyramidNet
from train.models.network import PersonSearchNet
from train.published import Tick, download

COCO_NAMES = (
    (r"\Abackbone\.body\.", "trunk.body."),
    (r"\Abackbone\.fpn\.(inner|layer)_blocks\.(\d)\.(?:0\.)?", r"trunk.fpn.\1_blocks.\2.0."),
    (r"\Arpn\.head\.conv\.(?:0\.0\.)?", "rpn.conv."),
    (r"\Arpn\.head\.cls_logits\.", "rpn.objectness."),
    (r"\Arpn\.head\.bbox_pred\.", "rpn.deltas."),
    (r"\Aroi_heads\.box_head\.", "detection.head."),
    (r"\Aroi_heads\.box_predictor\.cls_score\.", "detection.logits."),
    (r"\Aroi_heads\.box_predictor\.bbox_pred\.", "detection.deltas."),
)
"""Names in torchvision's detectors and ours. The published files are older than torchvision's
present modules, and lack some of the zeros that stand in their names today."""


def download_imagenet(backbone: str, tick: Tick | None = None) -> Mapping[str, Tensor]:
    """Return torchvision's ImageNet weights of a backbone; see `train.published.download`."""
    return download(backbone_spec(backbone).weights, tick)


def download_coco(backbone: str, tick: Tick | None = None) -> Mapping[str, Tensor]:
    """Return torchvision's COCO weights of a detector by our name of its backbone.

    Raises:
        ConfigError: they cannot be had, or there are none of this backbone.
    """
    name = backbone_spec(backbone).coco
    if name is None:
        raise _no_coco(backbone)
    return download(name, tick)


def load_imagenet(net: PersonSearchNet, weights: Mapping[str, Tensor]) -> None:
    """Copy ImageNet weights into the trunk and into every copy of the head.

    Raises:
        ConfigError: a weight is missing or has another shape (a width below 1 has none).
    """
    for part, prefix in _backbone_parts(net):
        _copy_all({prefix + key: value for key, value in _weights(part).items()}, weights)


def load_coco(net: PersonSearchNet, weights: Mapping[str, Tensor], seed: int) -> None:
    """Copy the weights of torchvision's COCO detector; re-identification starts untrained.

    The detection half then finds what torchvision's detector finds, its class ``person`` alone.
    The head of re-identification becomes a copy of the backbone's last layers, and the embedding
    a projection of its features that ``seed`` draws (`project_at_random`).

    Raises:
        ConfigError: the network has no such detector, or a weight is missing or has another
            shape (a width below 1 and another number of classes have none).
    """
    if not isinstance(net, PyramidNet):
        raise _no_coco(net.config.backbone)
    _copy_all(_detector_weights(net), _in_our_names(weights))
    body = net.trunk.body
    _copy_all(_weights(net.reid.head), {body.published + k: v for k, v in _weights(body).items()})
    project_at_random(net.reid, seed)


def project_at_random(reid: ReidHead, seed: int) -> None:
    """Make the embedding a random orthogonal projection of the pooled features.

    It keeps distances between features about as they are, so that clothes of clearly other
    colours tend to lie apart; it is no trained re-identification. All features of a network that
    ends in ReLU lie on one side of the origin: the projection leaves out their mean over the
    channels, which would make everyone alike.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in [part for part in reid.children() if isinstance(part, nn.Linear)]:
        noise = torch.randn(layer.in_features, layer.out_features, generator=generator)
        basis, _ = torch.linalg.qr(noise - noise.mean(dim=0))
        with torch.no_grad():
            layer.weight.copy_(basis.T)
            layer.bias.zero_()


def credits_of(config: FitConfig) -> tuple[str, ...]:
    """Return whose weights a run started from, in words; none where it drew its own.

    Raises:
        CheckpointError: it started from a run whose checkpoint is damaged.
    """
    spec = backbone_spec(config.network.backbone)
    if config.init == "none":
        return ()
    if config.init == "imagenet":
        return (f"torchvision {spec.weights}, BSD-3-Clause, trained on ImageNet-1K",)
    if config.init == "coco":
        return (
            f"torchvision {spec.coco}, BSD-3-Clause, trained on COCO 2017 "
            "(annotations: COCO Consortium, CC BY 4.0)",
        )
    path = _checkpoint_at(Path(config.init))
    before = credits_of(load_checkpoint(path).config) if path.exists() else ()
    return (f"weights of the run {config.init}", *before)


def _checkpoint_at(path: Path) -> Path:
    return path / CHECKPOINT if path.is_dir() else path


def _no_coco(backbone: str) -> ConfigError:
    return ConfigError(
        f"there are no COCO weights of a detector on {backbone}, only on "
        f"{', '.join(sorted(PYRAMID_BACKBONES))}"
    )


def _detector_weights(net: PyramidNet) -> dict[str, Tensor]:
    return {k: v for k, v in _weights(net).items() if not k.startswith("reid.")}


def _in_our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a detector's weights by our names; of its deltas, the person's alone."""
    found = {}
    for key, value in weights.items():
        for pattern, name in COCO_NAMES:
            ours, count = re.subn(pattern, name, key)
            if count:
                found[ours] = value
                break
    for key in ("detection.deltas.weight", "detection.deltas.bias"):
        if key in found and len(found[key]) == COCO_CLASSES * 4:
            found[key] = found[key][4:8]
    return found


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Return what published weights must hold for a module."""
    state: dict[str, Tensor] = module.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _copy_all(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Copy into tensors by name, after all of them were found to fit."""
    for key, value in wanted.items():
        shape = tuple(found[key].shape) if key in found else None
        if shape != value.shape:
            raise ConfigError(
                f"pretrained weight {key} has shape {shape}, this network wants "
                f"{tuple(value.shape)}"
            )
    for key, value in wanted.items():
        value.copy_(found[key])


def _backbone_parts(net: PersonSearchNet) -> Iterator[tuple[nn.Module, str]]:
    """Yield every piece of the backbone, and what published names have in front of its own."""
    if isinstance(net.trunk, PyramidTrunk):  # its box head is no piece of a backbone
        yield net.trunk.body, net.trunk.body.published
    else:
        yield net.trunk, ""
        yield net.detection.head, ""
    reid = getattr(net, "reid", None)
    for name in ("trunk", "head"):
        part = getattr(reid, name, None)
        if isinstance(part, nn.Module):
            yield part, ""


def load_from_run(net: PersonSearchNet, path: Path) -> tuple[str, ...]:
    """Copy the weights of a run or checkpoint that have the same name and shape.

    Returns:
        the names of the weights that stay as they were drawn, because the run has none of that
        shape (other anchors, another embedding).

    Raises:
        CheckpointError: no whole checkpoint lies there.
        ConfigError: the run's trunk is another.
    """
    saved = load_checkpoint(_checkpoint_at(path)).part("net")
    own = net.state_dict()
    fits = {k: v for k, v in saved.items() if k in own and own[k].shape == v.shape}
    if not all(k in fits for k in own if k.startswith("trunk.")):
        raise ConfigError(f"{path}: its trunk is not the {net.config.backbone} that is asked for")
    net.load_state_dict(own | fits)
    return tuple(k for k in own if k not in fits)
