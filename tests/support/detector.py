"""torchvision's Faster R-CNN with random weights that detect: no file is fetched.

Weights stand where training would have put them: batch normalisation knows its features, and
the heads' outputs spread such that some boxes are persons and some are not.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_weight
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
)

MAKERS = {
    "resnet50_fpn": fasterrcnn_resnet50_fpn,
    "mobilenet_v3_large_fpn": fasterrcnn_mobilenet_v3_large_fpn,
}
WEIGHTS = {
    "resnet50_fpn": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
    "mobilenet_v3_large_fpn": "FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1",
}
PERSON = 1
SEEN_HW = (256, 320)
"""Size of the picture that the weights were fitted to."""


def pictures(count: int, input_hw: tuple[int, int], seed: int = 0) -> Tensor:
    """Return uint8 RGB ``(count, 3, H, W)``: blocks of colour, noise on top."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, input_hw[0] // 16, input_hw[1] // 16), generator=generator)
    fine = torch.rand((count, 3, *input_hw), generator=generator)
    mixed = 0.7 * nn.functional.interpolate(coarse, size=input_hw, mode="nearest") + 0.3 * fine
    return (mixed * 255).to(torch.uint8)


@torch.no_grad()
def random_weights(backbone: str, seed: int = 0) -> dict[str, Tensor]:
    """Return a state of torchvision's detector on one of our pyramid backbones."""
    torch.manual_seed(seed)
    net = MAKERS[backbone](weights=None, weights_backbone=None)
    frames = _normalised(pictures(1, SEEN_HW, seed=100))
    _know_features(net.backbone, frames)
    levels = net.backbone.eval()(frames)
    hidden = torch.cat([net.rpn.head.conv(x).flatten(2) for x in levels.values()], dim=2)
    _spread(net.rpn.head.cls_logits, hidden[0].T, 2.0)
    _spread(net.rpn.head.bbox_pred, hidden[0].T, 0.3)
    corners = torch.rand(100, 2, 2).sort(dim=1).values
    boxes = (corners * torch.tensor(SEEN_HW[::-1])).flatten(1)
    pooled = net.roi_heads.box_roi_pool(levels, [boxes], [SEEN_HW])
    predictor, features = net.roi_heads.box_predictor, net.roi_heads.box_head(pooled)
    _spread(predictor.cls_score, features, 2.0)
    _spread(predictor.bbox_pred, features, 1.0)
    predictor.cls_score.bias[PERSON] += 4.0
    return {k: v.clone() for k, v in net.state_dict().items() if "num_batches" not in k}


def _normalised(frames: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (frames / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def _know_features(backbone: nn.Module, frames: Tensor) -> None:
    """Give every batch normalisation the mean and variance of what it sees.

    Some layers get features of a small scale, where it matters what is added to a variance.
    """
    for norm in _norms(backbone):
        norm.momentum = 1.0
        if isinstance(norm.weight, nn.Parameter):
            norm.weight.copy_(0.5 + torch.rand_like(norm.weight))
            norm.bias.copy_(0.2 * torch.randn_like(norm.bias))
    first = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d))
    first.weight *= 0.005 / first.weight.std()
    backbone.train()(frames)


def _norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def _spread(layer: nn.Module, features: Tensor, std: float) -> None:
    """Scale a layer such that each of its outputs has this standard deviation and mean 0."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    weight = layer.weight.flatten(1)
    values = features @ weight.T
    weight *= (std / values.std(dim=0))[:, None]
    assert layer.bias is not None
    layer.bias.copy_(-(features @ weight.T).mean(dim=0))


def reference(backbone: str, state: dict[str, Tensor], **settings: Any) -> nn.Module:
    """Return torchvision's detector as it loads its published file, with these weights in it.

    The file lies in torch's cache (TORCH_HOME, which must be empty), and torchvision does not
    check the hash of what lies there.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    weights = get_weight(WEIGHTS[backbone])
    torch.save(state, folder / weights.url.rpartition("/")[2])
    net: nn.Module = MAKERS[backbone](weights=weights, **settings)
    return net.eval()
