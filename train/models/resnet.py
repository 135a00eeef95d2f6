"""ResNet trunks (conv1 .. layer3, stride 16) and the layer4 heads that each task copies."""

from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck


@dataclass(frozen=True, slots=True)
class ResNetSpec:
    """One ResNet: its block, and the blocks of each stage."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]


RESNETS = {
    "resnet18": ResNetSpec(BasicBlock, (2, 2, 2, 2)),
    "resnet34": ResNetSpec(BasicBlock, (3, 4, 6, 3)),
    "resnet50": ResNetSpec(Bottleneck, (3, 4, 6, 3)),
}


def _stage(spec: ResNetSpec, index: int, width: float, inplanes: int) -> nn.Sequential:
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


def _channels(spec: ResNetSpec, index: int, width: float) -> int:
    """Return the channels that come out of stage ``index`` (0..3 = layer1..layer4)."""
    return int(max(8, round(64 * width)) * 2**index * spec.block.expansion)


class ResNetTrunk(nn.Module):
    """conv1 .. layer3: normalised frames ``(B, 3, H, W)`` to ``(B, C, H/16, W/16)``."""

    stem = ("conv1", "bn1", "layer1")
    """The parts that do not train when they start from published weights."""

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        spec = RESNETS[name]
        stem = max(8, round(64 * width))
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(spec, 0, width, stem)
        self.layer2 = _stage(spec, 1, width, _channels(spec, 0, width))
        self.layer3 = _stage(spec, 2, width, _channels(spec, 1, width))
        self.channels = _channels(spec, 2, width)
        _initialise(self)

    def forward(self, frames: Tensor) -> Tensor:
        stem = self.maxpool(self.relu(self.bn1(self.conv1(frames))))
        features: Tensor = self.layer3(self.layer2(self.layer1(stem)))
        return features


class ResNetHead(nn.Module):
    """layer4 on pooled boxes ``(N, C, h, w)`` to ``(N, C', h/2, w/2)``; one copy a task."""

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        spec = RESNETS[name]
        self.layer4 = _stage(spec, 3, width, _channels(spec, 2, width))
        self.channels = _channels(spec, 3, width)
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
