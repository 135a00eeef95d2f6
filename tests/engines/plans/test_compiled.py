"""The way to TensorRT's plans: the right graph, the settings, what was measured, the names."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engines.bundle import Bundle, open_bundle, shipped_bundle
from engines.engine import open_engine
from engines.errors import BackendUnavailableError, BuildError, PlanError
from engines.plans import build as build_module
from engines.plans.build import build_plan, plan_key
from engines.plans.cache import PlanCache
from engines.switching import SwitchingEngine

RUNTIME, MACHINE = "tensorrt 11.4.0.106", "H200 sm90 driver 580 CUDA 13.0"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, as far as its names go; nothing can run on it."""
    monkeypatch.setattr(build_module, "machine_text", lambda *_: MACHINE)
    monkeypatch.setattr(build_module, "runtime_text", lambda _: RUNTIME)
    monkeypatch.setattr(build_module, "check_parity", lambda *_: None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the calls of a compiler that returns the graph itself."""
    made: list[dict[str, Any]] = []

    def build(graph: bytes, **options: Any) -> SimpleNamespace:
        made.append({"graph": graph, **options})
        return SimpleNamespace(plan=graph, timing_cache=options["timing_cache"] + b"+")

    monkeypatch.setattr("engines.tensorrt.builder.build", build)
    return made


@pytest.mark.usefixtures("gpu")
def test_fp32_compiles_the_graphs_of_the_bundle(
    tiny_bundle: Path, cache: PlanCache, calls: list[dict[str, Any]]
) -> None:
    bundle, lines = open_bundle(tiny_bundle), list[str]()
    plan = build_plan(
        bundle, "tensorrt", "fp32", batch=(1, 2, 16), workspace_bytes=1 << 30, cache=cache,
        progress=lines.append, device=3,
    )  # fmt: skip
    assert {call["device"] for call in calls} == {3}
    assert [call["graph"] for call in calls] == [bundle.search_graph(), bundle.query_graph()]
    assert {call["batch"] for call in calls} == {(1, 2, 16)}
    assert {call["workspace_bytes"] for call in calls} == {1 << 30}
    assert [call["timing_cache"] for call in calls] == [b"", b"+"]
    assert cache.timing(RUNTIME, MACHINE) == b"++"
    assert set(plan.files) == {"search.plan", "query.plan"}
    assert (plan.key.runtime, plan.key.machine) == (RUNTIME, MACHINE)
    assert plan.key.settings["batch"] == [1, 2, 16]
    assert plan.key.settings["tf32"] is False
    assert plan.made["workspace_bytes"] == 1 << 30
    assert lines[0] == "compiling search.onnx for fp32, batches of (1, 2, 16)"


@pytest.mark.usefixtures("gpu")
def test_lower_precisions_compile_lowered_graphs(
    tiny_bundle: Path,
    cache: PlanCache,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schemes: list[str] = []

    def int8(search: bytes, query: bytes, frames: Any, **options: Any) -> Any:
        schemes.append(options["scheme"])
        return b"int8 " + search, b"int8 " + query, {"layers": 3}

    monkeypatch.setattr("engines.precision.fp16_graph", lambda graph: b"fp16 " + graph)
    monkeypatch.setattr("engines.precision.int8_graphs", int8)
    bundle = open_bundle(tiny_bundle)
    build_plan(bundle, "tensorrt", "fp16", cache=cache)
    frame = np.zeros((32, 48, 3), np.uint8)
    plan = build_plan(bundle, "tensorrt", "int8", frames=[frame], cache=cache)
    assert [call["graph"][:5] for call in calls] == [b"fp16 "] * 2 + [b"int8 "] * 2
    assert schemes == ["s8s8"]
    assert plan.made["int8"] == {"layers": 3}
    assert calls[2]["timing_cache"] == b"++", "what was measured helps the next build"


@pytest.mark.usefixtures("gpu")
@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
def test_the_real_compiler_of_tensorrt_rtx_takes_our_graphs(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT-RTX compiles without a GPU; the plan cannot be run here."""
    rtx: ModuleType = pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("engines.tensorrt.builder.load", lambda: rtx)
    monkeypatch.setattr("engines.tensorrt.builder._current", lambda device: nullcontext())
    bundle = open_bundle(shipped_bundle())
    plan = build_plan(bundle, "tensorrt", "fp16", cache=cache)
    assert all(len(plan.read(name)) > 100_000 for name in ("search.plan", "query.plan"))
    assert plan == build_plan(bundle, "tensorrt", "fp16", cache=cache)


@pytest.fixture
def serving(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SwitchingEngine]:
    """Give a function that opens TensorRT without a plan, with something that makes one."""

    def begin(cache: PlanCache, make: Callable[..., Any]) -> SwitchingEngine:
        monkeypatch.setattr("engines.opening.make_in_background", make)
        engine = open_engine(
            tiny_bundle, backend="tensorrt", precision="fp16", threads=1, cache=cache, device=1
        )
        assert isinstance(engine, SwitchingEngine)
        return engine

    return begin


@pytest.mark.usefixtures("gpu")
def test_without_a_plan_another_serves_and_a_failure_is_told(
    cache: PlanCache, serving: Callable[..., SwitchingEngine]
) -> None:
    asked: list[Any] = []

    def make(bundle: Bundle, *words: Any, device: int) -> Any:
        asked.extend((bundle.manifest.name, *words[:2], device))
        raise BuildError("no kernel for this GPU")

    with serving(cache, make) as engine:
        assert engine.wait(10)
        assert asked == ["tiny", "tensorrt", "fp16", 1]
        assert engine.info.backend == "onnxruntime"
        assert engine.info.reason == "tensorrt fp16 cannot be made: no kernel for this GPU"
        assert engine.detect([np.full((64, 96, 3), 255, np.uint8)])[0].full


@pytest.mark.usefixtures("gpu")
def test_int8_is_never_made_in_the_background(tiny_bundle: Path, cache: PlanCache) -> None:
    """It needs frames of the site, which only a person can name."""
    said = (
        r"no plan of tensorrt int8 was made yet; run: sightline engine build \S+ "
        r"--backend tensorrt --precision int8 --data DIR"
    )
    with pytest.raises(PlanError, match=said):
        open_engine(tiny_bundle, backend="tensorrt", precision="int8", cache=cache)


def test_without_the_runtime_nothing_is_started(
    tiny_bundle: Path, cache: PlanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailableError, match="tensorrt"):
        open_engine(tiny_bundle, backend="tensorrt", cache=cache)


@pytest.mark.usefixtures("gpu")
def test_a_plan_of_another_gpu_or_version_is_not_found(
    tiny_bundle: Path,
    cache: PlanCache,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = open_bundle(tiny_bundle)
    build_plan(bundle, "tensorrt", "fp32", cache=cache)
    for name, here in (("machine_text", "L4 sm89 driver 580"), ("runtime_text", "tensorrt 11.5")):
        with monkeypatch.context() as patch:
            patch.setattr(build_module, name, lambda *_, here=here: here)
            assert cache.find(plan_key(bundle, "tensorrt", "fp32")) is None
            build_plan(bundle, "tensorrt", "fp32", cache=cache)
    assert len(calls) == 6, "each was built for itself"
    assert len(cache.plans()) == 3
