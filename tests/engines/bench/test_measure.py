"""Backends side by side, in real worker processes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bench.measure import Cell, Contender, Report, Spread, measure
from engines.bench.process import Worker
from engines.bench.worker import Setup, load_frames, save_frames
from engines.errors import BackendUnavailableError, InferenceError

ROOT = Path(__file__).parents[3]

WORKER = """
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from engines.bench.worker import serve
from engines.bundle import open_bundle
from engines.errors import BundleError, InferenceError
from engines.onnx_backend import OnnxEngine

class Named(OnnxEngine):
    calls = 0

    @property
    def info(self):
        return replace(super().info, backend=self.backend, precision=self.precision)

    def detect(self, frames, *, min_score=None):
        Named.calls += 1
        {trouble}
        return super().detect(frames, min_score=min_score)

def opener(setup):
    {at_start}
    engine = Named(open_bundle(Path(setup.bundle)), threads=1)
    engine.backend, engine.precision = setup.backend, setup.precision or "fp32"
    return engine

serve(opener)
"""


def worker(trouble: str = "pass", at_start: str = "pass") -> tuple[str, ...]:
    return sys.executable, "-c", WORKER.format(trouble=trouble, at_start=at_start)


@pytest.fixture(autouse=True)
def sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def frames() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, hw, np.uint8) for hw in ((32, 48, 3), (40, 30, 3), (7, 90, 3))]


@pytest.fixture
def setup(tiny_bundle: Path, frames: Any, tmp_path: Path) -> Setup:
    save_frames(tmp_path / "frames.npz", frames)
    return Setup(str(tiny_bundle), "onnxruntime", None, 1, str(tmp_path / "frames.npz"), (1, 2))


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Tell whether a process has ended (and was waited for)."""

    def ask(pid: int) -> bool:
        return not Path(f"/proc/{pid}").exists()

    return ask


def test_frames_of_any_sizes_reach_the_worker(frames: Any, tmp_path: Path) -> None:
    many = frames * 5  # arr_10 must not stand before arr_2
    save_frames(tmp_path / "f.npz", many)
    for mine, its in zip(many, load_frames(tmp_path / "f.npz"), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_two_backends_side_by_side(tiny_bundle: Path, frames: Any) -> None:
    slow, fast = Contender("reference", "fp32"), Contender("onnxruntime")
    said: list[str] = []
    report = measure(
        tiny_bundle, [slow, fast], frames, batches=[3, 1], seconds=0.2, rounds=2, threads=1,
        workers={str(slow): worker("time.sleep(0.02 * len(frames))"), str(fast): worker()},
        progress=lambda what, done, total: said.append(f"{what} {done}/{total}"),
    )  # fmt: skip
    assert [(c.backend, c.batch) for c in report.cells] == [
        ("reference", 1), ("reference", 3), ("onnxruntime", 1), ("onnxruntime", 3)
    ]  # fmt: skip
    assert report.input_hw == (32, 48)
    for cell in report.cells:
        assert len(cell.fps) == 2
        assert cell.p50_ms <= cell.p90_ms <= cell.p99_ms
        assert cell.ms_per_frame == pytest.approx(1000 / cell.frames_per_s.median)
        ratio = report.ratio(cell, "reference")
        assert ratio is not None
        assert ratio.low <= ratio.median <= ratio.high
    one, three = report.cells[:2]
    assert one.p50_ms > 20
    assert three.p50_ms > 60, "a call of three frames"
    assert three.ms_per_frame < three.p50_ms / 2, "a third of a call, whatever the machine does"
    assert one.cpu_s < 0.015, "who sleeps takes no processor time"
    quick = report.cell("onnxruntime", "fp32", 1)
    assert quick is not None
    assert report.ratio(quick, "reference").median > 2  # type: ignore[union-attr]
    assert report.ratio(one, "reference") == Spread(1, 1, 1)
    assert report.ratio(one, "openvino") is None
    for held in report.held:
        assert 20 << 20 < held.peak_rss_bytes < 4 << 30
        assert held.load_s > 0
    assert said[0] == "opening reference:fp32 0/2"
    assert said[-1] == "done 8/8"


def test_ratios_are_taken_within_a_round() -> None:
    def cell(backend: str, *fps: float) -> Cell:
        return Cell(backend, "fp32", 1, fps, 1.0, 1.0, 1.0, 3, 0.1)

    # The machine slowed down to a tenth: ratios of medians would not show 2 throughout.
    ours, theirs = cell("openvino", 20, 2, 16), cell("onnxruntime", 10, 1, 8)
    report = Report((1, 1), (ours, theirs), (), 1.0, 3, 0, None)
    assert report.ratio(ours, "onnxruntime") == Spread(2, 2, 2)
    assert ours.frames_per_s == Spread(16, 2, 20)


def test_every_round_gives_each_its_turn_in_a_new_order(tiny_bundle: Path, frames: Any) -> None:
    def order(seed: int) -> list[str]:
        said: list[str] = []
        names = [Contender("onnxruntime"), Contender("openvino"), Contender("reference")]
        measure(
            tiny_bundle, names, frames, batches=[1], seconds=0.03, rounds=3, seed=seed,
            workers={str(name): worker() for name in names},
            progress=lambda what, _done, _total: said.append(what),
        )  # fmt: skip
        return [what for what in said if "batch" in what]

    first = order(1)
    rounds = [first[:3], first[3:6], first[6:]]
    assert [len(set(one)) for one in rounds] == [3, 3, 3]
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2]


