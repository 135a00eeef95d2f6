"""``sightline engine bench`` from outside."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.pictures import read_picture

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of plans that is this test's alone."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "sightline"))
    return tmp_path / "sightline"


@pytest.fixture
def timed(inside: Run, cache: Path, bundle: Path) -> Run:
    """Time the tiny engine for a moment."""

    def run(*options: str | Path) -> Any:
        return inside(
            "engine", "bench", bundle, "--backends", "onnxruntime", "--seconds", "0.2", "--rounds",
            "2", "--threads", "1", *options,
        )  # fmt: skip

    return run


def test_bench_answers_a_program(timed: Run, clip: Path, tmp_path: Path) -> None:
    outcome = timed("--batch", "2,1", "--data", clip, "--plot", tmp_path / "speed.png", "--json")
    assert (outcome.code, outcome.err) == (0, "") or "trust the ratios" in outcome.err
    found = outcome.document
    assert [(one["backend"], one["batch"]) for one in found["results"]] == [
        ("onnxruntime", 1), ("onnxruntime", 2),
    ]  # fmt: skip
    for one in found["results"]:
        assert set(one) == {
            "backend", "precision", "batch", "frames_per_s", "frames_per_s_rounds", "ms_per_frame",
            "latency_ms", "calls", "cpu_s_per_frame", "ratio_to_eager", "ratio_to_onnxruntime",
        }  # fmt: skip
        assert set(one["latency_ms"]) == {"p50", "p90", "p99"}
        assert len(one["frames_per_s_rounds"]) == 2
        assert one["ratio_to_onnxruntime"] == {"median": 1, "low": 1, "high": 1}
        assert one["ratio_to_eager"] is None
    assert found["measured"] == "detect"
    assert found["input_hw"] == [32, 48]
    assert found["frames_hw"] == [[64, 96]]
    assert found["threads"] == 1
    assert found["processes"][0]["peak_rss_bytes"] > 10 << 20
    picture = read_picture(tmp_path / "speed.png")
    assert min(picture.shape[:2]) > 400
    assert picture.std() > 10, "something is drawn"


def test_bench_of_the_graph_alone_scales_nothing(timed: Run) -> None:
    found = timed("--batch", "1", "--graph-only", "--json").document
    assert found["measured"] == "graph"
    assert found["frames_hw"] == [[32, 48]]


def test_people_read_the_bench(timed: Run) -> None:
    text = timed("--batch", "1").out
    for said in ("fps", "p99", "x onnxruntime", "memory at most", "threads"):
        assert said in text


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--batch", "1,x"], 2, "--batch: want whole numbers from 1"),
        (["--batch", "0"], 2, "--batch: want whole numbers from 1"),
        (["--backends", " , "], 2, "--backends: want names"),
        (["--backends", "caffe"], 4, "caffe: no engine backend 'caffe'"),
        (["--backends", "onnxruntime:int8"], 4, "no plan of onnxruntime int8 was made yet"),
        (["--plot", "speed.svg"], 2, "--plot: want the name of a .png"),
        (["--plot", "nowhere/speed.png"], 2, "--plot: there is no folder"),
        (["--data", "nowhere"], 2, "cannot read frames of nowhere"),
    ],
)
def test_what_cannot_be_timed_is_told(timed: Run, options: list[str], code: int, said: str) -> None:
    outcome = timed(*options)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


@pytest.fixture
def benching(start: Start, bundle: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a bench that would take a minute, in a process of its own, with a worker at work."""
    process = start(
        "engine", "bench", bundle, "--backends", "onnxruntime", "--seconds", "60", "--batch", "1",
        "--rounds", "100", env={"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": ""},
    )  # fmt: skip
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def _worker_of(process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{process.pid}/task").glob("*/children"):
            for pid in task.read_text().split():
                if b"engines.bench.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def test_a_worker_that_dies_ends_the_bench_with_4(benching: subprocess.Popen[str]) -> None:
    os.kill(_worker_of(benching), signal.SIGKILL)
    out, err = benching.communicate(timeout=40)
    assert (benching.returncode, out) == (4, "")
    assert "onnxruntime: its worker died (killed by SIGKILL)" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_the_bench_and_its_workers(benching: subprocess.Popen[str]) -> None:
    worker = _worker_of(benching)
    benching.send_signal(signal.SIGINT)
    _, err = benching.communicate(timeout=40)
    assert benching.returncode == 130
    assert err.endswith("interrupted\n")
    assert not Path(f"/proc/{worker}").exists()
