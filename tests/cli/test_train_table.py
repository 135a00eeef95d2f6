"""``sightline train table`` and ``sightline bench``: the papers' tables, and measurements."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")

Run = Callable[..., Any]
SHORT = ("--set", "iterations=1", "--set", "start_iterations=0", "--set", "save_every=1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a world whose first half is for training, the second for the search."""
    from train.synthetic import WorldSpec, write_world

    out = tmp_path_factory.mktemp("sites") / "site"
    spec = WorldSpec(2, 16, 60, 1, seed=5, width=320, height=180, split="both")
    write_world(out, spec, workers=1, annotate_every_s=1)
    return out


def test_a_table_is_trained_scored_and_kept(inside: Run, site: Path, tmp_path: Path) -> None:
    command = ("train", "table", "4", "--data", site, "--out", "out", "--preset", "tiny", *SHORT)
    first = inside(*command, "--device", "cpu", "--json")
    assert (first.code, first.err) == (0, "")
    found = first.document
    assert found["table"] == "4"
    trained = [row for row in found["rows"] if row["scores"]]
    assert trained
    assert all(0 <= row["scores"]["map"]["mean"] <= 1 for row in trained)
    assert all(row["published"] for row in trained if not row["ours"])
    checkpoints = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.safetensors")}
    assert checkpoints
    again = inside(*command, "--device", "cpu")
    assert again.code == 0
    assert "mAP paper" in again.out
    assert "out/table4.md" in again.out
    assert {p: p.stat().st_mtime_ns for p in checkpoints} == checkpoints


def test_stopping_a_table_says_how_to_go_on(
    start: Callable[..., subprocess.Popen[str]], site: Path, tmp_path: Path
) -> None:
    """Ctrl-C comes as soon as the first run is under way."""
    command = ("train", "table", "4", "--data", site, "--out", "out", "--preset", "tiny")
    process = start(*command, "--set", "start_iterations=0")
    until_s = time.monotonic() + 90
    while not list(tmp_path.glob("out/runs/*/log.jsonl")) and time.monotonic() < until_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (130, "")
    assert "the same command goes on from there" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "tyni"], "tyni"),
        (["--set", "lr=-1"], "--set lr: input should be greater than 0 (got -1)"),
        (["--set", "model=oim"], "a table decides model"),
        (["--set", "speed=1"], "unknown training setting 'speed'"),
        (["--test", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_does_not_fit_is_2(inside: Run, site: Path, options: list[str], said: str) -> None:
    command = ("train", "table", "5", "--data", site, "--out", "out", "--preset", "tiny")
    outcome = inside(*command, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


def test_scoring_is_measured_beside_a_loop(inside: Run) -> None:
    options = ("--queries", "12", "--frames", "40", "--gallery-frames", "20", "--looped", "5")
    found = inside("bench", "scoring", *options, "--json").document
    assert (found["queries"], found["looped"]) == (12, 5)
    assert found["difference"] < 1e-12
    assert found["ratio"] == pytest.approx(found["loop_s"] / found["vectorised_s"])
    text = inside("bench", "scoring", *options).out
    assert "plain loop" in text
    assert "on the same 5 queries" in text


def test_a_step_is_measured_beside_torchvisions(inside: Run) -> None:
    options = ("--size", "64", "96", "--rois", "16", "--repeats", "1")
    outcome = inside("bench", "train", *options, "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.document
    assert found["ratio"] == pytest.approx(found["ours_s"] / found["torchvision_s"], rel=1e-3)
    assert found["setting"]["input_hw"] == [64, 96]
    odd = inside("bench", "train", "--frames", "3")
    assert odd.code == 2
    assert "frames must be an even number, got 3" in odd.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_told(inside: Run) -> None:
    outcome = inside("bench", "train", "--device", "cuda")
    assert outcome.code == 2
    assert "torch sees 0 here" in outcome.err
