"""ResNet trunks (conv1 .. layer3, stride 16) and the layer4 heads that each task copies.

Parameter names are torchvision's, so that its ImageNet weights load by name. A width below 1
makes every stage narrower; such a trunk has no published weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from train.errors import ConfigError

STRIDE = 16
"""Input pixels per cell of the shared feature map."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """One ResNet: its block, blocks a stage, and torchvision's name of its weights."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]
    weights: str


BACKBONES = {
    "resnet18": BackboneSpec(BasicBlock, (2, 2, 2, 2), "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet50": BackboneSpec(Bottleneck, (3, 4, 6, 3), "ResNet50_Weights.IMAGENET1K_V1"),
}


def backbone_spec(name: str) -> BackboneSpec:
    """Return the spec of a backbone by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; there are {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]


def _stage(spec: BackboneSpec, index: int, width: float, inplanes: int) -> nn.Sequential:
    planes = max(8, round(64 * width)) * 2**index
    stride = 1 if index == 0 else 2
    outplanes = planes * spec.block.expansion
    blocks: list[nn.Module] = []
    for number in range(spec.depths[index]):
        first = number == 0
        changes = first and (stride != 1 or inplanes != outplanes)
        shortcut = _shortcut(inplanes, outplanes, stride) if changes else None
        blocks.append(spec.block(inplanes, planes, stride if first else 1, shortcut))
        inplanes = outplanes
    return nn.Sequential(*blocks)


def _shortcut(inplanes: int, outplanes: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inplanes, outplanes, 1, stride=stride, bias=False), nn.BatchNorm2d(outplanes)
    )


def stage_channels(spec: BackboneSpec, index: int, width: float) -> int:
    """Return the channels that come out of stage ``index`` (0..3 = layer1..layer4)."""
    return int(max(8, round(64 * width)) * 2**index * spec.block.expansion)


class ResNetTrunk(nn.Module):
    """conv1 .. layer3: normalised frames ``(B, 3, H, W)`` to ``(B, C, H/16, W/16)``."""

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        spec = backbone_spec(name)
        stem = max(8, round(64 * width))
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(spec, 0, width, stem)
        self.layer2 = _stage(spec, 1, width, stage_channels(spec, 0, width))
        self.layer3 = _stage(spec, 2, width, stage_channels(spec, 1, width))
        self.channels = stage_channels(spec, 2, width)
        _initialise(self)

    def forward(self, frames: Tensor) -> Tensor:
        stem = self.maxpool(self.relu(self.bn1(self.conv1(frames))))
        features: Tensor = self.layer3(self.layer2(self.layer1(stem)))
        return features


class ResNetHead(nn.Module):
    """layer4 on pooled boxes ``(N, C, h, w)`` to ``(N, C', h/2, w/2)``; one copy a task."""

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        spec = backbone_spec(name)
        self.layer4 = _stage(spec, 3, width, stage_channels(spec, 2, width))
        self.channels = stage_channels(spec, 3, width)
        _initialise(self)

    def forward(self, pooled: Tensor) -> Tensor:
        features: Tensor = self.layer4(pooled)
        return features


def _initialise(module: nn.Module) -> None:
    """Draw convolutions as He et al. (2015) and start every residual block as the identity."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, Bottleneck):
            nn.init.zeros_(part.bn3.weight)
        elif isinstance(part, BasicBlock):
            nn.init.zeros_(part.bn2.weight)


def freeze_stem(trunk: ResNetTrunk) -> None:
    """Freeze conv1 and layer1 and every batch normalisation, as pretrained training does."""
    for part in (trunk.conv1, trunk.bn1, trunk.layer1):
        part.requires_grad_(False)
    freeze_batch_norm(trunk)


def freeze_batch_norm(module: nn.Module) -> None:
    """Replace every BatchNorm2d below ``module`` by its frozen form, values kept."""
    for name, child in list(_children(module)):
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps)
            frozen.load_state_dict(
                {k: v for k, v in child.state_dict().items() if k != "num_batches_tracked"}
            )
            setattr(module, name, frozen)
        else:
            freeze_batch_norm(child)


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from module.named_children()
