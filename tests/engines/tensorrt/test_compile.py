"""TensorRT-RTX, which compiles without a GPU, takes our graphs through the same `build()`.

It shares TensorRT's reader of ONNX and its compiler, not its kernels: what it refuses TensorRT
would most likely refuse, what it takes is no proof.
"""

import importlib
import importlib.util
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from engines.bundle import Bundle, open_bundle, shipped_bundle
from engines.errors import BuildError
from engines.precision import fp16_graph, int8_graphs
from engines.tensorrt.builder import Built, build

if os.environ.get("REQUIRE_TENSORRT_RTX") != "1":
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX compiles the graphs of this test")
rtx = importlib.import_module("tensorrt_rtx")
onnx = pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")
EXPORTS = Path(__file__).resolve().parents[2] / "train" / "test_export.py"
PROFILES = [(1, 1, 1), (1, 4, 8)]
pytestmark = pytest.mark.filterwarnings(  # TensorRT has timing caches, TensorRT-RTX has none
    "ignore:.*Timing cache operations are no-ops in TensorRT-RTX:DeprecationWarning"
)


class Graphs(NamedTuple):
    """The two graphs of a bundle, and frames with persons to calibrate on."""

    search: bytes
    query: bytes
    frames: Sequence[Any]

    def lowered(self, precision: str) -> tuple[bytes, bytes]:
        if precision == "fp16":
            return fp16_graph(self.search), fp16_graph(self.query)
        if precision == "int8":
            return int8_graphs(self.search, self.query, self.frames, scheme="s8s8")[:2]
        return self.search, self.query


def compiled(graph: bytes, batch: tuple[int, int, int] = (1, 4, 8), **options: Any) -> Built:
    return build(graph, batch=batch, module=rtx, **options)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return open_bundle(shipped_bundle())


@pytest.fixture(scope="module")
def graphs(shipped: Bundle, drawn: Callable[..., list[Any]]) -> Graphs:
    """Give the shipped graphs with two drawn pictures of upright figures."""
    frames = [frame.transpose(2, 0, 1) for frame in drawn(shipped.manifest.input_hw, 2)]
    return Graphs(shipped.search_graph(), shipped.query_graph(), frames)


@pytest.mark.parametrize("batch", PROFILES)
def test_the_shipped_query_graph_compiles(shipped: Bundle, batch: tuple[int, int, int]) -> None:
    built = compiled(shipped.query_graph(), batch)
    assert len(built.plan) > 1_000_000


def test_the_shipped_search_graph_compiles_and_tells_how_far_it_is(shipped: Bundle) -> None:
    said: list[tuple[str, int]] = []
    ticks = _Ticks()
    with ticks:
        compiled(
            shipped.search_graph(),
            progress=lambda text: said.append((text, threading.get_ident())),
        )
    texts = [text for text, _ in said]
    assert texts[0] == "Building engine"
    assert any(text.startswith("Building engine ") and "/" in text for text in texts)
    assert len(texts) < 100
    assert {thread for _, thread in said} == {threading.get_ident()}
    assert ticks.count > 5  # other threads ran on meanwhile


