"""Every network that can be trained becomes two graphs that compute what it computes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engines.bundle import open_bundle
from engines.compare import compare
from engines.engine import open_engine
from engines.lint import lint_graph
from engines.values import Detections
from train.checkpoint import (
    CHECKPOINT,
    Progress,
    load_checkpoint,
    load_network,
    save_checkpoint,
)
from train.config import BACKBONES, MODELS, make_config
from train.export import deployed, export_bundle
from train.losses.joint import IdentityLosses
from train.models.build import build_network
from train.models.network import Persons

QUICK = [
    ("i-net", "vgg16"),
    ("oim", "resnet34"),
    ("separate", "resnet18"),
    ("dc-i-net", "convnext_tiny"),
]
MAX_TIES = 1
"""Boxes in two frames that may be others of the very same score: which of them stays is chance."""
ALL = [
    (model, backbone)
    for model in MODELS
    for backbone in BACKBONES
    if model == "dc-i-net" or not backbone.endswith("_fpn")
]


def run_of(out: Path, model: str, **changes: object) -> Path:
    """Write the checkpoint of a network as it starts, with persons found everywhere.

    Its scores and proposals are spread: boxes around the middle of a cell hold the same features
    at any size, and equal scores have no order.
    """
    config = make_config("tiny", data=(Path("data"),), out=out, model=model, **changes)
    torch.manual_seed(0)
    net = build_network(config.network)
    with torch.no_grad():
        net.detection.logits.weight.mul_(20)
        for name, layer in net.rpn.named_modules():
            if name.endswith("deltas"):
                layer.weight.normal_(std=0.3)
    losses = IdentityLosses(config.loss, 5, config.network.dim)
    out.mkdir()
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    progress = Progress(iteration=0, identities=5, seconds=0.0)
    save_checkpoint(out / CHECKPOINT, config, net, losses, optimiser, progress)
    return out / CHECKPOINT


def detections(found: Persons) -> list[Detections]:
    return [
        Detections(*(part[row, : int(found.counts[row])].numpy() for part in found[:3]))
        for row in range(len(found.counts))
    ]


def elsewhere(found: list[Detections], wanted: list[Detections]) -> int:
    """Count the boxes that are not where the network has one, to 0.05 pixels."""
    return sum(
        int((np.abs(a.boxes[:, None] - b.boxes).max(axis=2).min(axis=1) > 0.05).sum())
        for a, b in zip(found, wanted, strict=True)
    )


def check_parity(checkpoint: Path, bundle: Path) -> None:
    export_bundle(checkpoint, bundle)
    for graph in ("search.onnx", "query.onnx"):
        assert lint_graph((bundle / graph).read_bytes()) == []
    net = deployed(load_network(load_checkpoint(checkpoint)))
    height, width = net.config.input_hw
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2)]
    batch = torch.from_numpy(np.stack([frame.transpose(2, 0, 1) for frame in frames]))
    with open_engine(bundle) as engine, torch.no_grad():
        found = engine.detect(frames, min_score=0.0)
        expected = detections(net.search(batch))
        boxes = torch.tensor([[8.0, 8.0, 40.0, 90.0], [50.0, 3.0, 159.0, 96.0]])
        embedded = engine.embed(frames, [boxes.numpy(), boxes.numpy()])
        wanted = net.query(batch, boxes.expand(2, 2, 4))
    for ours, its in zip(found, expected, strict=True):
        assert ours.scores == pytest.approx(its.scores, abs=1e-5)  # so only ties may differ
    agreement, moved = compare(found, expected), elsewhere(found, expected)
    assert agreement.matched > 4
    assert agreement.worst_cosine > 0.9999, agreement
    assert agreement.unmatched <= 2 * MAX_TIES, agreement
    assert moved <= MAX_TIES
    cosines = (np.stack(embedded) * wanted.numpy()).sum(axis=2)
    assert cosines.min() > 0.9999


@pytest.mark.parametrize(("model", "backbone"), QUICK)
def test_the_bundle_computes_what_the_network_computes(
    model: str, backbone: str, tmp_path: Path
) -> None:
    checkpoint = run_of(tmp_path / "run", model, backbone=backbone, reid_neck=True)
    check_parity(checkpoint, tmp_path / "bundle")
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.name == f"{model}-{backbone}"
    assert manifest.training["settings"]["network"]["model"] == model


def test_an_embedding_of_two_levels_and_stripes_is_exported_too(tmp_path: Path) -> None:
    checkpoint = run_of(
        tmp_path / "run", "dc-i-net", reid_levels="trunk+head", reid_pool="max", reid_rows=2,
        reid_neck=True, frozen_norm=True,
    )  # fmt: skip
    check_parity(checkpoint, tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "backbone"), ALL)
def test_every_combination_exports(model: str, backbone: str, tmp_path: Path) -> None:
    pyramid = {"input_hw": (96, 160)} if backbone.endswith("_fpn") else {}
    check_parity(run_of(tmp_path / "run", model, backbone=backbone, **pyramid), tmp_path / "bundle")