def test_one_named_twice_is_measured_once(tiny_bundle: Path, frames: Any) -> None:
    names = [Contender("onnxruntime"), Contender("onnxruntime", "fp32")]
    report = measure(
        tiny_bundle, names, frames, batches=[1], seconds=0.02, rounds=1,
        workers={str(name): worker() for name in names},
    )  # fmt: skip
    assert len(report.cells) == len(report.held) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("if Named.calls > 5: os.kill(os.getpid(), signal.SIGKILL)", "died .killed by SIGKILL."),
        ("if Named.calls > 5: sys.stderr.write('the roof is off'); sys.stderr.flush(); os._exit(3)",
         "died .exit code 3.; it last said: the roof is off"),
        ("raise InferenceError('no more memory')", "onnxruntime: no more memory"),
        ("raise ValueError('strange')", "died .exit code 1.; it last said: ValueError: strange"),
    ],
)  # fmt: skip
def test_a_worker_that_ends_badly_is_an_error(
    setup: Setup, gone: Callable[[int], bool], trouble: str, said: str
) -> None:
    with Worker(setup, argv=worker(trouble)) as one, pytest.raises(InferenceError, match=said):
        _start_and_turn(one)
    assert gone(one.pid)


def _start_and_turn(one: Worker) -> None:
    one.start()
    one.turn(2, 30.0)


def test_a_worker_that_hangs_is_an_error(setup: Setup, gone: Callable[[int], bool]) -> None:
    hanging = worker("time.sleep(1000)")
    with Worker(setup, argv=hanging, patience_s=1.5) as one:
        with pytest.raises(InferenceError, match=r"onnxruntime: its worker did not answer in 1.5"):
            one.start()
        assert not gone(one.pid)
    assert gone(one.pid)


def test_an_error_leaves_no_worker_behind(tiny_bundle: Path, frames: Any) -> None:
    before = children()
    names = [Contender("onnxruntime"), Contender("openvino")]
    commands = {"onnxruntime": worker(), "openvino": worker(at_start="raise BundleError('x', 'y')")}
    with pytest.raises(InferenceError, match="openvino: cannot use engine bundle x: y"):
        measure(tiny_bundle, names, frames, batches=[1], seconds=1, workers=commands)
    assert children() == before


def children() -> set[str]:
    return {
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def test_a_worker_ends_with_the_process_that_started_it(setup: Setup) -> None:
    fields = {name: getattr(setup, name) for name in setup.__slots__}
    script = f"""
import os, sys
from engines.bench.process import Worker
from engines.bench.worker import Setup
one = Worker(Setup(**{fields!r}), argv={worker()!r})
one.start()
print(one.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid, deadline = int(done.stdout), time.monotonic() + 20
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(pid)


def _running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_runtime_prints_is_no_answer(setup: Setup) -> None:
    chatty = worker("os.write(1, b'hello\\n'); print('hello', flush=True)")
    with Worker(setup, argv=chatty) as one:
        assert one.start().backend == "onnxruntime"
        assert one.turn(1, 0.01).calls_s


def test_another_backend_in_its_place_is_not_timed(tiny_bundle: Path, frames: Any) -> None:
    asked = Contender("tensorrt", "fp16")
    replaced = worker(at_start="setup = replace(setup, backend='onnxruntime', precision='fp32')")
    with pytest.raises(
        BackendUnavailableError,
        match=r"tensorrt:fp16: onnxruntime fp32 took its place; run: "
        "sightline engine build .*--precision fp16",
    ):
        measure(
            tiny_bundle, [asked], frames, batches=[1], seconds=1, workers={str(asked): replaced}
        )


def test_the_usual_worker_opens_the_bundle(tiny_bundle: Path, frames: Any) -> None:
    report = measure(
        tiny_bundle, [Contender("onnxruntime", "fp32")], frames, batches=[2], seconds=0.05,
        rounds=1, threads=1,
    )  # fmt: skip
    assert report.cells[0].calls >= 1


@pytest.mark.parametrize(
    ("text", "read"),
    [("onnxruntime", ("onnxruntime", None)), (" openvino:bf16", ("openvino", "bf16"))],
)
def test_contenders_are_read(text: str, read: tuple[str, str | None]) -> None:
    assert Contender.parse(text) == read
    assert str(Contender.parse(text)) == text.strip()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="no precision 'fp8'; there is fp32, bf16"):
        Contender.parse("openvino:fp8")


@pytest.mark.parametrize("bad", [{"batches": []}, {"batches": [0]}, {"seconds": 0}, {"rounds": 0}])
def test_nothing_to_measure_is_refused(tiny_bundle: Path, frames: Any, bad: Any) -> None:
    how = {"batches": [1], "seconds": 1, **bad}
    with pytest.raises(ValueError, match="a time above 0"):
        measure(tiny_bundle, [Contender("onnxruntime")], frames, **how)
