"""A real run on a small rendered world: learns, resumes exactly, survives, exports."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.bundle import open_bundle
from engines.compare import compare
from engines.engine import open_engine
from engines.lint import lint_graph
from engines.values import Detections
from train.checkpoint import CHECKPOINT, load_checkpoint, load_network
from train.config import FitConfig, make_config
from train.errors import CheckpointError, ConfigError, DatasetError
from train.export import deployed, export_bundle
from train.fit import fit, learning_rate
from train.models.dcinet import DCINet, Persons
from train.pretrained import load_imagenet
from train.synthetic.world import WorldSpec
from train.synthetic.writer import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("worlds") / "world"
    spec = WorldSpec(
        cameras=2, people=8, seconds=20, fps=1, seed=5, width=320, height=180, split="train"
    )
    return write_world(out, spec, workers=1, annotate_every_s=1.0).root


def tiny(world: Path, out: Path, **changes: object) -> FitConfig:
    return make_config("tiny", data=(world,), out=out, augment=True, **changes)


@pytest.fixture(scope="module")
def trained(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return fit(tiny(world, out, iterations=8)).checkpoint


def test_a_broken_off_run_goes_on_to_the_same_weights(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    config = tiny(world, tmp_path / "run", iterations=8)
    seen = 0

    def stop() -> bool:
        nonlocal seen
        seen += 1
        return seen == 3

    assert fit(config, stop=stop).iterations == 3
    fit(config, resume=True)
    whole, resumed = load_checkpoint(trained), load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert resumed.iteration == whole.iteration == 8
    assert whole.tensors.keys() == resumed.tensors.keys()
    for key, value in whole.tensors.items():
        assert torch.equal(value, resumed.tensors[key]), key


def test_the_loss_of_a_small_world_falls(world: Path, tmp_path: Path) -> None:
    fit(tiny(world, tmp_path / "run", iterations=60, lr=0.002))
    lines = [json.loads(s) for s in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert lines[-1]["rpn_class"] < 0.9 * lines[0]["rpn_class"]


def test_another_run_in_the_folder_is_not_overwritten(world: Path, trained: Path) -> None:
    before = trained.read_bytes()
    with pytest.raises(ConfigError, match="holds a run already"):
        fit(tiny(world, trained.parent, iterations=8))
    assert trained.read_bytes() == before


def test_resuming_with_other_settings_names_them(world: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="other settings of: lr"):
        fit(tiny(world, trained.parent, iterations=9, lr=0.5), resume=True)


def test_a_cut_checkpoint_is_named(trained: Path, tmp_path: Path) -> None:
    cut = tmp_path / CHECKPOINT
    cut.write_bytes(trained.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors is not a whole checkpoint"):
        load_checkpoint(cut)


def test_a_world_without_training_frames_is_named(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        fit(tiny(tmp_path / "nowhere", tmp_path / "run"))


def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown training setting 'learning_rate'"):
        make_config("tiny", data=(), out=tmp_path, learning_rate=1)
    with pytest.raises(ConfigError, match="multiples of 16"):
        make_config("tiny", data=(), out=tmp_path, input_hw=(100, 160))


def test_learning_rates_warm_up_and_fall(tmp_path: Path) -> None:
    paper = make_config("paper", data=(), out=tmp_path)
    assert [learning_rate(paper, i) for i in (0, 39_999, 40_000)] == pytest.approx(
        [1e-3, 1e-3, 1e-4]
    )
    small = make_config("small", data=(), out=tmp_path)
    assert learning_rate(small, 0) == pytest.approx(small.lr / small.warmup)
    assert learning_rate(small, small.iterations - 1) == pytest.approx(small.lr * 0.01)


def _detections(persons: Persons, row: int) -> Detections:
    count = int(persons.counts[row])
    return Detections(
        persons.boxes[row, :count].numpy(),
        persons.scores[row, :count].numpy(),
        persons.embeddings[row, :count].numpy(),
    )


def test_the_bundle_computes_what_the_network_computes(trained: Path, tmp_path: Path) -> None:
    bundle = export_bundle(trained, tmp_path / "bundle")
    checkpoint = load_checkpoint(trained)
    net = deployed(load_network(checkpoint))
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (96, 160, 3), dtype=np.uint8) for _ in range(3)]
    with open_engine(bundle) as engine, torch.no_grad():
        found = engine.detect(frames, min_score=0.0)
        batch = torch.from_numpy(np.stack([f.transpose(2, 0, 1) for f in frames]))
        wanted = net.search(batch)
        embedded = engine.embed(frames[:1], [found[0].boxes])
    reference = [_detections(wanted, row) for row in range(len(frames))]
    agreement = compare(found, reference)
    assert agreement.matched > 0
    assert agreement.within(box_px=0.05, cosine=0.9999), agreement
    same = (embedded[0] * found[0].embeddings).sum(axis=1)
    assert same == pytest.approx(np.ones(len(same)), abs=1e-4)


def test_the_bundle_states_how_it_was_made_and_passes_the_graph_rules(
    trained: Path, world: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(export_bundle(trained, tmp_path / "bundle", metrics={"map": 0.5}))
    manifest = bundle.manifest
    assert manifest.preset == "tiny"
    assert manifest.training["iterations"] == 8
    assert manifest.training["seed"] == 0
    assert manifest.metrics == {"map": 0.5}
    for name in ("search.onnx", "query.onnx"):
        graph = (tmp_path / "bundle" / name).read_bytes()
        assert lint_graph(graph) == []
        assert str(Path.cwd()).encode() not in graph


def test_pretrained_weights_fill_the_trunk_and_both_heads(tmp_path: Path) -> None:
    from torchvision.models import get_model

    torch.manual_seed(1)
    weights = get_model("resnet18").state_dict()
    config = make_config("tiny", data=(), out=tmp_path, width=1.0).network
    net = DCINet(config, pretrained=True)
    load_imagenet(net, weights)
    for part in (net.trunk, net.detection.head, net.reid.head):
        for key, value in part.state_dict().items():
            if not key.endswith("batches_tracked"):
                assert torch.equal(value, weights[key]), key
    frozen = [n for n, p in net.trunk.named_parameters() if not p.requires_grad]
    assert frozen
    assert all(n.startswith(("conv1", "layer1")) for n in frozen)
    with pytest.raises(ConfigError, match="only width 1 has pretrained weights"):
        load_imagenet(DCINet(config.model_copy(update={"width": 0.5})), weights)
