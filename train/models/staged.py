"""Trunks and heads of VGG16, MobileNetV3-Large and ConvNeXt, cut at stride 16.

Each is torchvision's own network, taken apart: ``features`` up to stride 16 is the trunk, the
rest is the head that each task copies. Parameter names stay torchvision's.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.vgg import make_layers

VGG_POOL = 7
"""Rows and columns of the map that fc6 takes."""


def _scaled(channels: int, width: float) -> int:
    return max(8, round(channels * width))


_VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


class VGGTrunk(nn.Module):
    """conv1_1 .. conv5_3 of VGG16, without the fifth pooling: stride 16."""

    stem = tuple(f"features.{layer}" for layer in (0, 2, 5, 7))

    def __init__(self, _name: str, width: float = 1.0) -> None:
        super().__init__()
        layers = [c if isinstance(c, str) else _scaled(c, width) for c in _VGG16]
        self.features = make_layers(layers)
        self.channels = _scaled(512, width)
        _initialise(self)

    def forward(self, frames: Tensor) -> Tensor:
        features: Tensor = self.features(frames)
        return features


class VGGHead(nn.Module):
    """fc6 and fc7 on pooled boxes ``(N, C, 7k, 7l)`` to ``(N, 4096, 1, 1)``.

    A 14 x 7 map is max-pooled to 7 x 7 first, so that fc6 keeps the shape of the published one.
    The numbers 0 and 3 are torchvision's of fc6 and fc7.
    """

    def __init__(self, _name: str, width: float = 1.0) -> None:
        super().__init__()
        channels, hidden = _scaled(512, width), _scaled(4096, width)
        self.classifier = nn.ModuleDict(
            {
                "0": nn.Linear(channels * VGG_POOL * VGG_POOL, hidden),
                "3": nn.Linear(hidden, hidden),
            }
        )
        self.channels = hidden
        _initialise(self)

    def forward(self, pooled: Tensor) -> Tensor:
        kernel = (pooled.shape[2] // VGG_POOL, pooled.shape[3] // VGG_POOL)
        if kernel != (1, 1):
            pooled = max_pool2d(pooled, kernel)
        hidden = torch.relu(self.classifier["0"](pooled.flatten(1)))
        hidden = torch.relu(self.classifier["3"](hidden))
        return hidden[:, :, None, None]


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(part.bias)


# Howard et al., "Searching for MobileNetV3", Table 1: input, kernel, expanded, output channels,
# squeeze-and-excite, activation, stride.
_MOBILENET = (
    (16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1), (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)  # fmt: skip
_CONVNEXT = {
    "convnext_tiny": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "convnext_small": ((96, 192, 384, 768), (3, 3, 27, 3)),
    "convnext_base": ((128, 256, 512, 1024), (3, 3, 27, 3)),
}


def _mobilenet(_name: str, width: float) -> nn.Sequential:
    setting = [InvertedResidualConfig(*row, 1, width) for row in _MOBILENET]
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
    features: nn.Sequential = MobileNetV3(setting, 8, norm_layer=norm).features
    return features


def _convnext(name: str, width: float) -> nn.Sequential:
    channels, depths = _CONVNEXT[name]
    sizes = [_scaled(c, width) for c in channels]
    outputs = [*sizes[1:], None]
    setting = [CNBlockConfig(*row) for row in zip(sizes, outputs, depths, strict=True)]
    features: nn.Sequential = ConvNeXt(setting).features
    return features


class StagedTrunk(nn.Module):
    """``features[:cut]`` of a network: normalised frames to ``(B, C, H/16, W/16)``."""

    def __init__(self, layers: nn.Sequential, cut: int, stem: int) -> None:
        super().__init__()
        self.features = layers[:cut]
        self.stem = tuple(f"features.{layer}" for layer in range(stem))
        self.channels = out_channels(self.features)

    def forward(self, frames: Tensor) -> Tensor:
        features: Tensor = self.features(frames)
        return features


class StagedHead(nn.Module):
    """``features[cut:]`` on pooled boxes ``(N, C, h, w)`` to ``(N, C', h/2, w/2)``.

    Layers keep their numbers in the whole network, and so the names of its weights.
    """

    def __init__(self, layers: nn.Sequential, cut: int) -> None:
        super().__init__()
        numbered = {str(number): layer for number, layer in enumerate(layers) if number >= cut}
        self.features = nn.ModuleDict(numbered)
        self.channels = out_channels(self.features)

    def forward(self, pooled: Tensor) -> Tensor:
        for layer in self.features.values():
            pooled = layer(pooled)
        return pooled


def out_channels(layers: nn.Module) -> int:
    """Return the channels that leave a chain of layers: those of its last convolution."""
    # A ConvNeXt block ends in a linear layer, and leaves as many channels as its first
    # convolution takes; everywhere else the last convolution decides.
    last = [part for part in layers.modules() if isinstance(part, nn.Conv2d | nn.Linear)][-1]
    return last.out_channels if isinstance(last, nn.Conv2d) else last.out_features


CUTS: dict[str, tuple[Callable[[str, float], nn.Sequential], int, int]] = {
    "mobilenet_v3_large": (_mobilenet, 13, 4),
    "convnext_tiny": (_convnext, 6, 2),
    "convnext_small": (_convnext, 6, 2),
    "convnext_base": (_convnext, 6, 2),
}
"""Maker, number of layers in the trunk, number of layers that stay frozen when pretrained."""


def staged_trunk(name: str, width: float = 1.0) -> StagedTrunk:
    """Return the trunk of MobileNetV3-L or a ConvNeXt."""
    make, cut, stem = CUTS[name]
    return StagedTrunk(make(name, width), cut, stem)


def staged_head(name: str, width: float = 1.0) -> StagedHead:
    """Return the head of MobileNetV3-L or a ConvNeXt."""
    make, cut, _ = CUTS[name]
    return StagedHead(make(name, width), cut)
