"""Published weights: every backbone takes torchvision's, by name and shape; COCO's detect."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from train.config import BACKBONES, COCO_CLASSES, make_config
from train.errors import ConfigError
from train.models.build import build_network
from train.models.fpn import PYRAMIDS
from train.models.fpn_net import PyramidNet
from train.models.network import PersonSearchNet
from train.pretrained import credits_of, load_coco, load_imagenet, project_at_random


def net_of(backbone: str, preset: str = "paper", **changes: Any) -> PersonSearchNet:
    config = make_config(preset, data=(), out=Path("o"), backbone=backbone, **changes)
    return build_network(config.network)


def classifier(backbone: str) -> nn.Module:
    """Return torchvision's ImageNet network of a backbone with random weights."""
    return get_model(backbone.removesuffix("_fpn"))  # type: ignore[no-any-return]


def parts(net: PersonSearchNet) -> dict[str, nn.Module]:
    """Return what ImageNet weights fill, each with what stands before its names there."""
    reid: Any = net.get_submodule("reid")
    if isinstance(net, PyramidNet):
        return {"trunk.body": net.trunk.body, "reid.head": reid.head}
    return {"trunk": net.trunk, "detection.head": net.detection.head, "reid.head": reid.head}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_takes_torchvisions_weights_by_name_and_shape(backbone: str) -> None:
    with torch.device("meta"):  # names and shapes alone: the largest has 89 million weights
        published = classifier(backbone).state_dict()
        net = net_of(backbone)
    load_imagenet(net, published)
    key = (
        next(
            k for k in published if k.endswith("weight") and k.startswith(("layer2", "features.4"))
        )
        if backbone != "vgg16"
        else "classifier.3.weight"
    )
    with pytest.raises(ConfigError, match=f"pretrained weight {key} has shape None, this network"):
        load_imagenet(net, {k: v for k, v in published.items() if k != key})


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_large", "mobilenet_v3_large_fpn"])
def test_imagenet_weights_fill_the_trunk_and_every_copy_of_the_head(backbone: str) -> None:
    torch.manual_seed(1)
    published = {k: v + 0.25 for k, v in classifier(backbone).state_dict().items()}
    net = net_of(backbone, frozen_norm=True)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    load_imagenet(net, published)
    for name, part in parts(net).items():
        prefix = str(getattr(part, "published", ""))
        for key, value in part.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                assert torch.equal(value, published[prefix + key]), f"{name}.{key}"
    for key in ("detection.logits.weight", "reid.linear.weight"):
        assert torch.equal(net.state_dict()[key], before[key])


def test_vggs_fully_connected_layers_become_both_heads() -> None:
    with torch.device("meta"):
        published = classifier("vgg16").state_dict()
        net = net_of("vgg16")
    reid: Any = net.get_submodule("reid")
    for head in (net.detection.head, reid.head):
        shapes = {k: v.shape for k, v in head.state_dict().items()}
        wanted = {f"classifier.{n}.{p}" for n in (0, 3) for p in ("weight", "bias")}
        assert shapes == {k: published[k].shape for k in wanted}


def test_a_narrow_network_has_no_published_weights() -> None:
    with pytest.raises(ConfigError, match=r"conv1.weight has shape .64, 3, 7, 7., this network"):
        load_imagenet(net_of("resnet18", width=0.5), classifier("resnet18").state_dict())


LIGHT = "mobilenet_v3_large_fpn"


@pytest.fixture(scope="module")
def published(detector: ModuleType) -> dict[str, Tensor]:
    state: dict[str, Tensor] = detector.random_weights(LIGHT)
    return state


