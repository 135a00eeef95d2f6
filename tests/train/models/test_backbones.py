"""Trunks and heads: torchvision's names and shapes, stride 16, what stays frozen."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.ops import FrozenBatchNorm2d

from train.errors import ConfigError
from train.models.backbones import SPECS, STRIDE, freeze_stem, make_head, make_trunk

PLAIN = sorted(name for name in SPECS if not name.endswith("_fpn"))
"""Those of one map; pyramids have tests of their own."""


def shapes(part: nn.Module) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in part.state_dict().items()}


@pytest.mark.parametrize("name", PLAIN)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        published = shapes(get_model(name))
        trunk, head = shapes(make_trunk(name, 1.0)), shapes(make_head(name, 1.0))
    assert trunk.items() <= published.items()
    assert head.items() <= published.items()
    assert not trunk.keys() & head.keys()
    rest = published.keys() - trunk.keys() - head.keys()
    assert all(key.startswith(("fc.", "classifier.")) for key in rest)


@pytest.mark.parametrize("name", PLAIN)
def test_a_trunk_has_stride_16_and_a_head_takes_its_channels(name: str) -> None:
    trunk, head = make_trunk(name, 0.125), make_head(name, 0.125)
    features: Tensor = trunk(torch.zeros(1, 3, 96, 160))
    assert features.shape == (1, trunk.channels, 96 // STRIDE, 160 // STRIDE)
    out: Tensor = head(torch.zeros(3, features.shape[1], 14, 7))
    assert out.shape[:2] == (3, head.channels)


@pytest.mark.parametrize("name", PLAIN)
def test_a_trunk_computes_what_torchvisions_network_does_at_stride_16(name: str) -> None:
    torch.manual_seed(0)
    whole = get_model(name).eval()
    trunk = make_trunk(name, 1.0).eval()
    kept = {k: v for k, v in whole.state_dict().items() if k in trunk.state_dict()}
    trunk.load_state_dict(kept)
    seen: list[Tensor] = []
    layer = whole.layer3 if name.startswith("resnet") else whole.features[len(trunk.features) - 1]
    layer.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole(frame)
        torch.testing.assert_close(trunk(frame), seen[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_a_frozen_stem_and_norm_do_not_train(name: str) -> None:
    trunk = make_trunk(name, 0.125, frozen_norm=True)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in trunk.modules())
    freeze_stem(trunk)
    still = [n for n, p in trunk.named_parameters() if not p.requires_grad]
    first, last = next(iter(trunk.named_parameters()))[0], list(trunk.named_parameters())[-1][0]
    assert first in still
    assert last not in still


def test_frozen_norm_keeps_what_it_computes() -> None:
    torch.manual_seed(0)
    free = make_trunk("resnet18", 0.125)
    frozen = make_trunk("resnet18", 0.125, frozen_norm=True)
    frozen.load_state_dict(free.state_dict(), strict=False)
    assert any(isinstance(part, FrozenBatchNorm2d) for part in frozen.modules())
    frames = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(frozen(frames), free.eval()(frames))


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown backbone 'vgg99'; there are resnet18, resnet34"):
        make_trunk("vgg99", 1.0)
