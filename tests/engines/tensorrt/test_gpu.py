"""Everything that only an NVIDIA GPU with TensorRT can show: `make test-gpu`.

Without them the tests are skipped and say why; with REQUIRE_GPU=1 that is a failure.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bundle import Bundle, open_bundle, shipped_bundle
from engines.compare import agree
from engines.errors import BackendUnavailableError, EngineError, PlanError
from engines.onnx_backend import OnnxEngine
from engines.plans.build import build_plan
from engines.plans.cache import Plan, PlanCache
from engines.runtimes import require
from engines.tensorrt import api
from engines.tensorrt.backend import TensorRTEngine
from engines.tensorrt.cuda import open_device
from engines.values import Detections, Precision

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]

BATCH = (1, 4, 8)
LEAST_COSINE = {"fp32": 0.999, "fp16": 0.99, "int8": 0.5}
LEAST_MATCHED = {"fp32": 0.995, "fp16": 0.97, "int8": 0.5}


@dataclass(frozen=True)
class Site:
    """A bundle, frames for it, the cache of its plans, and what fp32 finds on the CPU."""

    bundle: Bundle
    frames: list[NDArray[np.uint8]]
    cache: PlanCache
    truth: list[Detections]

    def plan(self, precision: Precision, **options: Any) -> Plan:
        frames = self.frames[:4] if precision == "int8" else ()
        return build_plan(
            self.bundle, "tensorrt", precision, frames=frames, batch=BATCH, cache=self.cache,
            **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def gpu() -> None:
    """Skip where TensorRT, pycuda or the GPU is missing; fail if REQUIRE_GPU=1."""
    try:
        api.new_runtime(api.load())
        open_device(0)
    except BackendUnavailableError as error:
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail(f"REQUIRE_GPU=1, but {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(
    gpu: None, drawn: Callable[..., list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Site:
    bundle = open_bundle(shipped_bundle())
    frames = drawn((720, 1280), 20)
    with OnnxEngine(bundle) as engine:
        truth = engine.detect(frames)
    return Site(bundle, frames, PlanCache(tmp_path_factory.mktemp("cache")), truth)


@pytest.fixture(scope="module")
def fp32(site: Site) -> Iterator[TensorRTEngine]:
    with TensorRTEngine(site.bundle, site.plan("fp32")) as engine:
        yield engine


@pytest.fixture(scope="module")
def fp16(site: Site) -> Iterator[TensorRTEngine]:
    with TensorRTEngine(site.bundle, site.plan("fp16")) as engine:
        yield engine


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_plan_is_built_and_finds_the_same_persons(site: Site, precision: Precision) -> None:
    said: list[str] = []
    plan = site.plan(precision, progress=said.append)
    with TensorRTEngine(site.bundle, plan) as engine:
        assert engine.info.precision == precision
        stats = agree(site.truth, engine.detect(site.frames))
    print(precision, plan.made, stats)
    assert stats.persons >= len(site.frames)
    assert stats.matched >= LEAST_MATCHED[precision]
    assert stats.cosine_median >= LEAST_COSINE[precision]
    assert said


def test_boxes_are_embedded_as_on_the_cpu(site: Site, fp32: TensorRTEngine) -> None:
    boxes = [np.array([[40, 20, 120, 260], [300, 100, 380, 400]], np.float32)] * 9
    with OnnxEngine(site.bundle) as engine:
        wanted = np.concatenate(engine.embed(site.frames[:9], boxes))
    found = np.concatenate(fp32.embed(site.frames[:9], boxes))
    assert (found * wanted).sum(axis=1).min() > 0.999


def test_a_plan_that_is_there_is_not_built_again(site: Site) -> None:
    first = site.plan("fp32")
    said: list[str] = []
    began = time.monotonic()
    again = site.plan("fp32", progress=said.append)
    assert (again.path, said) == (first.path, [])
    assert time.monotonic() - began < 10


def test_a_changed_plan_is_set_aside_and_one_of_nonsense_refused(
    site: Site, fp32: TensorRTEngine, tmp_path: Path
) -> None:
    plan = site.plan("fp32")
    files = {name: plan.read(name) for name in ("search.plan", "query.plan")}
    cache = PlanCache(tmp_path / "cache")
    copy = cache.store(plan.key, files, plan.made)
    path = copy.path / "search.plan"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(PlanError, match="changed after it was written"):
        TensorRTEngine(site.bundle, copy)
    assert cache.find(plan.key) is None
    for nonsense in (b"nonsense" * 1000, files["search.plan"][:1000]):
        spoilt = cache.store(plan.key, {**files, "search.plan": nonsense}, plan.made)
        with pytest.raises(PlanError, match="TensorRT refuses it"):
            TensorRTEngine(site.bundle, spoilt)
    assert len(fp32.detect(site.frames[:1])) == 1


@pytest.mark.parametrize("n", [0, 1, BATCH[2] - 1, BATCH[2], BATCH[2] + 1, 2 * BATCH[2] + 1])
def test_sizes_around_the_largest_batch(site: Site, fp32: TensorRTEngine, n: int) -> None:
    found = fp32.detect(site.frames[:n])
    assert len(found) == n
    if n:
        stats = agree(site.truth[:n], found)
        assert stats.matched >= LEAST_MATCHED["fp32"]


def test_a_frame_has_the_same_answer_alone_and_in_company(site: Site, fp32: TensorRTEngine) -> None:
    together = fp32.detect(site.frames[:8])
    alone = [fp32.detect([frame])[0] for frame in site.frames[:8]]
    stats = agree(alone, together)
    assert stats.matched >= 0.995
    assert stats.cosine_median > 0.999


def test_threads_share_the_engine(site: Site, fp32: TensorRTEngine) -> None:
    wanted = fp32.detect(site.frames)
    matched: list[float] = []

    def work() -> None:
        for _ in range(5):
            matched.append(agree(wanted, fp32.detect(site.frames)).matched)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert len(matched) == 20
    assert min(matched) >= 0.995


def _seconds(work: Callable[[], Any], times: int = 5) -> float:
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def test_copies_overlap_the_computation(site: Site, fp16: TensorRTEngine) -> None:
    runner = fp16._open_runner()
    pixels = fp16._fit(site.frames[:8])

    def one_by_one() -> None:
        for _ in range(16):
            runner.search(pixels)

    def overlapped() -> None:
        last = runner.start(pixels)
        for _ in range(15):
            following = runner.start(pixels)
            last()
            last = following
        last()

    apart_s, together_s = _seconds(one_by_one), _seconds(overlapped)
    print(f"16 batches: {apart_s * 1e3:.1f} ms one by one, {together_s * 1e3:.1f} ms overlapped")
    assert together_s < 0.97 * apart_s


def test_it_is_faster_than_the_cpu(site: Site, fp16: TensorRTEngine) -> None:
    with OnnxEngine(site.bundle) as engine:
        cpu_s = _seconds(lambda: engine.detect(site.frames[:8]), times=1)
    gpu_s = _seconds(lambda: fp16.detect(site.frames[:8]))
    print(f"8 frames: {cpu_s * 1e3:.1f} ms on the CPU, {gpu_s * 1e3:.1f} ms on the GPU")
    assert gpu_s < cpu_s / 3


def test_closing_gives_the_memory_back(site: Site, fp32: TensorRTEngine) -> None:
    device = open_device(0)
    driver = require("pycuda.driver")

    def free_bytes() -> int:
        with device.active("asking for free memory"):
            return int(driver.mem_get_info()[0])

    def use() -> None:
        with TensorRTEngine(site.bundle, site.plan("fp32")) as engine:
            engine.detect(site.frames[:8])
            engine.embed(site.frames[:1], [np.array([[0, 0, 90, 200]], np.float32)])

    use()  # what stays loaded stays from here on
    before = free_bytes()
    for _ in range(3):
        use()
    assert before - free_bytes() < 64 << 20


def test_a_closed_engine_says_so(site: Site) -> None:
    engine = TensorRTEngine(site.bundle, site.plan("fp32"))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.detect(site.frames[:1])
