"""All backbones by name, each a trunk of stride 16 and a head that every task copies.

Parameter names are torchvision's, so that its published weights load by name. A width below 1
makes every stage narrower; such a trunk has no published weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from train.errors import ConfigError
from train.models.fpn import BoxHead, PyramidTrunk, pyramid_head
from train.models.resnet import ResNetHead, ResNetTrunk
from train.models.staged import VGGHead, VGGTrunk, staged_head, staged_trunk

STRIDE = 16
"""Input pixels per cell of the shared feature map."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """How to make a trunk and a head of a width, and torchvision's name of their weights.

    ``box_head`` is the head of the detection where it is no copy of the backbone's; ``coco``
    names weights of a whole detector, whose batch normalisation was frozen with ``frozen_eps``.
    """

    trunk: Callable[[str, float], nn.Module]
    head: Callable[[str, float], nn.Module]
    weights: str
    box_head: Callable[[str, float], nn.Module] | None = None
    coco: str | None = None
    frozen_eps: float | None = None


SPECS = {
    "resnet18": BackboneSpec(ResNetTrunk, ResNetHead, "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet34": BackboneSpec(ResNetTrunk, ResNetHead, "ResNet34_Weights.IMAGENET1K_V1"),
    "resnet50": BackboneSpec(ResNetTrunk, ResNetHead, "ResNet50_Weights.IMAGENET1K_V1"),
    "vgg16": BackboneSpec(VGGTrunk, VGGHead, "VGG16_Weights.IMAGENET1K_V1"),
    "mobilenet_v3_large": BackboneSpec(
        staged_trunk, staged_head, "MobileNet_V3_Large_Weights.IMAGENET1K_V2"
    ),
    "convnext_tiny": BackboneSpec(staged_trunk, staged_head, "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"),
    "convnext_small": BackboneSpec(
        staged_trunk, staged_head, "ConvNeXt_Small_Weights.IMAGENET1K_V1"
    ),
    "convnext_base": BackboneSpec(staged_trunk, staged_head, "ConvNeXt_Base_Weights.IMAGENET1K_V1"),
    "resnet50_fpn": BackboneSpec(
        PyramidTrunk,
        pyramid_head,
        "ResNet50_Weights.IMAGENET1K_V1",
        BoxHead,
        coco="FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
        frozen_eps=0.0,
    ),
    "mobilenet_v3_large_fpn": BackboneSpec(
        PyramidTrunk,
        pyramid_head,
        "MobileNet_V3_Large_Weights.IMAGENET1K_V2",
        BoxHead,
        coco="FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1",
        frozen_eps=1e-5,
    ),
}


def backbone_spec(name: str) -> BackboneSpec:
    """Return the spec of a backbone by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SPECS:
        raise ConfigError(f"unknown backbone {name!r}; there are {', '.join(SPECS)}")
    return SPECS[name]


def make_trunk(name: str, width: float, *, frozen_norm: bool = False) -> nn.Module:
    """Return a trunk; it has ``channels`` and the names of its ``stem``."""
    spec = backbone_spec(name)
    trunk = spec.trunk(name, width)
    if frozen_norm:
        freeze_batch_norm(trunk, spec.frozen_eps)
    return trunk


def make_head(name: str, width: float) -> nn.Module:
    """Return a head; it has ``channels``."""
    return backbone_spec(name).head(name, width)


def make_box_head(name: str, width: float) -> nn.Module:
    """Return the head of the detection, most often a copy of `make_head`'s."""
    spec = backbone_spec(name)
    return (spec.box_head or spec.head)(name, width)


def freeze_stem(trunk: nn.Module) -> None:
    """Stop the training of a trunk's first stages, as training from published weights does."""
    stem = trunk.stem
    assert isinstance(stem, tuple)
    for name in stem:
        trunk.get_submodule(name).requires_grad_(False)


def freeze_batch_norm(module: nn.Module, eps: float | None = None) -> None:
    """Replace every BatchNorm2d below ``module`` by its frozen form, values kept.

    ``eps`` is added to the variances in place of the layer's own.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps if eps is None else eps)
            frozen.load_state_dict(
                {k: v for k, v in child.state_dict().items() if k != "num_batches_tracked"}
            )
            setattr(module, name, frozen)
        else:
            freeze_batch_norm(child, eps)
