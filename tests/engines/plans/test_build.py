"""Building: once, under the right key, calibrated on what was given, compared before it is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import Bundle, open_bundle
from engines.errors import BackendUnavailableError, BuildError, PlanError
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.onnx_backend import OnnxEngine
from engines.plans.build import BATCH, build_plan, find_plan, plan_key
from engines.plans.cache import PlanCache
from engines.plans.makers import Job, Product

FRAMES = [np.full((40, 60, 3), shade, np.uint8) for shade in (10, 200)]


@dataclass
class Making:
    """Makes plans of graphs that it is given, and remembers what it was asked."""

    graphs: Callable[[Bundle], tuple[bytes, bytes]] = lambda b: (b.search_graph(), b.query_graph())
    jobs: list[Job] = field(default_factory=list)

    def __call__(self, job: Job) -> Product:
        self.jobs.append(job)
        search, query = self.graphs(job.bundle)
        files = {SEARCH_GRAPH: search, QUERY_GRAPH: query}
        return Product(files, {"note": "made by a test"}, timing=b"measured")


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def making() -> Making:
    return Making()


def test_a_plan_is_built_once_and_runs(cache: PlanCache, bundle: Bundle, making: Making) -> None:
    lines: list[str] = []
    plan = build_plan(
        bundle, "onnxruntime", "fp16", cache=cache, maker=making, progress=lines.append
    )
    again = build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=making)
    assert again == plan
    assert len(making.jobs) == 1
    assert lines == ["comparing it with the fp32 graph"]
    assert plan.key == plan_key(bundle, "onnxruntime", "fp16")
    with OnnxEngine(bundle, plan=plan, threads=1) as engine:
        assert (engine.info.backend, engine.info.precision) == ("onnxruntime", "fp16")
        assert engine.detect([np.full((64, 96, 3), 255, np.uint8)])[0].full
    assert [path.name for path in (cache.folder / "building").iterdir()] == []


def test_what_was_made_is_told(cache: PlanCache, bundle: Bundle, making: Making) -> None:
    plan = build_plan(
        bundle, "onnxruntime", "int8", frames=FRAMES, exclude=["conv1"], cache=cache, maker=making
    )
    made = dict(plan.made)
    parity = made.pop("parity")
    assert isinstance(parity, dict)
    assert parity["query_cosine_min"] == pytest.approx(1)
    assert (parity["frames"], parity["boxes"]) == (2, 6)
    assert set(made) == {"when", "seconds", "frames", "frames_sha256", "exclude", "note"}
    assert (made["frames"], made["exclude"], made["note"]) == (2, ["conv1"], "made by a test")
    (job,) = making.jobs
    assert [frame.shape for frame in job.frames] == [(3, 32, 48)] * 2
    assert job.exclude == ("conv1",)


def test_measurements_are_handed_to_the_next_build(
    cache: PlanCache, bundle: Bundle, making: Making
) -> None:
    for _ in range(2):
        build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=making, force=True)
    assert [job.timing for job in making.jobs] == [b"", b"measured"]


def test_int8_needs_frames_and_says_what_to_pass(
    cache: PlanCache, bundle: Bundle, making: Making
) -> None:
    with pytest.raises(BuildError, match=r"int8 of \S+ for onnxruntime without frames to calibrate"
                       r" on; pass frames of your cameras \(sightline engine build --data DIR or"
                       ):  # fmt: skip
        build_plan(bundle, "onnxruntime", "int8", cache=cache, maker=making)
    assert making.jobs == []
    assert not cache.folder.exists()


@pytest.mark.parametrize(
    ("more", "builds"),
    [
        ({}, 1),
        ({"frames": FRAMES}, 1),
        ({"frames": FRAMES[:1]}, 2),
        ({"frames": FRAMES, "exclude": ["conv1"]}, 2),
        ({"frames": FRAMES, "force": True}, 2),
    ],
)
def test_a_plan_is_made_again_only_where_more_is_asked(
    cache: PlanCache, bundle: Bundle, making: Making, more: dict[str, object], builds: int
) -> None:
    build_plan(bundle, "onnxruntime", "int8", frames=FRAMES, cache=cache, maker=making)
    build_plan(bundle, "onnxruntime", "int8", cache=cache, maker=making, **more)  # type: ignore[arg-type]
    assert len(making.jobs) == builds


def test_a_damaged_plan_is_made_again(cache: PlanCache, bundle: Bundle, making: Making) -> None:
    first = build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=making)
    (first.path / SEARCH_GRAPH).write_bytes(b"gone")
    second = build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=making)
    assert len(making.jobs) == 2
    assert second.read(SEARCH_GRAPH) == bundle.search_graph()


def test_a_plan_that_computes_something_else_is_not_kept(cache: PlanCache, bundle: Bundle) -> None:
    def dim(bundle: Bundle) -> tuple[bytes, bytes]:
        onnx = pytest.importorskip("onnx")
        model = onnx.load_model_from_string(bundle.query_graph())
        norm = next(node for node in model.graph.node if node.op_type == "LpNormalization")
        norm.op_type = "Softmax"
        del norm.attribute[:]
        return bundle.search_graph(), model.SerializeToString()

    with pytest.raises(BuildError, match=r"onnxruntime fp16 of \S+ does not compute what the "
                       r"bundle does: embeddings agree to 0\."):  # fmt: skip
        build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=Making(dim))
    assert cache.plans() == []
    assert list((cache.folder / "building").iterdir()) == []


def test_a_plan_that_cannot_be_loaded_is_not_kept(cache: PlanCache, bundle: Bundle) -> None:
    broken = Making(lambda b: (b"no graph", b.query_graph()))
    with pytest.raises(PlanError, match=r"search\.onnx: not an ONNX graph"):
        build_plan(bundle, "onnxruntime", "fp16", cache=cache, maker=broken)
    assert cache.plans() == []


@pytest.mark.parametrize(
    ("backend", "precision", "error", "said"),
    [
        ("abacus", "fp32", BackendUnavailableError, "no engine backend 'abacus'; there is auto"),
        ("onnxruntime", "bf16", BackendUnavailableError, "does not run bf16, it runs fp32, fp16"),
        ("onnxruntime", "fp32", BuildError, "runs fp32 from the bundle itself: nothing to build"),
    ],
)
def test_what_cannot_be_built_is_told(
    cache: PlanCache,
    bundle: Bundle,
    making: Making,
    backend: str,
    precision: str,
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        build_plan(bundle, backend, precision, cache=cache, maker=making)  # type: ignore[arg-type]


class Gpu:
    """A machine with a GPU, as far as its names go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engines.plans.build.machine_text", lambda *_: "H200 sm90 driver 1")
        monkeypatch.setattr("engines.plans.build.runtime_text", lambda _: "tensorrt 11.4.0.106")


