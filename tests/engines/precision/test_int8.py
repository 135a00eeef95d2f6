"""The int8 graphs: which layers, on which grids, for which runtime, and how well."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.lint import lint_graph
from engines.precision import int8_graphs

onnx = pytest.importorskip("onnx", reason="precision is lowered with the package onnx")

Run = Callable[..., dict[str, NDArray[Any]]]
SCHEMES = ("u8s8", "s8s8")
TRUNK = [f"net.trunk.conv{n}" for n in (1, 2, 3, 4)]
LAST = ["net.rpn.logits", "net.rpn.deltas", "net.reid.linear"]


def lower(mini: Any, scheme: Any = "u8s8", **options: Any) -> tuple[bytes, bytes, Any]:
    return int8_graphs(mini.search, mini.query, mini.frames, scheme=scheme, **options)


@pytest.fixture(scope="module", params=SCHEMES)
def lowered(mini: Any, request: pytest.FixtureRequest) -> tuple[str, bytes, bytes, Any]:
    return request.param, *lower(mini, request.param)


def constants(graph: bytes) -> dict[str, NDArray[Any]]:
    model = onnx.load_model_from_string(graph)
    return {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}


def pairs(graph: bytes, kind: str) -> list[Any]:
    model = onnx.load_model_from_string(graph)
    return [node for node in model.graph.node if node.op_type == kind]


def test_heavy_layers_are_chosen_and_last_ones_left(lowered: Any) -> None:
    facts = lowered[3]
    assert facts["int8"]["search"] == [*TRUNK, "net.rpn.conv", "net.reid.fc6", "net.reid.fc7"]
    assert facts["int8"]["query"] == [*TRUNK, "net.reid.fc6", "net.reid.fc7"]
    assert facts["float32"] == {"search": LAST, "query": ["net.reid.linear"]}
    assert facts["frames"] == 6
    assert facts["frames_with_persons"] == 6
    json.dumps(facts)


def test_the_weights_are_int8_by_output_channel(mini: Any, lowered: Any) -> None:
    stored = constants(lowered[1])
    wanted = constants(mini.search)["net.trunk.conv2.weight_f16"].astype(np.float32)
    integers, steps = stored["net.trunk.conv2.weight_int8"], stored["net.trunk.conv2.weight_scale"]
    assert integers.dtype == np.int8
    assert steps.shape == (8,)
    back = integers * steps[:, None, None, None]
    assert np.abs(back - wanted).max() <= steps.max() / 2 * 1.001
    assert (np.abs(integers).reshape(8, -1).max(axis=1) == 127).all()  # each uses its range
    assert not any("net.trunk.conv2.weight" in name and "f16" in name for name in stored)


def test_both_graphs_keep_the_rules(lowered: Any) -> None:
    assert lint_graph(lowered[1], precision="int8") == []
    assert lint_graph(lowered[2], precision="int8") == []


def test_symmetric_graphs_have_no_zero_points_and_float32_biases(mini: Any) -> None:
    for graph in lower(mini, "s8s8")[:2]:
        zeros = [v for k, v in constants(graph).items() if k.endswith("_zero")]
        assert {z.dtype for z in zeros} == {np.dtype(np.int8)}
        assert not any(z.any() for z in zeros)
        assert constants(graph)["net.trunk.conv1.bias"].dtype == np.float32


def test_asymmetric_graphs_use_uint8_and_int32_biases(mini: Any) -> None:
    search = lower(mini)[0]
    stored = constants(search)
    activations = [stored[n.input[2]] for n in pairs(search, "QuantizeLinear")]
    assert {z.dtype for z in activations} == {np.dtype(np.uint8)}
    assert {int(z) > 0 for z in activations} == {True, False}  # pixels have a sign, Relus none
    bias, steps = stored["net.trunk.conv1.bias_int32"], stored["net.trunk.conv1.bias_scale"]
    wanted = constants(mini.search)["net.trunk.conv1.bias"]
    np.testing.assert_allclose(bias * steps, wanted, atol=float(steps.max()))


def test_onnxruntime_computes_in_integers_throughout(mini: Any, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(lower(mini)[0], options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "optimised.onnx")).graph.node]
    assert kinds.count("QLinearConv") == 5
    assert kinds.count("QLinearAdd") == 1
    assert kinds.count("QGemm") == 2
    assert kinds.count("Conv") + kinds.count("FusedConv") == 2  # logits and deltas
    assert kinds.count("Gemm") == 1
    assert kinds.count("Relu") == 0


def test_it_computes_nearly_what_float32_computes(mini: Any, lowered: Any, run_graph: Run) -> None:
    frames = np.stack(mini.frames)
    before, after = run_graph(mini.search, frames=frames), run_graph(lowered[1], frames=frames)
    assert np.abs(before["scores"] - after["scores"]).max() < 0.08
    boxes = np.tile(np.array([[2, 3, 20, 30], [0, 0, 48, 32], [30, 8, 44, 31]], "f4"), (6, 1, 1))
    a = run_graph(mini.query, frames=frames, boxes=boxes)["embeddings"]
    b = run_graph(lowered[2], frames=frames, boxes=boxes)["embeddings"]
    assert 0.99 < (a * b).sum(axis=2).min() < 0.99999


def test_both_graphs_put_a_shared_layer_on_the_same_grid(lowered: Any) -> None:
    search, query = constants(lowered[1]), constants(lowered[2])
    for name in ("net.trunk.conv1", "net.trunk.conv4", "net.reid.fc7"):
        first, second = (
            next(n for n in onnx.load_model_from_string(g).graph.node if n.name == name)
            for g in lowered[1:3]
        )
        scale = [c[n.input[0].replace("_dq", "_scale")] for c, n in
                 ((search, first), (query, second))]  # fmt: skip
        assert scale[0] == scale[1] > 0


def test_the_same_frames_give_the_same_bytes(mini: Any) -> None:
    assert lower(mini)[:2] == lower(mini)[:2]
    others = int8_graphs(mini.search, mini.query, mini.frames[:2], scheme="u8s8")
    assert others[0] != lower(mini)[0]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["net.trunk.conv2"], ["net.trunk.conv2"]),
        (["net.trunk", "net.rpn.conv"], [*TRUNK, "net.rpn.conv"]),
        (["net.reid.linear"], []),  # is float32 as it is
    ],
)
def test_layers_can_be_excluded_by_name_or_start(
    mini: Any, exclude: list[str], left: list[str]
) -> None:
    search, _, facts = lower(mini, exclude=exclude)
    assert sorted(facts["float32"]["search"]) == sorted(LAST + left)
    assert facts["excluded"] == exclude
    stored = constants(search)
    assert all(f"{name}.weight_int8" not in stored for name in left)
    assert "net.reid.fc6.weight_int8" in stored


def test_a_name_that_no_layer_bears_is_refused(mini: Any) -> None:
    with pytest.raises(BuildError, match=r"no layer 'net\.trunk\.conv'; they have net\.trunk\."):
        lower(mini, exclude=["net.trunk.conv"])


def test_progress_counts_to_the_end(mini: Any) -> None:
    told: list[str] = []
    lower(mini, progress=told.append)
    assert told[0] == "looking for persons to calibrate on: frame 1 of 6"
    assert "calibrating the search graph: 6 of 6" in told
    assert told[-1] == "calibrating the query graph: 6 of 6"


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "needs frames to calibrate on, got none"),
        ([np.zeros((32, 48, 3), np.uint8)], r"frame 0 is uint8 \(32, 48, 3\), .* \(3, 32, 48\)"),
        ([np.zeros((3, 32, 48), np.float32)], "frame 0 is float32"),
    ],
)
def test_frames_that_do_not_fit_are_refused(mini: Any, frames: Any, words: str) -> None:
    with pytest.raises(BuildError, match=words):
        int8_graphs(mini.search, mini.query, frames, scheme="u8s8")


def test_frames_without_anybody_are_refused(make_mini: Any) -> None:
    def change(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values - 99 if name == "net.rpn.logits.bias" else values

    with pytest.raises(BuildError, match="nobody was found in the 6 calibration frames"):
        lower(make_mini(change))


def test_a_value_that_overflows_is_named(make_mini: Any) -> None:
    def change(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        factor = {"net.trunk.conv4.weight": 1e20, "net.reid.fc6.weight": 1e38}.get(name, 1.0)
        return (values * factor).astype(np.float32)

    with pytest.raises(BuildError, match=r"the search graph, tensor v\d+, .*NaN or infinite"):
        lower(make_mini(change, bare=True))


def test_an_unknown_scheme_is_refused(mini: Any) -> None:
    with pytest.raises(ValueError, match="scheme must be one of u8s8, s8s8, got 's8u8'"):
        lower(mini, "s8u8")


def test_graphs_that_are_none_of_ours_are_refused(mini: Any, tiny: Any) -> None:
    with pytest.raises(BuildError, match="cannot lower the query graph: not an ONNX graph"):
        int8_graphs(mini.search, b"no graph", mini.frames, scheme="u8s8")
    with pytest.raises(BuildError, match="search graph: it has no layers with trained weights"):
        int8_graphs(tiny.search_graph(), mini.query, mini.frames, scheme="u8s8")


def test_a_dead_channel_and_a_tensor_of_zeros_are_no_division_by_zero(
    make_mini: Any, run_graph: Run
) -> None:
    def change(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if name.startswith("net.trunk.conv2."):
            values[:] = 0
        if name == "net.trunk.conv3.weight":
            values[0] = 1e-30
        return values

    spoilt = make_mini(change, bare=True)
    for scheme in SCHEMES:
        search = lower(spoilt, scheme)[0]
        answer = run_graph(search, frames=np.stack(spoilt.frames))
        assert np.isfinite(answer["embeddings"]).all()
        assert all(np.isfinite(v).all() for v in constants(search).values())