def coco_net(backbone: str = LIGHT, **changes: Any) -> PersonSearchNet:
    torch.manual_seed(0)
    return net_of(backbone, init="coco", input_hw=(96, 160), proposals=64, **changes)


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names of the published files, which are older than the modules."""
    return {
        re.sub(r"(_blocks\.\d|rpn\.head\.conv)(\.0)?\.0\.", r"\1.", k): v for k, v in state.items()
    }


def test_the_names_of_the_published_files_are_known(published: dict[str, Tensor]) -> None:
    old = old_names(published)
    assert {"backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.weight"} < old.keys()
    new_net, old_net = coco_net(), coco_net()
    load_coco(new_net, published, seed=0)
    load_coco(old_net, old, seed=0)
    for key, value in new_net.state_dict().items():
        assert torch.equal(value, old_net.state_dict()[key]), key


@pytest.mark.parametrize("backbone", sorted(PYRAMIDS))
def test_every_weight_of_a_detector_is_used_but_other_classes_deltas(
    backbone: str, detector: ModuleType
) -> None:
    with torch.device("meta"):
        state = detector.MAKERS[backbone](weights=None, weights_backbone=None).state_dict()
        net = coco_net(backbone)
    whole = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    load_coco(net, whole, seed=0)
    for key in whole:
        without = {k: v for k, v in whole.items() if k != key}
        with pytest.raises(ConfigError, match=r"pretrained weight .* has shape None"):
            load_coco(net, without, seed=0)


def test_persons_deltas_and_the_last_layers_of_the_body_are_copied(
    published: dict[str, Tensor],
) -> None:
    net = coco_net()
    load_coco(net, published, seed=0)
    deltas = published["roi_heads.box_predictor.bbox_pred.weight"]
    assert torch.equal(net.detection.deltas.weight, deltas[4:8])
    head = net.get_submodule("reid.head").state_dict()
    own = {k: v for k, v in head.items() if not k.endswith("num_batches_tracked")}
    assert len(own) > 50
    for key, value in own.items():
        assert torch.equal(value, published[key.replace("features.", "backbone.body.")]), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 2}, r"detection.logits.weight has shape \(91, 1024\), this network .*\(2, "),
        ({"width": 0.5}, r"pretrained weight trunk.body.0.0.weight has shape \(16, 3, 3, 3\)"),
    ],
)
def test_a_network_that_coco_weights_do_not_fit_keeps_its_own(
    changes: dict[str, Any], message: str, published: dict[str, Tensor]
) -> None:
    net = coco_net(**changes)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ConfigError, match=message):
        load_coco(net, published, seed=0)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_backbone_without_coco_weights_is_named(published: dict[str, Tensor]) -> None:
    message = "no COCO weights of a detector on resnet18, only on mobilenet_v3_large_fpn, resnet50"
    with pytest.raises(ConfigError, match=message):
        load_coco(net_of("resnet18", "tiny"), published, seed=0)


@pytest.mark.parametrize("levels", ["head", "trunk+head"])
def test_an_untrained_embedding_is_an_orthogonal_projection_without_the_mean(levels: str) -> None:
    net = net_of(LIGHT, "tiny", reid_levels=levels, reid_rows=2, width=1.0)
    reid: Any = net.get_submodule("reid")
    project_at_random(reid, seed=3)
    layers = [reid.linear, *([reid.trunk_linear] if levels == "trunk+head" else [])]
    for layer in layers:
        rows = layer.weight.detach()
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), rtol=0, atol=1e-5)
        torch.testing.assert_close(rows.sum(dim=1), torch.zeros(len(rows)), rtol=0, atol=1e-4)
        assert not layer.bias.any()
    first = reid.linear.weight.detach().clone()
    project_at_random(reid, seed=3)
    assert torch.equal(reid.linear.weight, first)
    project_at_random(reid, seed=4)
    assert not torch.allclose(reid.linear.weight, first)


def test_whose_weights_a_run_started_from_is_said(tmp_path: Path) -> None:
    def credits_with(init: str, backbone: str = LIGHT) -> tuple[str, ...]:
        config = make_config("tiny", data=(), out=tmp_path, init=init, backbone=backbone)
        return credits_of(config)

    assert credits_with("none") == ()
    assert credits_with("imagenet", "resnet18") == (
        "torchvision ResNet18_Weights.IMAGENET1K_V1, BSD-3-Clause, trained on ImageNet-1K",
    )
    (coco,) = credits_with("coco")
    assert coco.startswith("torchvision FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1, BSD-3")
    assert "trained on COCO 2017" in coco
    assert credits_with(str(tmp_path / "gone")) == (f"weights of the run {tmp_path / 'gone'}",)


def test_the_classes_of_coco_are_those_of_the_published_weights(detector: ModuleType) -> None:
    from torchvision.models import get_weight

    for name in detector.WEIGHTS.values():
        categories = get_weight(name).meta["categories"]
        assert len(categories) == COCO_CLASSES
        assert categories[detector.PERSON] == "person"