@pytest.mark.parametrize("batch", [(0, 1, 2), (2, 1, 4), (1, 8, 4)])
def test_a_senseless_batch_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, batch: tuple[int, int, int]
) -> None:
    Gpu(monkeypatch)
    with pytest.raises(BuildError, match="batch must be MIN <= OPT <= MAX, MIN at least 1, got"):
        plan_key(bundle, "tensorrt", "fp16", batch=batch)


def test_a_compiled_plan_is_found_whatever_its_batch(
    cache: PlanCache, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch)
    wanted = plan_key(bundle, "tensorrt", "fp16")
    assert wanted.settings["batch"] == list(BATCH)
    assert find_plan(cache, wanted) is None
    larger = plan_key(bundle, "tensorrt", "fp16", batch=(1, 8, 16))
    cache.store(plan_key(bundle, "tensorrt", "fp32"), {"search.plan": b"x"}, {})
    stored = cache.store(larger, {"search.plan": b"x"}, {})
    assert find_plan(cache, wanted) == stored
    exact = cache.store(wanted, {"search.plan": b"x"}, {})
    assert find_plan(cache, wanted) == exact


def test_real_precisions_of_a_plan_have_keys_of_their_own(bundle: Bundle) -> None:
    keys: Sequence[str] = [
        plan_key(bundle, backend, precision).digest
        for backend, precision in (
            ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("onnxruntime", "int8"),
            ("openvino", "int8"),
        )
    ]  # fmt: skip
    assert len(set(keys)) == 4
