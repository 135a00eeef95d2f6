"""An engine from published weights alone: a bundle that runs, and a run that trains on."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.bundle import open_bundle
from engines.compare import compare
from engines.engine import open_engine
from engines.errors import BundleError
from engines.values import Detections
from train.checkpoint import CHECKPOINT, load_checkpoint, load_network
from train.config import COCO_CLASSES, make_config
from train.errors import CheckpointError, ConfigError
from train.export import deployed
from train.initial import init_engine
from train.models.build import build_network
from train.models.network import PersonSearchNet
from train.pretrained import credits_of, load_from_run

LIGHT = "mobilenet_v3_large_fpn"
HW = (96, 160)


def weights_file(detector: ModuleType, backbone: str, path: Path) -> Path:
    torch.save(detector.random_weights(backbone), path)
    return path


@pytest.fixture(scope="module")
def made(detector: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle ``engine`` and the run ``run``, from one file of weights."""
    root = tmp_path_factory.mktemp("initial")
    file = weights_file(detector, LIGHT, root / "weights.pth")
    init_engine(
        root / "engine", backbone=LIGHT, input_hw=HW, seed=5, file=file, run=root / "run",
        command="as typed",
    )  # fmt: skip
    return root


def persons(net: PersonSearchNet, frames: Tensor) -> list[Detections]:
    with torch.no_grad():
        found = net.search(frames)
    counts = found.counts.tolist()
    return [
        Detections(*(part[row, :count].numpy() for part in found[:3]))
        for row, count in enumerate(counts)
    ]


def check_engine(bundle: Path, net: PersonSearchNet, frames: Tensor) -> None:
    """Hold a bundle in ONNX Runtime against the network as it is deployed."""
    pictures = [np.ascontiguousarray(f.permute(1, 2, 0).numpy()) for f in frames]
    with open_engine(bundle, threads=1) as engine:
        found = engine.detect(pictures, min_score=0.05)
        embedded = engine.embed(pictures[:1], [found[0].boxes[:4]])
    agreement = compare(found, persons(deployed(net), frames))
    assert agreement.matched > 10
    assert agreement.within(box_px=0.05, cosine=0.9999), agreement
    assert agreement.worst_score < 1e-3
    cosines = (embedded[0] * found[0].embeddings[:4]).sum(axis=1)
    assert cosines == pytest.approx(np.ones(4), abs=1e-4)


def test_the_bundle_finds_what_the_network_finds(made: Path, detector: ModuleType) -> None:
    net = load_network(load_checkpoint(made / "run" / CHECKPOINT))
    check_engine(made / "engine", net, detector.pictures(2, HW, seed=4))


def test_the_bundle_says_what_it_is(made: Path) -> None:
    manifest = open_bundle(made / "engine").manifest
    assert manifest.name == f"coco-{LIGHT}"
    assert manifest.input_hw == HW
    assert manifest.dataset == "COCO 2017 (detection)"
    assert manifest.training["reid"] == "untrained: a random projection"
    assert manifest.training["command"] == "as typed"
    assert manifest.training["iterations"] == 0
    (credit,) = manifest.attributions
    assert "COCO_V1, BSD-3-Clause, trained on COCO 2017" in credit


def test_a_training_can_start_from_the_run(made: Path) -> None:
    config = make_config("paper", data=(), out=made / "next", init=str(made / "run"), lr=0.01)
    assert config.network.backbone == LIGHT
    assert config.network.classes == COCO_CLASSES
    net = build_network(config.network)
    assert load_from_run(net, made / "run") == ()
    assert credits_of(config)[0] == f"weights of the run {made / 'run'}"
    assert "COCO 2017" in credits_of(config)[1]


def test_what_is_there_already_is_left_alone(made: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "no-file.pth"  # is not even looked at
    with pytest.raises(BundleError, match="the folder is not empty"):
        init_engine(made / "engine", backbone=LIGHT, input_hw=HW, file=nothing)
    with pytest.raises(CheckpointError, match="run holds a run already; name another folder"):
        init_engine(tmp_path / "e", backbone=LIGHT, input_hw=HW, file=nothing, run=made / "run")
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "imagenet"}, "weights 'imagenet' hold no detector"),
        ({"backbone": "resnet18"}, "no COCO weights of a detector on resnet18, only on mobilenet"),
        ({"input_hw": (100, 160)}, r"multiples of 16, got \(100, 160\)"),
    ],
)
def test_what_cannot_start_an_engine_is_said(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        init_engine(tmp_path / "e", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "e").exists()


def test_offline_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # nobody listens there
    with pytest.raises(ConfigError, match=r"cannot fetch .*fasterrcnn_resnet50_fpn_coco"):
        init_engine(tmp_path / "e", run=tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"torch"}


@pytest.mark.slow
def test_resnet_50_makes_an_engine_too(detector: ModuleType, tmp_path: Path) -> None:
    file = weights_file(detector, "resnet50_fpn", tmp_path / "weights.pth")
    init_engine(tmp_path / "e", input_hw=(256, 320), file=file, run=tmp_path / "run")
    net = load_network(load_checkpoint(tmp_path / "run" / CHECKPOINT))
    check_engine(tmp_path / "e", net, detector.pictures(2, (256, 320), seed=4))
