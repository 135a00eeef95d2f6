"""A torch network as an engine answers as its exported bundle does."""

from pathlib import Path

import numpy as np
import pytest

from engines.compare import compare
from engines.engine import open_engine
from engines.errors import InferenceError
from train.checkpoint import load_checkpoint, load_network
from train.config import make_config
from train.evaluation.embed import read_frame
from train.evaluation.network import NetworkEngine, weights_id
from train.export import deployed, export_bundle
from train.fit import fit


@pytest.fixture(scope="module")
def checkpoint(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return fit(make_config("tiny", data=(site,), out=out, iterations=4)).checkpoint


def frames(site: Path, count: int) -> list[np.ndarray]:
    return [read_frame(path) for path in sorted((site / "frames").iterdir())[:count]]


def test_it_answers_as_the_bundle_of_the_same_network(
    site: Path, checkpoint: Path, tmp_path: Path
) -> None:
    pictures = frames(site, 3)
    boxes = [np.array([[8, 8, 90, 150], [50, 3, 300, 170]], np.float32)] * 3
    net = deployed(load_network(load_checkpoint(checkpoint)))
    bundle = export_bundle(checkpoint, tmp_path / "bundle")
    with NetworkEngine(net, max_batch=2) as ours, open_engine(bundle) as theirs:
        found, wanted = (e.detect(pictures, min_score=0.0) for e in (ours, theirs))
        agreement = compare(found, wanted)
        embedded, expected = (np.stack(e.embed(pictures, boxes)) for e in (ours, theirs))
        assert ours.info.input_hw == theirs.info.input_hw
        assert ours.info.max_persons == theirs.info.max_persons
    assert agreement.matched > 3
    assert agreement.within(box_px=0.1, cosine=0.9999), agreement
    assert (embedded * expected).sum(axis=2).min() > 0.9999


def test_a_frame_gets_the_same_answer_alone_and_in_company(site: Path, checkpoint: Path) -> None:
    pictures = frames(site, 5)
    with NetworkEngine(load_network(load_checkpoint(checkpoint)), max_batch=4) as engine:
        together = engine.detect(pictures, min_score=0.0)
        alone = [engine.detect([picture], min_score=0.0)[0] for picture in pictures]
    assert compare(together, alone).within(box_px=0.01, cosine=0.99999)


def test_a_closed_engine_says_so(checkpoint: Path) -> None:
    engine = NetworkEngine(load_network(load_checkpoint(checkpoint)), name="mine")
    engine.close()
    with pytest.raises(InferenceError, match="engine mine is closed"):
        engine.detect([np.zeros((8, 8, 3), np.uint8)])


def test_the_id_follows_every_weight(checkpoint: Path) -> None:
    net = load_network(load_checkpoint(checkpoint))
    before = weights_id(net)
    assert before == weights_id(load_network(load_checkpoint(checkpoint)))
    net.detection.logits.bias.data[0] += 1e-6
    assert weights_id(net) != before
