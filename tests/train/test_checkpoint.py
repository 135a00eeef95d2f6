"""Checkpoints: whole or not there, and a run that was killed goes on from them exactly."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from train.checkpoint import CHECKPOINT, kept_name, load_checkpoint, load_network
from train.config import FitConfig, make_config
from train.distributed import World
from train.errors import CheckpointError
from train.fit import FitProgress, fit
from train.run import open_run

KILLED = """
import os, signal, sys
from pathlib import Path
from train.config import FitConfig
from train.fit import fit

config = FitConfig.model_validate_json(sys.argv[1])

def progress(now):
    if now.iteration == 5:
        os.kill(os.getpid(), signal.SIGKILL)

fit(config, progress=progress)
"""


def tiny(data: Path, out: Path, **changes: object) -> FitConfig:
    return make_config("tiny", data=(data,), out=out, **{"augment": "light", **changes})


def files(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


def assert_same(first: Path, second: Path) -> None:
    one, two = load_checkpoint(first), load_checkpoint(second)
    assert one.iteration == two.iteration
    assert one.tensors.keys() == two.tensors.keys()
    for key, value in one.tensors.items():
        assert torch.equal(value, two.tensors[key]), key


def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    stripes: Path, tmp_path: Path
) -> None:
    whole = tiny(stripes, tmp_path / "whole", iterations=6, save_every=2)
    killed = tiny(stripes, tmp_path / "killed", iterations=6, save_every=2)
    fit(whole)
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, killed.model_dump_json()],
        env={**os.environ, **threads},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(killed.out / CHECKPOINT).iteration == 4
    part = killed.out / f".{CHECKPOINT}.part"  # as if it had been killed while it saved
    part.mkdir()
    (part / ".tmpA1b2C3").write_bytes(b"cut off in the middle")
    assert fit(killed, resume=True).iterations == 6
    assert_same(whole.out / CHECKPOINT, killed.out / CHECKPOINT)
    assert files(killed.out) == [CHECKPOINT, "config.json", "log.jsonl"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a disk of ``size`` bytes; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def assert_last_good(run: Path, iteration: int) -> None:
    assert load_checkpoint(run / CHECKPOINT).iteration == iteration
    assert not [name for name in files(run) if name.endswith(".part")]


def test_a_full_disk_leaves_the_last_checkpoint(stripes: Path, tmp_path: Path) -> None:
    size = fit(tiny(stripes, tmp_path / "run", iterations=1)).checkpoint.stat().st_size
    with small_disk(tmp_path / "disk", size * 3 // 2):
        config = tiny(stripes, tmp_path / "disk" / "run", iterations=4, save_every=2)
        with pytest.raises(
            CheckpointError, match=r"cannot write .*disk/run/checkpoint\.safetensors: .*space"
        ):
            fit(config)
        assert_last_good(config.out, 2)


def test_a_disk_that_refuses_more_leaves_the_last_checkpoint(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=4, save_every=2)
    fit(config, stop=stop_at(2))
    with (
        files_of_at_most(100_000),
        pytest.raises(
            CheckpointError, match=r"cannot write .*checkpoint\.safetensors: .*too large"
        ),
    ):
        fit(config, resume=True)
    assert_last_good(config.out, 2)
    assert fit(config, resume=True).iterations == 4


def test_whoever_may_read_the_settings_may_read_the_checkpoint(
    stripes: Path, tmp_path: Path
) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=1)
    path = fit(config).checkpoint
    assert path.stat().st_mode == (config.out / "config.json").stat().st_mode


def stop_at(iteration: int) -> Callable[[], bool]:
    asked = iter(range(1, iteration + 1))
    return lambda: next(asked) == iteration


def test_copies_are_kept_at_their_iterations(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=5, keep_every=2, save_every=5)
    fit(config)
    kept = [kept_name(2), kept_name(4)]
    assert kept == ["checkpoint-000002.safetensors", "checkpoint-000004.safetensors"]
    assert files(config.out) == [*kept, CHECKPOINT, "config.json", "log.jsonl"]
    for name, iteration in zip((*kept, CHECKPOINT), (2, 4, 5), strict=True):
        assert load_checkpoint(config.out / name).iteration == iteration
    short = tiny(stripes, tmp_path / "short", iterations=2)
    fit(short)
    assert_same(config.out / kept[0], short.out / CHECKPOINT)


def test_a_cut_checkpoint_is_named(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=1)
    path = fit(config).checkpoint
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors is not a whole checkpoint"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors is not a whole checkpoint"):
        fit(config, resume=True)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*nothing\.safetensors"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_a_checkpoint_holds_settings_progress_and_all_state(stripes: Path, tmp_path: Path) -> None:
    told: list[FitProgress] = []
    config = tiny(stripes, tmp_path / "run", iterations=2, losses="olp+oim+hep")
    fit(config, progress=told.append)
    saved = load_checkpoint(config.out / CHECKPOINT)
    assert saved.config == config
    assert (saved.iteration, saved.identities) == (2, 5)
    assert saved.progress.means == told[-1].losses
    assert saved.seconds == told[-1].seconds
    assert {
        "dictionary.features", "dictionary.labels", "dictionary.position", "terms.oim.table",
        "terms.oim.queue.features", "terms.hep.classifier.weight",
    } <= set(saved.part("loss"))  # fmt: skip
    assert {key.partition(".")[2] for key in saved.part("optim")} == {
        "step", "exp_avg", "exp_avg_sq",
    }  # fmt: skip


def test_what_is_restored_is_what_was_saved_and_lies_as_before(
    stripes: Path, tmp_path: Path
) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=2)
    fit(config)
    run = open_run(config, True, World())
    kernel = next(p for p in run.learner.net.parameters() if p.ndim == 4 and p.shape[2] > 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    momentum: Tensor = run.optimiser.state[kernel]["exp_avg"]
    assert momentum.stride() == kernel.stride()
    before = load_checkpoint(config.out / CHECKPOINT)
    run.save("again.safetensors")
    assert_same(config.out / "again.safetensors", config.out / CHECKPOINT)
    net = load_network(before)
    assert not net.training
    assert torch.equal(net.rpn.conv.weight, before.tensors["net.rpn.conv.weight"])