class _Ticks:
    """Counts in a thread of its own for as long as Python lets it."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.count += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("batch", PROFILES)
def test_the_tiny_graphs_compile(tiny: ModuleType, batch: tuple[int, int, int]) -> None:
    for graph in (tiny.search_graph(), tiny.query_graph()):
        assert compiled(graph, batch).plan


def test_lower_precision_makes_a_smaller_plan(graphs: Graphs) -> None:
    full, half, quarter = (
        len(compiled(graphs.lowered(precision)[1]).plan) for precision in ("fp32", "fp16", "int8")
    )
    assert quarter < half < 0.7 * full


def test_a_node_that_cannot_be_read_is_named(tiny: ModuleType) -> None:
    g = tiny.Graph()
    pixels = g.op("Cast", "frames", to=1)
    g.op("RoiAlign", pixels, g.const([[0, 0, 9, 9]]), g.const([0], "int64"), outputs=("scores",))
    with pytest.raises(BuildError, match=r"cannot read the graph: .*RoiAlign"):
        compiled(one_output(g))


def test_a_node_that_has_no_kernel_is_told_from_the_recorder(tiny: ModuleType) -> None:
    g = tiny.Graph()
    pixels = g.op("Cast", "frames", to=1)
    flat = g.op("Reshape", pixels, g.const([0, -1, 4], "int64"))
    scores = g.op("ReduceMax", flat, g.const([2], "int64"))
    wide = g.op("Transpose", scores, perm=[0, 2, 1])
    most = g.const([9], "int64")
    g.op("NonMaxSuppression", flat, wide, most, g.const([0.5]), g.const([0.1]), outputs=("scores",))
    with pytest.raises(BuildError, match=r"cannot compile the graph: .*scores.* has no runners"):
        compiled(one_output(g, dtype=7, shape=["n", 3]))


def one_output(g: Any, dtype: int = 1, shape: Sequence[Any] = ("n", 3, 1, 1)) -> bytes:
    data: bytes = g.build({"frames": (2, ["batch", 3, 32, 48])}, {"scores": (dtype, list(shape))})
    return data


def test_only_the_batch_may_be_open(tiny: ModuleType) -> None:
    g = tiny.Graph()
    g.op("Cast", "frames", to=1, outputs=("scores",))
    for shape in (["batch", 3, 32, "width"], [2, 3, 32, 48]):
        graph = g.build({"frames": (2, shape)}, {"scores": (1, shape)})
        with pytest.raises(
            BuildError, match=r"input frames has sizes .*; only the first may be open"
        ):
            compiled(graph)


class _Through:
    """Stands before an object, and changes what is given by name."""

    def __init__(self, real: Any, **changed: Any) -> None:
        self.__dict__.update(changed, _real=real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


@pytest.mark.parametrize("tf32", [False, True])
def test_the_settings_of_a_build_are_those_asked_for(tiny: ModuleType, tf32: bool) -> None:
    configs: list[Any] = []

    def builder(log: Any) -> Any:
        real = rtx.Builder(log)

        def create_builder_config() -> Any:
            configs.append(real.create_builder_config())
            return configs[0]

        return _Through(real, create_builder_config=create_builder_config)

    spied = _Through(rtx, Builder=builder)
    build(tiny.query_graph(), module=spied, tf32=tf32, workspace_bytes=64 << 20, batch=(2, 3, 5))
    (config,) = configs
    assert config.get_flag(rtx.BuilderFlag.TF32) == tf32
    assert config.get_memory_pool_limit(rtx.MemoryPoolType.WORKSPACE) == 64 << 20
    assert config.num_optimization_profiles == 1


def test_too_small_a_workspace_is_told(tiny: ModuleType) -> None:
    with pytest.raises(BuildError, match=r"cannot compile the graph: .*workspace limit"):
        compiled(tiny.query_graph(), workspace_bytes=3 << 20)


@pytest.mark.parametrize("batch", [(0, 1, 2), (2, 1, 4), (1, 5, 4)])
def test_a_profile_out_of_order_is_refused(tiny: ModuleType, batch: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="batch must be MIN,OPT,MAX"):
        compiled(tiny.query_graph(), batch)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(BuildError, match=r"cannot read the graph: .*parse"):
        compiled(b"no graph")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_while_telling_stops_the_build(
    shipped: Bundle, error: type[BaseException]
) -> None:
    def stop(text: str) -> None:
        raise error

    began = time.monotonic()
    with pytest.raises(error):
        compiled(shipped.query_graph(), progress=stop)
    stopped_s = time.monotonic() - began
    began = time.monotonic()
    compiled(shipped.query_graph())
    assert stopped_s < 0.7 * (time.monotonic() - began)


def test_a_timing_cache_is_given_back_and_a_broken_one_is_no_fault(tiny: ModuleType) -> None:
    first = compiled(tiny.query_graph())
    assert first.timing_cache
    for timing_cache in (first.timing_cache, b"broken" * 9):
        assert compiled(tiny.query_graph(), timing_cache=timing_cache).plan


def _exports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tests_train_test_export", EXPORTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exports() -> ModuleType:
    """Give the tests of the export, which know every network."""
    pytest.importorskip("torch", reason="torch exports the networks of this test")
    return _exports()


def _networks() -> list[tuple[str, str]]:
    if importlib.util.find_spec("torch") is None:
        return []
    from train.config import BACKBONES, MODELS

    pairs = [(model, backbone) for model in MODELS for backbone in BACKBONES]
    return [pair for pair in pairs if pair[0] == "dc-i-net" or not pair[1].endswith("_fpn")]


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest, exports: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Graphs:
    """Export a network as it starts."""
    from train.export import export_bundle

    model, backbone = request.param
    folder = tmp_path_factory.mktemp("network")
    pyramid = {"input_hw": (96, 160)} if backbone.endswith("_fpn") else {}
    export_bundle(exports.run_of(folder / "run", model, backbone=backbone, **pyramid), folder / "b")
    bundle = open_bundle(folder / "b")
    rng = np.random.default_rng(0)
    shape = (3, *bundle.manifest.input_hw)
    frames = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
    return Graphs(bundle.search_graph(), bundle.query_graph(), frames)


@pytest.mark.slow
def test_every_network_of_the_export_is_here(exports: ModuleType) -> None:
    assert _networks() == exports.ALL


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("exported", _networks(), indirect=True, ids="-".join)
def test_every_network_compiles(exported: Graphs, precision: str) -> None:
    for graph in exported.lowered(precision):
        for batch in PROFILES:
            assert compiled(graph, batch).plan


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_shipped_bundle_compiles(graphs: Graphs, precision: str) -> None:
    for graph in graphs.lowered(precision):
        for batch in PROFILES:
            assert compiled(graph, batch).plan
