"""Real runs on a tiny data set: they learn, resume exactly, and refuse what does not fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from train.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint
from train.config import LOSSES, FitConfig, make_config
from train.distributed import World
from train.errors import CheckpointError, ConfigError, TrainingDivergedError
from train.fit import FitProgress, fit
from train.optimise import learning_rate
from train.run import open_run


def tiny(data: Path, out: Path, **changes: object) -> FitConfig:
    return make_config("tiny", data=(data,), out=out, **{"augment": "light", **changes})


def same(first: Checkpoint, second: Checkpoint) -> bool:
    """Tell whether two runs stand at the same point, bit for bit."""
    assert first.tensors.keys() == second.tensors.keys()
    differ = [k for k, v in first.tensors.items() if not torch.equal(v, second.tensors[k])]
    return not differ and first.iteration == second.iteration


def after(iterations: int) -> Callable[[], bool]:
    """Return a ``stop`` that says so the n-th time it is asked."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == iterations

    return stop


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tiny(stripes, tmp_path_factory.mktemp("runs") / "run", iterations=4)).checkpoint


@pytest.mark.parametrize(
    "losses", ["olp+c2hep", "olp+hep", "oim", "softmax", "triplet", "contrastive"]
)
def test_a_broken_off_run_goes_on_to_the_same_weights(
    losses: str, stripes: Path, tmp_path: Path
) -> None:
    whole = tiny(stripes, tmp_path / "whole", iterations=3, losses=losses)
    broken = tiny(stripes, tmp_path / "broken", iterations=3, losses=losses)
    fit(whole)
    assert fit(broken, stop=after(2)).iterations == 2
    fit(broken, resume=True)
    assert same(load_checkpoint(whole.out / CHECKPOINT), load_checkpoint(broken.out / CHECKPOINT))


def test_the_losses_learn_too(stripes: Path, trained: Path, tmp_path: Path) -> None:
    run = tiny(stripes, tmp_path / "run", iterations=1, losses="softmax+hep", optimiser="sgd")
    saved = load_checkpoint(fit(run).checkpoint)
    moved = [
        saved.tensors[f"loss.terms.{name}.classifier.weight"].clone() for name in ("softmax", "hep")
    ]
    fit(run.model_copy(update={"iterations": 2}), resume=True)
    later = load_checkpoint(run.out / CHECKPOINT)
    for name, before in zip(("softmax", "hep"), moved, strict=True):
        assert not torch.equal(later.tensors[f"loss.terms.{name}.classifier.weight"], before)


def test_the_loss_of_a_small_set_falls(stripes: Path, tmp_path: Path) -> None:
    fit(tiny(stripes, tmp_path / "run", iterations=20, lr=0.003, augment="none", log_every=5))
    told = lines(tmp_path / "run")
    assert [line["iteration"] for line in told] == [5, 10, 15, 20]
    assert told[-1]["rpn_class"] < 0.9 * told[0]["rpn_class"]


def test_progress_says_where_a_run_stands(stripes: Path, tmp_path: Path) -> None:
    told: list[FitProgress] = []
    result = fit(tiny(stripes, tmp_path / "run", iterations=3), progress=told.append)
    assert [now.iteration for now in told] == [1, 2, 3]
    assert told[-1].losses == result.losses
    assert told[0].seconds_left == pytest.approx(2 * told[0].seconds)
    assert told[-1].seconds_left == 0
    assert told[-1].frames_per_s == pytest.approx(6 / told[-1].seconds)
    assert all(0 <= now.waiting <= 1 for now in told)


def test_another_run_in_the_folder_is_not_overwritten(stripes: Path, trained: Path) -> None:
    before = trained.read_bytes()
    with pytest.raises(ConfigError, match="holds a run already"):
        fit(tiny(stripes, trained.parent, iterations=4))
    assert trained.read_bytes() == before


