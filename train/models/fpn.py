"""Backbones with a feature pyramid, as torchvision's Faster R-CNN has them.

Lin et al., "Feature Pyramid Networks", CVPR 2017. Below ``body`` parameters bear the names of
torchvision's detector, below ``fpn`` too, so that its COCO weights load by name. A width below 1
makes everything narrower; such a trunk has no published weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from train.models.resnet import ResNetHead, ResNetTrunk
from train.models.staged import CUTS, StagedHead, out_channels

RATIOS = (0.5, 1.0, 2.0)
"""Height / width of the anchors on every level (torchvision)."""


@dataclass(frozen=True, slots=True)
class PyramidSpec:
    """One pyramid: which layers it stands on, and the anchors and RoIs of its levels.

    ``taps`` are the layers below the pyramid, ``strides`` theirs; ``shared`` is the layer of
    stride 16 that re-identification looks at. ``sizes`` are the anchors of each level, of which
    there is one more than taps. RoIs are pooled from the first ``pooled`` levels.
    """

    base: str
    taps: tuple[str, ...]
    strides: tuple[int, ...]
    shared: str
    stem: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]
    pooled: int


PYRAMIDS = {
    "resnet50_fpn": PyramidSpec(
        "resnet50",
        taps=("layer1", "layer2", "layer3", "layer4"),
        strides=(4, 8, 16, 32),
        shared="layer3",
        stem=("body.conv1", "body.bn1", "body.layer1"),
        sizes=((32,), (64,), (128,), (256,), (512,)),
        pooled=4,
    ),
    "mobilenet_v3_large_fpn": PyramidSpec(
        "mobilenet_v3_large",
        taps=("13", "16"),
        strides=(32, 32),
        shared="12",
        stem=tuple(f"body.{layer}" for layer in range(7)),
        sizes=((32, 64, 128, 256, 512),) * 3,
        # Both of its levels have stride 32, so that Eq. 1 puts every box on the first.
        pooled=1,
    ),
}


class Pyramid(NamedTuple):
    """The shared map ``(B, C, H/16, W/16)`` and the levels ``(B, C', h, w)``, finest first."""

    shared: Tensor
    levels: tuple[Tensor, ...]


class Body(nn.Module):
    """A whole backbone that gives what comes out of each of its layers.

    ``published`` stands in front of its parameters' names in the ImageNet weights.
    """

    def __init__(self, layers: Iterable[tuple[str, nn.Module]], published: str) -> None:
        super().__init__()
        for name, layer in layers:
            self.add_module(name, layer)
        self.published = published

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        maps, features = {}, frames
        for name, layer in self.named_children():
            features = layer(features)
            maps[name] = features
        return maps


def _make_body(base: str, width: float) -> Body:
    if base in CUTS:
        make, _, _ = CUTS[base]
        return Body(make(base, width).named_children(), "features.")
    trunk, head = ResNetTrunk(base, width), ResNetHead(base, width)
    return Body((*trunk.named_children(), *head.named_children()), "")


class PyramidTrunk(nn.Module):
    """Normalised frames ``(B, 3, H, W)``, sides multiples of 32, to a `Pyramid`."""

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        self.spec = PYRAMIDS[name]
        self.stem = self.spec.stem
        self.body = _make_body(self.spec.base, width)
        taps = [out_channels(self.body.get_submodule(tap)) for tap in self.spec.taps]
        self.channels = out_channels(self.body.get_submodule(self.spec.shared))
        self.level_channels = _scaled(256, width)
        self.fpn = FeaturePyramidNetwork(taps, self.level_channels, LastLevelMaxPool())

    def forward(self, frames: Tensor) -> Pyramid:
        maps = self.body(frames)
        levels = self.fpn({tap: maps[tap] for tap in self.spec.taps})
        return Pyramid(maps[self.spec.shared], tuple(levels.values()))


def pyramid_head(name: str, width: float = 1.0) -> nn.Module:
    """Return the backbone's layers behind the shared map, for re-identification alone."""
    base = PYRAMIDS[name].base
    if base in CUTS:
        make, cut, _ = CUTS[base]
        return StagedHead(make(base, width), cut)
    return ResNetHead(base, width)


class BoxHead(nn.Module):
    """fc6 and fc7 on pooled boxes ``(N, C, 7, 7)`` to ``(N, 1024, 1, 1)``: TwoMLPHead."""

    def __init__(self, _name: str, width: float = 1.0) -> None:
        super().__init__()
        self.channels = _scaled(1024, width)
        self.fc6 = nn.Linear(_scaled(256, width) * 7 * 7, self.channels)
        self.fc7 = nn.Linear(self.channels, self.channels)

    def forward(self, pooled: Tensor) -> Tensor:
        hidden = torch.relu(self.fc6(pooled.flatten(1)))
        hidden = torch.relu(self.fc7(hidden))
        return hidden[:, :, None, None]


def pyramid_anchors(name: str, input_hw: tuple[int, int]) -> list[Tensor]:
    """Return torchvision's anchors of each level ``(h*w*A, 4)``, cell by cell.

    They are centred on the cells' corners and rounded to whole pixels, and the stride of a
    level is what the input's side holds of its cells, without the remainder.
    """
    spec = PYRAMIDS[name]
    grids = [[side // stride for side in input_hw] for stride in spec.strides]
    grids.append([-(-side // 2) for side in grids[-1]])
    strides = [
        [torch.tensor(input_hw[axis] // grid[axis], device="cpu") for axis in (0, 1)]
        for grid in grids
    ]
    generator = AnchorGenerator(spec.sizes, (RATIOS,) * len(spec.sizes))
    anchors: list[Tensor] = generator.grid_anchors(grids, strides)
    return anchors


def _scaled(channels: int, width: float) -> int:
    return max(8, round(channels * width))
