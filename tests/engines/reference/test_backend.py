"""The reference engine: constants, freeing, errors, devices."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bundle import Bundle, open_bundle
from engines.compare import compare
from engines.errors import (
    BackendUnavailableError,
    BundleError,
    DeviceLostError,
    InferenceError,
)
from engines.reference.backend import ReferenceEngine
from engines.reference.program import Program
from engines.reference.registry import OPERATORS, Operator

torch = pytest.importorskip("torch", reason="the reference runs in torch")

Picture = NDArray[np.uint8]
WHITE = np.full((64, 96, 3), 255, np.uint8)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


def test_it_says_what_it_is(bundle: Bundle) -> None:
    with ReferenceEngine(bundle, threads=1) as engine:
        assert (engine.info.backend, engine.info.precision) == ("reference", "fp32")
        assert engine.info.model == bundle.manifest.model


def small_graph(tiny: ModuleType) -> Any:
    """x [n, 6] in; its rows sorted and doubled by a weight that two nodes make."""
    g = tiny.Graph()
    two = g.op("Cast", g.const([2], np.float16), to=1)
    factor = g.op("Identity", two)
    sizes = g.op("Concat", g.op("Shape", "x", end=1), g.const([2, 3], np.int64), axis=0)
    doubled = g.op("Mul", "x", factor)
    g.op("Relu", doubled)  # nobody asks for it
    g.op("Reshape", doubled, sizes, outputs=("y",))
    return g.build({"x": (1, ["n", 6])}, {"y": (1, ["n", 2, 3])})


def test_constants_are_worked_out_once_and_idle_nodes_left_out(tiny: ModuleType) -> None:
    program = Program(small_graph(tiny), "cpu")
    assert [step.operator.name for step in program._steps] == ["Shape", "Concat", "Mul", "Reshape"]
    assert [step.on_host for step in program._steps] == [False, True, False, False]
    x = torch.arange(12.0).reshape(2, 6)
    y = program.run({"x": x})["y"]
    assert y.tolist() == (2 * x).reshape(2, 2, 3).tolist()


def test_values_are_freed_when_nobody_needs_them(tiny: ModuleType) -> None:
    program = Program(small_graph(tiny), "cpu")
    freed = [set(step.frees) for step in program._steps]
    made = {name for step in program._steps for name in step.outputs}
    assert freed[-2] == {"x"}  # the input goes with its last use
    assert set.union(*freed) == made - {"y"} | {"x"}
    assert sum(map(len, freed)) == len(made)  # each once


def test_a_run_leaves_its_input_alone(bundle: Bundle) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    kept = frame.copy()
    frame.setflags(write=False)
    with ReferenceEngine(bundle, threads=1) as engine:
        first = engine.detect([frame], min_score=0)
        assert compare(first, engine.detect([frame], min_score=0)).within(box_px=0, cosine=1 - 1e-9)
    assert (frame == kept).all()


def test_a_failing_node_is_named(tiny: ModuleType, tmp_path: Path) -> None:
    short = tiny.search_graph(table=tiny.cell_boxes()[:3])
    path = tiny.write_tiny(tmp_path / "b", search=short)
    with (
        ReferenceEngine(open_bundle(path)) as engine,
        pytest.raises(InferenceError, match=r"reference failed on a batch: Gather v\d+: .*range"),
    ):
        engine.detect([WHITE])


def test_an_answer_of_another_size_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(tiny.search_graph())
    for output in model.graph.output:
        if output.name == "boxes":
            output.type.tensor_type.shape.dim[1].dim_value = 5
    path = tiny.write_tiny(tmp_path / "b", search=model.SerializeToString(), max_persons=4)
    with pytest.raises(BundleError, match=r"output boxes is \[\?, 5, 4\], not \[batch, 4, 4\]"):
        ReferenceEngine(open_bundle(path))


def test_a_lie_about_an_output_is_found(tiny: ModuleType, tmp_path: Path) -> None:
    lying = tiny.search_graph(table=tiny.cell_boxes()[:, :2].copy())
    path = tiny.write_tiny(tmp_path / "b", search=lying)
    with (
        ReferenceEngine(open_bundle(path)) as engine,
        pytest.raises(InferenceError, match=r"output boxes came as float32 \(1, 4, 2\)"),
    ):
        engine.detect([WHITE])


@pytest.mark.parametrize("device", ["abacus", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(bundle: Bundle, device: str) -> None:
    with pytest.raises(BackendUnavailableError, match=device):
        ReferenceEngine(bundle, device=device)


@pytest.mark.parametrize("threads", [0, -2])
def test_a_senseless_number_of_threads_is_refused(bundle: Bundle, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {threads}"):
        ReferenceEngine(bundle, threads=threads)


def test_the_number_of_threads_holds_for_its_own_calls_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []
    plain = OPERATORS["TopK"]

    def run(*arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return plain.run(*arguments)

    spying = Operator("TopK", run, plain.defaults, plain.host, plain.refuse)
    monkeypatch.setitem(OPERATORS, "TopK", spying)
    with ReferenceEngine(bundle, threads=before + 1) as engine:
        engine.detect([WHITE])
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("error", "ours", "reason"),
    [
        ("AcceleratorError", DeviceLostError, "the CUDA device is lost: TopK .*: illegal access"),
        ("OutOfMemoryError", InferenceError, "failed on a batch: TopK .*: illegal access"),
    ],
)
def test_errors_of_a_device_become_ours(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    error: str,
    ours: type[InferenceError],
    reason: str,
) -> None:
    plain = OPERATORS["TopK"]

    def fail(*_: Any) -> Any:
        raise getattr(torch, error)("illegal access\nmore")

    monkeypatch.setitem(
        OPERATORS, "TopK", Operator("TopK", fail, plain.defaults, plain.host, plain.refuse)
    )
    with ReferenceEngine(bundle) as engine, pytest.raises(ours, match=reason) as raised:
        engine.detect([WHITE])
    assert type(raised.value) is ours


@pytest.mark.gpu
def test_a_gpu_answers_as_the_cpu(bundle: Bundle) -> None:
    frames = [WHITE, WHITE[::2], np.zeros_like(WHITE)]
    with ReferenceEngine(bundle) as cpu, ReferenceEngine(bundle, device="cuda") as gpu:
        expected = cpu.detect(frames, min_score=0)
        assert compare(expected, gpu.detect(frames, min_score=0)).within(box_px=1e-3, cosine=0.9999)
        boxes = [found.boxes for found in expected]
        for a, b in zip(cpu.embed(frames, boxes), gpu.embed(frames, boxes), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