def test_resuming_with_other_settings_names_them(stripes: Path, trained: Path) -> None:
    changed = tiny(
        stripes, trained.parent, iterations=9, lr=0.5, accumulate=3, dim=64, triplet_margin=0.1
    )
    names = "accumulate, lr, network.dim, loss.triplet_margin"
    with pytest.raises(CheckpointError) as caught:
        fit(changed, resume=True)
    found = str(caught.value).rpartition("other settings of: ")[2]
    assert sorted(found.split(", ")) == sorted(names.split(", "))


def test_a_resumed_run_may_move_and_log_otherwise(
    stripes: Path, trained: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "elsewhere", tmp_path / "run"
    shutil.copytree(stripes, data)
    shutil.copytree(trained.parent, out)
    config = tiny(
        data, out, iterations=5, device="cpu", loaders=2, log_every=1, keep_every=5, save_every=1
    )
    assert fit(config, resume=True).iterations == 5


def test_resuming_on_other_data_is_refused(
    stripes: Path, trained: Path, tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    other = write_people(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="was trained on other data"):
        fit(tiny(other, trained.parent, iterations=5), resume=True)


def test_a_finished_run_resumes_to_itself(stripes: Path, trained: Path) -> None:
    before = trained.read_bytes()
    assert fit(tiny(stripes, trained.parent, iterations=4), resume=True).iterations == 4
    assert trained.read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(
    stripes: Path, tmp_path: Path
) -> None:
    config = tiny(stripes, tmp_path / "run", optimiser="sgd", lr=1e30, save_every=1)
    with pytest.raises(TrainingDivergedError) as caught:
        fit(config)
    told = str(caught.value)
    assert told.startswith("iteration 1: the loss is not finite (rpn_class nan, ")
    assert "total nan" in told
    pictures = told.rpartition("its pictures: ")[2].split(", ")
    assert len(pictures) == 2 * config.pairs
    assert all(Path(name).is_file() for name in pictures)
    assert load_checkpoint(config.out / CHECKPOINT).iteration == 1


def test_weights_that_are_not_finite_are_not_saved(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", optimiser="sgd", iterations=2)
    fit(config)
    before = (config.out / CHECKPOINT).read_bytes()
    run = open_run(config.model_copy(update={"iterations": 3}), True, World())
    with torch.no_grad():
        run.learner.net.rpn.conv.weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(TrainingDivergedError, match=r"the weight net\.rpn\.conv\.weight is not"):
        run.save()
    assert (config.out / CHECKPOINT).read_bytes() == before


def test_learning_rates_warm_up_and_fall(tmp_path: Path) -> None:
    paper = make_config("paper", data=(), out=tmp_path)
    assert [learning_rate(paper, i) for i in (0, 39_999, 40_000)] == pytest.approx(
        [1e-3, 1e-3, 1e-4]
    )
    small = make_config("small", data=(), out=tmp_path)
    assert learning_rate(small, 0) == pytest.approx(small.lr / small.warmup)
    assert learning_rate(small, small.iterations - 1) == pytest.approx(small.lr * 0.01)


@pytest.mark.parametrize("model", ["dc-i-net", "i-net", "oim", "separate"])
def test_every_network_trains_in_bfloat16(model: str, stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", model=model, amp=True, iterations=2, log_every=1)
    fit(config)
    weights = load_checkpoint(config.out / CHECKPOINT).part("net")
    assert {v.dtype for v in weights.values()} <= {torch.float32, torch.int64}
    assert lines(config.out)[-1]["gradient"] > 0


def test_all_losses_together(stripes: Path, tmp_path: Path) -> None:
    result = fit(tiny(stripes, tmp_path / "run", iterations=1, losses="+".join(LOSSES)))
    assert set(LOSSES) <= set(result.losses)


def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown training setting 'learning_rate'"):
        make_config("tiny", data=(), out=tmp_path, learning_rate=1)
    with pytest.raises(ConfigError, match="multiples of 16"):
        make_config("tiny", data=(), out=tmp_path, input_hw=(100, 160))
