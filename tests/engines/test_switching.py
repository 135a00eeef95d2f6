"""Serving while a better engine is made: when it takes over, when it fails, when all is closed."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bundle import open_bundle, shipped_bundle
from engines.engine import Engine, EngineInfo
from engines.errors import BuildError, DeviceLostError, InferenceError
from engines.onnx_backend import OnnxEngine
from engines.plans.background import make_in_background
from engines.plans.build import find_plan, plan_key
from engines.plans.cache import PlanCache
from engines.switching import SwitchingEngine
from engines.values import Detections

FRAME = np.full((64, 96, 3), 255, np.uint8)
WHAT = "tensorrt fp16"


class Gated(OnnxEngine):
    """A real engine that counts its calls, can hold them up, and fails on use after closing."""

    def __init__(self, bundle: Path, name: str = "") -> None:
        super().__init__(open_bundle(bundle), threads=1)
        self.name = name
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Semaphore(0)
        self.calls = 0
        self.closed = 0

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Detections]:
        self.calls += 1
        self.inside.release()
        assert self.gate.wait(20)
        found: list[Detections] = []
        for frame in frames:  # as several batches of one call
            found += super().detect([frame], min_score=min_score)
        return found

    def close(self) -> None:
        self.closed += 1
        super().close()


@pytest.fixture
def first(tiny_bundle: Path) -> Gated:
    return Gated(tiny_bundle, "first")


@pytest.fixture
def second(tiny_bundle: Path) -> Gated:
    return Gated(tiny_bundle, "second")


class Making:
    """Makes what it is told when it is allowed to, and stops when it is asked to."""

    def __init__(self, outcome: Engine | Exception) -> None:
        self.outcome = outcome
        self.ready = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, stop: threading.Event) -> Engine:
        while not self.ready.wait(0.01):
            if stop.is_set():
                self.stopped.set()
                raise BuildError("it was told to stop")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(action()))
    thread.start()
    return thread, answers


def test_it_serves_then_switches_and_says_so(first: Gated, second: Gated) -> None:
    making = Making(second)
    with SwitchingEngine(first, making, what=WHAT) as engine:
        assert engine.info.reason == "onnxruntime fp32: serving while tensorrt fp16 is made"
        assert engine.detect([FRAME])[0].full
        assert (first.calls, second.calls) == (1, 0)
        making.ready.set()
        assert engine.wait(10)
        assert engine.info.reason == "onnxruntime fp32: tensorrt fp16 was made and took over"
        assert first.closed == 1, "the former engine is closed, nobody used it"
        assert engine.detect([FRAME])[0].full
        box = np.array([[0, 0, 96, 64]], np.float32)
        assert engine.embed([FRAME], [box])[0].shape == (1, 256)
        assert (first.calls, second.calls) == (1, 1)
    assert (first.closed, second.closed) == (1, 1)


def test_a_call_in_progress_ends_on_the_engine_that_it_began_with(
    first: Gated, second: Gated
) -> None:
    making = Making(second)
    first.gate.clear()
    with SwitchingEngine(first, making, what=WHAT) as engine:
        thread, answers = in_thread(lambda: engine.detect([FRAME] * 3))
        assert first.inside.acquire(timeout=10)
        making.ready.set()
        assert engine.wait(10)
        assert engine.detect([FRAME])[0].full
        assert second.calls == 1, "the next call goes to the new engine"
        assert first.closed == 0, "the former one is still in use"
        first.gate.set()
        thread.join(10)
        assert len(answers[0]) == 3
        assert first.closed == 1


def test_many_callers_never_see_the_switch(first: Gated, second: Gated) -> None:
    making = Making(second)
    faults: list[Exception] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            try:
                found = engine.detect([FRAME, FRAME])
                assert [one.full for one in found] == [True, True]
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                faults.append(error)

    with SwitchingEngine(first, making, what=WHAT) as engine:
        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        assert first.inside.acquire(timeout=10)
        making.ready.set()
        assert engine.wait(10)
        for _ in range(8):
            assert second.inside.acquire(timeout=10)
        done.set()
        for caller in callers:
            caller.join(10)
    assert faults == []
    assert (first.closed, second.closed) == (1, 1)


def test_a_failed_build_changes_nothing_and_is_told_once(
    first: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    making = Making(BuildError("the compiler has no kernel"))
    with caplog.at_level(logging.WARNING), SwitchingEngine(first, making, what=WHAT) as engine:
        making.ready.set()
        assert engine.wait(10)
        for _ in range(3):
            assert engine.detect([FRAME])[0].full
        said = "tensorrt fp16 cannot be made: the compiler has no kernel"
        assert engine.info.reason == said
        assert engine.info.backend == "onnxruntime"
        assert first.closed == 0
    (line,) = caplog.messages
    assert line == (
        "tensorrt fp16 cannot be made, onnxruntime fp32 goes on: the compiler has no kernel"
    )
    assert first.closed == 1


def test_an_engine_of_another_model_does_not_take_over(first: Gated, second: Gated) -> None:
    foreign: EngineInfo = replace(second.info, model="00", score_threshold=0.1)
    second._info = foreign
    making = Making(second)
    with SwitchingEngine(first, making, what=WHAT) as engine:
        making.ready.set()
        assert engine.wait(10)
        assert "it is another engine: model is 00, not" in engine.info.reason
        assert "; score_threshold is 0.1, not 0.6" in engine.info.reason
        assert second.closed == 1
        assert engine.detect([FRAME])[0].full


def test_closing_during_a_build_is_prompt_and_clean(
    first: Gated, second: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    making = Making(second)
    engine = SwitchingEngine(first, making, what=WHAT)
    began_s = time.monotonic()
    engine.close()
    assert time.monotonic() - began_s < 5
    assert making.stopped.is_set()
    assert first.closed == 1
    assert caplog.messages == [], "a build that was told to stop did not fail"
    engine.close()
    assert first.closed == 1
    for call in (lambda: engine.detect([FRAME]), lambda: engine.embed([], [])):
        with pytest.raises(InferenceError, match="engine tiny is closed"):
            call()
    assert not [t for t in threading.enumerate() if t.name.startswith("making")]


def test_closing_while_a_call_runs_lets_it_end(first: Gated, second: Gated) -> None:
    first.gate.clear()
    engine = SwitchingEngine(first, Making(second), what=WHAT)
    thread, answers = in_thread(lambda: engine.detect([FRAME]))
    assert first.inside.acquire(timeout=10)
    engine.close()
    assert first.closed == 0
    first.gate.set()
    thread.join(10)
    assert answers[0][0].full
    assert first.closed == 1


def test_an_engine_that_comes_after_closing_is_closed_too(first: Gated, second: Gated) -> None:
    begun, go = threading.Event(), threading.Event()

    def stubborn(stop: threading.Event) -> Engine:
        begun.set()
        assert go.wait(10)
        return second

    engine = SwitchingEngine(first, stubborn, what=WHAT)
    assert begun.wait(10)
    closing, _ = in_thread(engine.close)
    while first.closed == 0:
        time.sleep(0.01)
    go.set()
    closing.join(10)
    assert (first.closed, second.closed) == (1, 1)


def test_what_the_new_engine_raises_reaches_the_caller(first: Gated, second: Gated) -> None:
    def lose(*_: Any, **__: Any) -> list[Detections]:
        raise DeviceLostError("the GPU fell off the bus")

    second.detect = lose  # type: ignore[method-assign]
    making = Making(second)
    with SwitchingEngine(first, making, what=WHAT) as engine:
        making.ready.set()
        assert engine.wait(10)
        with pytest.raises(DeviceLostError, match="fell off the bus"):
            engine.detect([FRAME])


SLEEPER = (sys.executable, "-c", "import time; print('compiling', flush=True); time.sleep(60)")
FAILING = (sys.executable, "-c", "import sys; sys.exit('no memory left\\non the GPU')")
KILLED = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")


@pytest.fixture
def plans(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "cache")


def background(bundle: Path, cache: PlanCache, **options: Any) -> Callable[..., Engine]:
    def make(stop: threading.Event) -> Engine:
        return make_in_background(
            open_bundle(bundle), "onnxruntime", "fp16", cache, stop, **options
        )

    return make


def test_a_builder_of_its_own_is_ended_by_closing(
    first: Gated, tiny_bundle: Path, plans: PlanCache
) -> None:
    engine = SwitchingEngine(first, background(tiny_bundle, plans, python=SLEEPER), what=WHAT)
    began_s = time.monotonic()
    engine.close()
    assert time.monotonic() - began_s < 8
    assert not engine._thread.is_alive()


@pytest.mark.parametrize(
    ("python", "said"), [(FAILING, "on the GPU"), (KILLED, "its builder ended with -9")]
)
def test_a_builder_that_dies_is_told(
    first: Gated, tiny_bundle: Path, plans: PlanCache, python: tuple[str, ...], said: str
) -> None:
    make = background(tiny_bundle, plans, python=python)
    with SwitchingEngine(first, make, what=WHAT) as engine:
        assert engine.wait(30)
        assert engine.info.reason == f"{WHAT} cannot be made: {said}"
        assert engine.detect([FRAME])[0].full


def test_a_real_builder_makes_a_plan_that_takes_over(plans: PlanCache) -> None:
    bundle = open_bundle(shipped_bundle())
    serving = OnnxEngine(bundle, threads=1)
    with SwitchingEngine(serving, background(bundle.path, plans), what="fp16") as engine:
        assert engine.wait(90)
        assert engine.info.precision == "fp16", engine.info.reason
    assert find_plan(plans, plan_key(bundle, "onnxruntime", "fp16")) is not None
