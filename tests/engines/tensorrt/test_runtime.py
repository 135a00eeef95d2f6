"""The runtime on a simulated GPU: right answers under every schedule, and clean ends."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.engine import Engine
from engines.errors import (
    BackendUnavailableError,
    DeviceLostError,
    InferenceError,
    PlanError,
)
from engines.onnx_backend import OnnxEngine
from engines.plans.cache import Plan
from engines.tensorrt import cuda
from engines.tensorrt.backend import TensorRTEngine
from engines.values import Detections

Planned = Callable[..., Plan]
Simulate = Callable[..., Any]
SCHEDULES = [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), *[(0.5, 0.5)] * 4, *[(0.9, 0.2)] * 4]


def pictures(n: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Frames of one size, each with bright cells of its own."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (n, 8, 12, 3), dtype=np.uint8)
    return [frame.repeat(4, axis=0).repeat(4, axis=1) for frame in frames]


@contextmanager
def opened(simulate: Simulate, bundle: Bundle, planned: Planned, **options: Any) -> Iterator[Any]:
    """Open the tiny bundle on a simulated GPU; in the end nothing of it may be left."""
    gpu = simulate(**options)
    before = gpu.free_bytes
    with TensorRTEngine(bundle, planned()) as engine:
        yield engine, gpu
    gc.collect()
    assert gpu.leaks == []
    assert not gpu.saw_poison
    assert (gpu.free_bytes, gpu.pinned_bytes) == (before, 0)
    assert not any(gpu.contexts.values())


def same(found: list[Detections], wanted: list[Detections]) -> None:
    assert [len(persons) for persons in found] == [len(persons) for persons in wanted]
    for a, b in zip(found, wanted, strict=True):
        assert_array_equal(a.boxes, b.boxes)
        assert_array_equal(a.scores, b.scores)
        assert_array_equal(a.embeddings, b.embeddings)


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return pictures(23)


@pytest.fixture
def truth(bundle: Bundle, frames: list[NDArray[np.uint8]]) -> list[Detections]:
    """What ONNX Runtime finds, in the same batches."""
    with OnnxEngine(bundle, threads=1, max_batch=4) as engine:
        return engine.detect(frames)


@pytest.mark.parametrize(("seed", "eager"), list(enumerate(SCHEDULES)))
def test_every_schedule_gives_the_same_answer(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections], seed: int, eager: tuple[float, float],
) -> None:  # fmt: skip
    with opened(simulate, bundle, planned, eager=eager, seed=seed) as (engine, _):
        same(engine.detect(frames), truth)
        same(engine.detect(frames[:3]), truth[:3])


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 9])
def test_sizes_around_the_largest_batch(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections], n: int,
) -> None:  # fmt: skip
    with opened(simulate, bundle, planned) as (engine, gpu):
        same(engine.detect(frames[:n]), truth[:n])
        assert gpu.computed == -(-n // 4)


def test_a_batch_below_the_smallest_is_filled_up(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections],
) -> None:  # fmt: skip
    gpu = simulate()
    box = np.array([[3, 3, 9, 9]], np.float32)
    with TensorRTEngine(bundle, planned(batch=(3, 3, 4))) as engine:
        same(engine.detect(frames[:2]), truth[:2])
        same(engine.detect(frames[:5]), truth[:5])
        engine.embed(frames[:1], [box])
    assert not gpu.saw_poison


@pytest.mark.parametrize("eager", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_boxes_are_embedded_as_by_onnxruntime(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    eager: tuple[float, float],
) -> None:  # fmt: skip
    rng = np.random.default_rng(3)
    corners = [rng.uniform(0, 20, (n % 6, 2)).astype(np.float32) for n in range(7)]
    boxes = [np.concatenate([corner, corner + 9], axis=1) for corner in corners]
    with OnnxEngine(bundle, threads=1, max_batch=4) as other:
        wanted = other.embed(frames[:7], boxes)
    with opened(simulate, bundle, planned, eager=eager) as (engine, _):
        for found, want in zip(engine.embed(frames[:7], boxes), wanted, strict=True):
            assert_array_equal(found, want)


def test_the_copy_of_the_next_batch_overlaps_the_computation(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    with opened(simulate, bundle, planned) as (engine, gpu):
        began = gpu.now_ms
        engine.detect(frames[:20])
        took = gpu.now_ms - began
        copies, computed = gpu.of("up"), gpu.of("compute")
    assert len(copies) == len(computed) == 5
    for later, running in zip(copies[1:], computed, strict=False):
        assert later.end_ms <= running.end_ms
    # Four outputs a batch. One after the other it would be 60; of five copies up one is seen.
    up_ms, compute_ms, down_ms = 2, 6, 4 * 1
    assert took == pytest.approx(up_ms + 5 * (compute_ms + down_ms), abs=0.5)


def test_no_more_than_two_batches_are_on_their_way(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    with opened(simulate, bundle, planned) as (engine, gpu):
        engine.detect(frames[:8])
        held = gpu.free_bytes, gpu.pinned_bytes
        engine.detect(frames)
        assert (gpu.free_bytes, gpu.pinned_bytes) == held  # allocated once


def test_threads_share_the_engine(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections],
) -> None:  # fmt: skip
    failed: list[BaseException] = []

    def work(engine: Engine, first: int) -> None:
        try:
            for _ in range(5):
                same(engine.detect(frames[first:]), truth[first:])
        except BaseException as error:
            failed.append(error)
            raise

    with opened(simulate, bundle, planned, eager=(0.3, 0.3), seed=7) as (engine, _):
        threads = [threading.Thread(target=work, args=(engine, 4 * i)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert failed == []


def test_a_batch_that_nobody_waits_for_blocks_nobody(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections],
) -> None:  # fmt: skip
    with opened(simulate, bundle, planned) as (engine, _):
        pixels = engine._fit(frames[:4])
        left = [engine._runner.start(pixels) for _ in range(5)]
        same(engine.detect(frames), truth)
        assert_array_equal(left[0]().boxes, left[4]().boxes)


def test_closing_lets_a_batch_on_its_way_end(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    with opened(simulate, bundle, planned) as (engine, _):
        runner = engine._runner
        pixels = engine._fit(frames[:4])
        wanted = runner.search(pixels)
        finish = runner.start(pixels)
        engine.close()
        assert_array_equal(finish().boxes, wanted.boxes)
        with pytest.raises(InferenceError, match="closed while it was in use"):
            runner.start(pixels)
        with pytest.raises(InferenceError, match="closed while it was in use"):
            runner.query(pixels, np.zeros((4, 3, 4), np.float32))


def test_what_uses_a_thing_is_freed_before_the_thing(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    with opened(simulate, bundle, planned) as (engine, gpu):
        engine.detect(frames[:1])
        engine.close()
        order = list(dict.fromkeys(gpu.freed))
    assert order[:3] == ["context", "engine", "runtime"]
    assert set(order[3:]) == {"memory", "host memory", "event", "stream"}


def test_an_illegal_address_loses_the_device_and_says_so_from_then_on(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    gpu = simulate()
    engine = TensorRTEngine(bundle, planned())
    gpu.dies_at = 2
    with pytest.raises(DeviceLostError, match=r"GPU 0 was lost on a batch of 4 frames: .*illegal"):
        engine.detect(frames)
    for _ in range(2):
        with pytest.raises(DeviceLostError, match="only a new process"):
            engine.detect(frames[:1])
    engine.close()
    assert not any(gpu.contexts.values())
    assert gpu.freed[:3] == ["context", "engine", "runtime"]
    assert gpu.leaks == []


@pytest.mark.parametrize("kind", ["LogicError", "MemoryError"])
@pytest.mark.parametrize(
    "call", ["cuMemcpyHtoDAsync", "cuStreamWaitEvent", "cuEventRecord", "cuMemcpyDtoHAsync"]
)
def test_a_fault_of_one_batch_that_passes_leaves_the_engine_good(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    truth: list[Detections], fake_cuda: ModuleType, call: str, kind: str,
) -> None:  # fmt: skip
    with opened(simulate, bundle, planned) as (engine, gpu):
        gpu.fails[call, 3] = getattr(fake_cuda, kind)(f"{call} failed: for once")
        with pytest.raises(InferenceError, match=r"GPU 0 .* a batch of 4 frames: .*once") as caught:
            engine.detect(frames)
        assert not isinstance(caught.value, DeviceLostError)
        same(engine.detect(frames), truth)


def test_want_of_memory_names_the_batch_and_is_no_lost_device(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]],
    fake_cuda: ModuleType,
) -> None:  # fmt: skip
    with opened(simulate, bundle, planned) as (engine, gpu):
        error = fake_cuda.MemoryError("cuMemcpyDtoHAsync failed: out of memory")
        gpu.fails["cuMemcpyDtoHAsync", 1] = error
        with pytest.raises(InferenceError, match="not enough memory for a batch of 2 frames"):
            engine.detect(frames[:2])


def test_a_gpu_too_small_for_the_buffers_is_told_and_left_clean(
    simulate: Simulate, bundle: Bundle, planned: Planned
) -> None:
    for memory_bytes in (10_000, 30_000, 60_000):
        gpu = simulate(memory_bytes=memory_bytes)
        with pytest.raises(InferenceError, match=r"not enough memory for opening search\.plan"):
            TensorRTEngine(bundle, planned())
        gc.collect()
        assert (gpu.free_bytes, gpu.pinned_bytes, gpu.leaks) == (memory_bytes, 0, [])


def test_refusals_of_tensorrt_become_ours(
    simulate: Simulate, bundle: Bundle, planned: Planned, frames: list[NDArray[np.uint8]]
) -> None:
    gpu = simulate()
    plan = planned()
    with TensorRTEngine(bundle, plan) as engine:
        gpu.refuses = True
        with pytest.raises(InferenceError, match="refused to compute for a batch of 1 frames"):
            engine.detect(frames[:1])
    gpu.refuses_contexts = True
    with pytest.raises(InferenceError, match=r"cannot open search\.plan"):
        TensorRTEngine(bundle, plan)
    gpu.refuses_runtime = True
    with pytest.raises(BackendUnavailableError, match=r"cannot start: .*error: 35; it needs"):
        TensorRTEngine(bundle, plan)


def test_a_plan_that_tensorrt_refuses_is_named(
    simulate: Simulate, bundle: Bundle, planned: Planned
) -> None:
    gpu = simulate()
    with pytest.raises(PlanError, match=r"search\.plan: TensorRT refuses it: magicTag"):
        TensorRTEngine(bundle, planned(search=b"something else"))
    assert (gpu.pinned_bytes, gpu.leaks) == (0, [])


def test_a_plan_of_other_sizes_or_another_batch_is_refused(
    simulate: Simulate, bundle: Bundle, planned: Planned, tiny: ModuleType,
    fake_tensorrt: ModuleType, frames: list[NDArray[np.uint8]],
) -> None:  # fmt: skip
    simulate()
    other = fake_tensorrt.fake_plan(tiny.search_graph(persons=5))
    with pytest.raises(PlanError, match=r"boxes is \[\?, 5, 4\], not \[batch, 4, 4\]"):
        TensorRTEngine(bundle, planned(search=other))
    with pytest.raises(PlanError, match="outputs are embeddings, not boxes"):
        TensorRTEngine(bundle, planned(search=fake_tensorrt.fake_plan(bundle.query_graph())))
    small = fake_tensorrt.fake_plan(bundle.query_graph(), (1, 2, 2))
    boxes = [np.array([[0, 0, 9, 9]], np.float32)]
    with (
        TensorRTEngine(bundle, planned(query=small)) as engine,
        pytest.raises(PlanError, match=r"query\.plan takes 2 frames, search\.plan 4"),
    ):
        engine.embed(frames[:1], boxes)


@pytest.mark.parametrize(
    ("field", "value"), [("runtime", "tensorrt 11.4.0.106"), ("machine", "GPU B sm80"),
                         ("model", "0" * 64), ("backend", "openvino")],
)  # fmt: skip
def test_a_plan_of_another_machine_is_refused(
    simulate: Simulate, bundle: Bundle, planned: Planned, field: str, value: str
) -> None:
    simulate()
    plan = planned()
    object.__setattr__(plan.key, field, value)
    with pytest.raises(PlanError, match=f"made for {field} {value}, not "):
        TensorRTEngine(bundle, plan)


def test_a_gpu_that_is_not_there_is_told(
    simulate: Simulate, bundle: Bundle, planned: Planned, fake_cuda: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    simulate()
    with pytest.raises(BackendUnavailableError, match="there is no GPU 3; this machine has 1"):
        cuda.open_device(3)
    driver = cuda.require("pycuda.driver")

    def init() -> None:
        raise fake_cuda.RuntimeError("cuInit failed: no CUDA-capable device is detected")

    monkeypatch.setattr(driver, "init", init)
    with pytest.raises(BackendUnavailableError, match=r"GPU 0 cannot be used: .*no CUDA-capable"):
        cuda.open_device(0)
