"""The pyramid network against torchvision's Faster R-CNN: same weights, same boxes and scores."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from train.config import COCO_CLASSES, FitConfig, make_config
from train.errors import ConfigError
from train.losses.joint import IdentityLosses
from train.models.backbones import freeze_stem
from train.models.build import build_network
from train.models.fpn import PYRAMIDS, pyramid_anchors
from train.models.fpn_net import PyramidNet
from train.models.fpn_pool import level_of, pyramid_align
from train.models.losses import total_loss, training_losses
from train.models.network import PersonSearchNet
from train.models.targets import UNLABELLED, stack_targets
from train.pretrained import load_coco

HW = (256, 320)
STRIDES = (4, 8, 16, 32)


def config_of(preset: str, **changes: Any) -> FitConfig:
    return make_config(preset, data=(), out=Path("o"), **changes)


def odd_boxes(count: int, seed: int = 0) -> Tensor:
    """Return boxes ``(2, count, 4)``: any size, lines, less than a cell, at the very edges."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((2, count, 2, 2), generator=generator).sort(dim=2).values
    boxes = corners.flatten(2) * torch.tensor([320.0, 256.0, 320.0, 256.0])
    boxes[:, 0] = torch.tensor([0.0, 0.0, 320.0, 256.0])
    boxes[:, 1] = torch.tensor([319.5, 255.0, 320.0, 256.0])
    boxes[:, 2] = torch.tensor([0.0, 0.0, 0.3, 200.0])
    boxes[:, 3] = torch.tensor([10.0, 20.0, 122.0, 132.0])  # 112 px: where a level begins
    return boxes


