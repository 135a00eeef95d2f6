"""Two processes train as one: the same weights, and the same memory in both."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from train.checkpoint import CHECKPOINT, load_checkpoint
from train.config import FitConfig, make_config
from train.distributed import World, joined
from train.errors import CheckpointError, ConfigError, TrainError
from train.feed import open_feed
from train.fit import fit
from train.run import open_run

pytestmark = pytest.mark.timeout(600)  # three interpreters that load torch

SCRIPT = Path(__file__).parents[1] / "support" / "train_together.py"


MOST = "olp+c2hep+hep+oim+softmax+triplet"


def config(data: Path, out: Path, **changes: object) -> FitConfig:
    """Return a run of a network whose gradient is smooth, and without batch normalisation.

    Statistics of batches differ between processes. A maximum or a ReLU makes a great difference of
    a rounding one where two values tie.
    """
    settings = {
        "backbone": "convnext_tiny", "width": 0.125, "optimiser": "sgd", "lr": 0.01, "pairs": 2,
        "iterations": 3, "augment": "light", "seed": 1, "save_every": 2, "log_every": 1,
    }  # fmt: skip
    return make_config("tiny", data=(data,), out=out, **{**settings, **changes})


def jobs(data: Path, root: Path) -> dict[str, FitConfig]:
    return {
        "most-losses": config(data, root / "most-losses", losses=MOST),
        # its gradient is steep where two embeddings are close: one step, before rounding grows
        "contrastive": config(data, root / "contrastive", losses="contrastive", iterations=1),
        "shared-head": config(
            data, root / "shared-head", model="i-net", shared_pool="align", iterations=2
        ),
        "detection": config(data, root / "detection", losses="none", iterations=2),
        "accumulated": config(data, root / "accumulated", accumulate=2, clip=1.0, iterations=4),
        "normalised": config(data, root / "normalised", backbone="resnet18", iterations=2),
        "broken": config(data, root / "broken", losses=MOST),
    }


EXACT = ("most-losses", "contrastive", "shared-head", "detection", "accumulated")


@pytest.fixture(scope="module")
def together(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that two processes trained."""
    root = tmp_path_factory.mktemp("together")
    todo: list[dict[str, Any]] = []
    for name, run in jobs(stripes, root).items():
        content = json.loads(run.model_dump_json())
        todo.append({"config": content, "resume": False, "stop": 2 if name == "broken" else 0})
        if name == "broken":
            todo.append({"config": content, "resume": True, "stop": 0})
    (root / "jobs.json").write_text(json.dumps(todo))
    done = torchrun([str(SCRIPT), str(root / "jobs.json")])
    assert done.returncode == 0, done.stderr[-4000:]
    return root


def torchrun(script: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", port, *script]
    settings = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )


def ranks(together: Path, name: str) -> list[dict[str, Tensor]]:
    return [load_file(together / name / f"rank{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_reach_the_weights_of_one(
    name: str, stripes: Path, together: Path, tmp_path: Path
) -> None:
    alone = load_checkpoint(fit(jobs(stripes, tmp_path)[name]).checkpoint)
    both = load_checkpoint(together / name / CHECKPOINT)
    assert both.iteration == alone.iteration
    assert both.tensors.keys() == alone.tensors.keys()
    off = {key: both.tensors[key].double() - v.double() for key, v in alone.tensors.items()}
    for key, value in alone.tensors.items():
        # a bias begins at 0, and its gradient is a sum of many that almost cancel
        scale = max(float(value.double().norm()), 1e-3)
        assert float(off[key].norm()) / scale < 1e-4, key
    weights = [key for key in off if key.startswith("net.")]
    length = torch.stack([alone.tensors[key].double().norm() for key in weights]).norm()
    assert torch.stack([off[key].norm() for key in weights]).norm() < 1e-6 * length
    one, two = (
        [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path, together)
    )
    terms = {*alone.progress.means, "lr", "gradient", "iteration"}
    for mine, theirs in zip(one, two, strict=True):
        assert {k: theirs[k] for k in terms} == pytest.approx({k: mine[k] for k in terms}, rel=1e-5)


@pytest.mark.parametrize("name", [*EXACT, "normalised"])
def test_all_processes_hold_the_same_bit_for_bit(name: str, together: Path) -> None:
    first, second = ranks(together, name)
    assert first.keys() == second.keys()
    for key in [key for key in first if "running_" not in key]:
        assert torch.equal(first[key], second[key]), key


def test_the_processes_see_different_numbers_of_people(stripes: Path, tmp_path: Path) -> None:
    source = open_feed(config(stripes, tmp_path)).source
    halves = [source.batch(0, part=World(rank, 2).share(source.slots)) for rank in (0, 1)]
    assert halves[0].targets.labels.shape != halves[1].targets.labels.shape
    whole = source.batch(0)
    assert torch.equal(torch.cat([half.frames for half in halves]), whole.frames)


def test_what_they_remember_is_not_empty(together: Path) -> None:
    state = ranks(together, "most-losses")[1]
    assert (state["identity.dictionary.labels"] >= 0).sum() > 16
    assert state["identity.terms.c2hep.seen"].all()
    assert (state["identity.terms.oim.table"].norm(dim=1) > 0.9).all()


def test_two_processes_resume_as_if_they_had_never_stopped(together: Path) -> None:
    whole, broken = ranks(together, "most-losses")[1], ranks(together, "broken")[1]
    for key, value in whole.items():
        assert torch.equal(value, broken[key]), key


def test_one_process_goes_on_with_the_run_of_two(
    stripes: Path, together: Path, tmp_path: Path
) -> None:
    path = together / "most-losses" / CHECKPOINT
    run = jobs(stripes, tmp_path)["most-losses"].model_copy(update={"iterations": 5})
    run.out.mkdir()
    (run.out / CHECKPOINT).write_bytes(path.read_bytes())
    assert fit(run, resume=True).iterations == 5


def test_only_the_first_process_writes_the_log(together: Path) -> None:
    text = (together / "broken" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in text] == [1, 2, 3]


def test_frames_that_do_not_divide_are_refused(stripes: Path, tmp_path: Path) -> None:
    assert World(2, 3).share(6) == slice(4, 6)
    with pytest.raises(ConfigError, match="4 frames an iteration do not divide among 3 processes"):
        open_run(config(stripes, tmp_path / "run"), False, World(0, 3))
    with pytest.raises(ConfigError, match="2 frames an iteration do not divide among 4 processes"):
        World(0, 4).share(2)


def test_what_torchrun_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="WORLD_SIZE is set without RANK"), joined("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE in the environment must be a number"):
        joined("cpu").__enter__()


def test_alone_nothing_is_gathered_or_averaged() -> None:
    world = World()
    value = torch.tensor(3.0)
    assert world.add(value) is value
    assert float(world.mean(value, torch.tensor(0))) == 3.0
    assert world.longest(7) == 7
    assert not world.any(False)


def test_a_failure_of_the_first_process_is_everybodys() -> None:
    def fail() -> None:
        raise CheckpointError("the disk is full")

    with pytest.raises(CheckpointError, match="the disk is full"):
        World().first(fail)

    class Other(World):
        """The second process, when the first one failed."""

        def any(self, flag: bool) -> bool:
            assert not flag
            return True

    with pytest.raises(TrainError, match="the first process failed and says why"):
        Other(1, 2).first(fail)