def test_a_box_is_pooled_as_torchvision_pools_it() -> None:
    torch.manual_seed(0)
    levels = [torch.randn(2, 6, HW[0] // stride, HW[1] // stride) for stride in STRIDES]
    boxes = odd_boxes(60)
    named = {str(number): level for number, level in enumerate(levels)}
    pool = MultiScaleRoIAlign(list(named), 7, 2)
    wanted = pool(named, list(boxes), [HW, HW])
    torch.testing.assert_close(pyramid_align(levels, boxes, (7, 7), STRIDES), wanted,
                               rtol=0, atol=1e-4)  # fmt: skip


def test_a_box_goes_to_the_level_of_its_size() -> None:
    sides = torch.tensor([1.0, 111.9, 112.0, 223.9, 224.0, 447.0, 448.0, 3000.0])
    boxes = torch.stack([torch.zeros(8), torch.zeros(8), sides, sides], dim=1)
    found = level_of(boxes, STRIDES)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.tolist() == LevelMapper(2, 5)([boxes]).tolist()
    random = odd_boxes(500).flatten(0, 1)
    assert level_of(random, STRIDES).tolist() == LevelMapper(2, 5)([random]).tolist()


def test_a_pooled_box_passes_its_gradient_to_its_own_level_alone() -> None:
    levels = [torch.zeros(1, 2, HW[0] // s, HW[1] // s, requires_grad=True) for s in STRIDES]
    boxes = torch.tensor([[[20.0, 20.0, 180.0, 180.0]]])  # 160 px: the second level
    pyramid_align(levels, boxes, (7, 7), STRIDES).sum().backward()
    touched = [level.grad is not None and bool(level.grad.any()) for level in levels]
    assert touched == [False, True, False, False]


@pytest.mark.parametrize("backbone", sorted(PYRAMIDS))
def test_anchors_are_torchvisions_also_where_a_side_does_not_divide(
    backbone: str, detector: ModuleType
) -> None:
    input_hw = (96, 608)
    with torch.device("meta"):
        whole = detector.MAKERS[backbone](weights=None, weights_backbone=None)
    own = pyramid_anchors(backbone, input_hw)
    spec = PYRAMIDS[backbone]
    grids = [(input_hw[0] // s, input_hw[1] // s) for s in spec.strides]
    grids.append((-(-grids[-1][0] // 2), -(-grids[-1][1] // 2)))
    maps = [torch.zeros(1, 1, *grid) for grid in grids]
    images = ImageList(torch.zeros(1, 3, *input_hw), [input_hw])
    (wanted,) = whole.rpn.anchor_generator(images, maps)
    assert torch.equal(torch.cat(own), wanted)


def loaded(detector: ModuleType, backbone: str, **changes: Any) -> tuple[PersonSearchNet, Any]:
    """Return our network and torchvision's with the same random weights."""
    state = detector.random_weights(backbone)
    settings = {"rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 120}
    theirs = detector.reference(backbone, state, box_detections_per_img=10_000, **settings)
    config = config_of(
        "paper", init="coco", backbone=backbone, input_hw=HW, pre_nms=150, proposals=120,
        max_persons=120, nms=0.5, **changes,
    )  # fmt: skip
    net = build_network(config.network).eval()
    load_coco(net, state, seed=0)
    return net, theirs


def persons_of(theirs: nn.Module, pixels: Tensor) -> list[dict[str, Tensor]]:
    """Return what torchvision's detector finds in normalised frames, its persons alone."""
    features = theirs.backbone(pixels)
    images = ImageList(pixels, [HW] * len(pixels))
    proposals, _ = theirs.rpn(images, features)
    found, _ = theirs.roi_heads(features, proposals, images.image_sizes)
    return [{k: v[f["labels"] == 1] for k, v in f.items()} for f in found]


@pytest.mark.parametrize("backbone", sorted(PYRAMIDS))
@torch.no_grad()
def test_persons_are_those_that_torchvisions_detector_finds(
    backbone: str, detector: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net, theirs = loaded(detector, backbone)
    frames = detector.pictures(2, HW, seed=3)
    wanted = persons_of(theirs, net.normalise(frames))
    found = net.search(frames)
    for row, persons in enumerate(wanted):
        count = int(found.counts[row])
        assert count == len(persons["scores"]) > 10
        scores, order = persons["scores"].sort(descending=True, stable=True)
        torch.testing.assert_close(found.scores[row, :count], scores, rtol=0, atol=1e-4)
        boxes = persons["boxes"][order]
        torch.testing.assert_close(found.boxes[row, :count], boxes, rtol=0, atol=1e-3)
        norms = found.embeddings[row, :count].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(count))
    assert 0.4 < float(found.scores.max()) < 0.9999  # not all or nothing


@torch.no_grad()
def test_frames_are_normalised_as_torchvision_does(detector: ModuleType) -> None:
    whole = detector.MAKERS["mobilenet_v3_large_fpn"](
        weights=None, weights_backbone=None, min_size=HW[0], max_size=HW[1]
    )
    net = tiny_net("mobilenet_v3_large_fpn")[0]
    frames = detector.pictures(2, HW)
    images, _ = whole.transform([frame / 255 for frame in frames])
    torch.testing.assert_close(net.normalise(frames), images.tensors, rtol=0, atol=1e-6)


def tiny_net(backbone: str, **changes: Any) -> tuple[PyramidNet, FitConfig]:
    config = config_of("tiny", backbone=backbone, **changes)
    torch.manual_seed(0)
    net = build_network(config.network)
    assert isinstance(net, PyramidNet)
    return net, config


@pytest.mark.parametrize("backbone", sorted(PYRAMIDS))
@torch.no_grad()
def test_a_frame_alone_gives_what_it_gives_in_a_batch(backbone: str, detector: ModuleType) -> None:
    net = tiny_net(backbone)[0].eval()
    frames = detector.pictures(3, (96, 160))
    together = net.search(frames)
    for row in range(3):
        alone = net.search(frames[row : row + 1])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backbone", sorted(PYRAMIDS))
def test_a_frozen_stem_and_norm_do_not_train(backbone: str) -> None:
    trunk = tiny_net(backbone, frozen_norm=True)[0].trunk
    assert not any(isinstance(part, nn.BatchNorm2d) for part in trunk.modules())
    freeze_stem(trunk)
    frozen = {name.split(".")[1] for name, p in trunk.named_parameters() if not p.requires_grad}
    trained = {name.split(".")[1] for name, p in trunk.named_parameters() if p.requires_grad}
    assert frozen
    assert not frozen & trained
    assert {"inner_blocks", "layer_blocks"} < trained


def test_the_person_among_91_classes_is_learnt(detector: ModuleType) -> None:
    net, config = tiny_net("resnet50_fpn", classes=COCO_CLASSES, losses="none")
    assert net.detection.logits.out_features == COCO_CLASSES
    losses = IdentityLosses(config.loss, 2, config.network.dim)
    boxes = torch.tensor([[20.0, 10.0, 60.0, 90.0]])
    targets = stack_targets([boxes], [torch.tensor([UNLABELLED])])
    frames = detector.pictures(1, (96, 160))
    frames[0, :, 10:90, 20:60] = torch.tensor([250, 10, 10])[:, None, None]
    optimiser = torch.optim.Adam(net.parameters(), lr=0.002)
    course = []
    for _ in range(12):
        generator = torch.Generator().manual_seed(0)
        terms = training_losses(net.train(), losses, frames, targets, generator)
        total = total_loss(terms, config.loss)
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        course.append(float(terms["person_class"].detach()))
    assert course[-1] < 0.3 * course[0], course


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "oim"}, "backbone resnet50_fpn is for model dc-i-net, not oim"),
        ({"input_hw": (96, 176)}, r"multiples of 32 for resnet50_fpn, got \(96, 176\)"),
        ({"detection_pool_hw": (14, 14)}, r"detection_pool_hw must be \(7, 7\)"),
    ],
)
def test_what_a_pyramid_cannot_be_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of("tiny", backbone="resnet50_fpn", **changes)


def test_more_proposals_than_anchors_are_refused() -> None:
    config = config_of(
        "tiny", backbone="mobilenet_v3_large_fpn", input_hw=(32, 32), pre_nms=64, proposals=64
    )
    with pytest.raises(ConfigError, match=r"input of \(32, 32\) has 45 anchors, too few for 64"):
        build_network(config.network)


def test_coco_chooses_the_network_that_its_weights_fit() -> None:
    paper, small = (config_of(p, init="coco").network for p in ("paper", "small"))
    assert (paper.backbone, small.backbone) == ("resnet50_fpn", "mobilenet_v3_large_fpn")
    assert paper.width == small.width == 1.0
    assert paper.classes == small.classes == COCO_CLASSES
    assert paper.frozen_norm
    assert small.frozen_norm
    named = config_of("paper", init="coco", backbone="mobilenet_v3_large_fpn", proposals=64)
    assert (named.network.backbone, named.network.proposals) == ("mobilenet_v3_large_fpn", 64)
