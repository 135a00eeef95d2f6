"""The lint names each broken rule, and nothing in a good graph."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engines import lint
from engines.lint import lint_graph

onnx = pytest.importorskip("onnx", reason="the lint reads graphs with the package onnx")
FLOAT, INT64, UINT8 = 1, 7, 2


def persons_of(g: Any, ranked: str) -> None:
    """Finish a search graph of 4 persons from a tensor (B, 3, 32, 48) in the plainest way."""
    flat = g.op("Reshape", ranked, g.const([0, -1], "int64"))
    g.op("Slice", flat, *(g.const([v], "int64") for v in (0, 4, 1)), outputs=("scores",))
    for name, size in (("boxes", 4), ("embeddings", 256)):
        part = g.op("Slice", flat, *(g.const([v], "int64") for v in (0, 4 * size, 1)))
        g.op("Reshape", part, g.const([0, 4, size], "int64"), outputs=(name,))
    total = g.op("ReduceSum", "scores", g.const([1], "int64"), keepdims=0)
    g.op("Cast", total, to=INT64, outputs=("counts",))


def build(g: Any, **options: Any) -> bytes:
    data: bytes = g.build(
        {"frames": (UINT8, ["batch", 3, 32, 48])},
        {
            "boxes": (FLOAT, ["batch", 4, 4]),
            "scores": (FLOAT, ["batch", 4]),
            "embeddings": (FLOAT, ["batch", 4, 256]),
            "counts": (INT64, ["batch"]),
        },
        **options,
    )
    return data


def cast(g: Any) -> str:
    name: str = g.op("Cast", "frames", to=FLOAT)
    return name


def good(g: Any) -> bytes:
    persons_of(g, cast(g))
    return build(g)


def test_the_tiny_graphs_and_a_plain_one_keep_all_rules(tiny: ModuleType, tmp_path: Path) -> None:
    assert lint_graph(tiny.search_graph()) == []
    assert lint_graph(tiny.query_graph()) == []
    assert lint_graph(good(tiny.Graph())) == []
    (tmp_path / "a.onnx").write_bytes(tiny.query_graph())
    assert lint_graph(tmp_path / "a.onnx") == []


def test_non_maximum_suppression_is_named(tiny: ModuleType) -> None:
    g = tiny.Graph()
    pixels = cast(g)
    flat = g.op("Reshape", pixels, g.const([1, -1, 4], "int64"))
    scores = g.op("ReduceMax", flat, g.const([2], "int64"))
    scores = g.op("Transpose", scores, perm=[0, 2, 1])
    g.op("NonMaxSuppression", flat, scores, g.const([9], "int64"))
    persons_of(g, pixels)
    assert "operator NonMaxSuppression (1 times) is not allowed" in lint_graph(build(g))


@pytest.mark.parametrize("kind", ["NonZero", "Loop", "If", "RoiAlign", "CumSum"])
def test_operators_off_the_list_are_named(tiny: ModuleType, kind: str) -> None:
    model = onnx.load_model_from_string(good(tiny.Graph()))
    model.graph.node.add(op_type=kind, input=["frames"], output=["unused"])
    assert f"operator {kind} (1 times) is not allowed" in lint_graph(model.SerializeToString())


def test_a_plugin_is_named_with_its_domain(tiny: ModuleType) -> None:
    model = onnx.load_model_from_string(good(tiny.Graph()))
    model.graph.node.add(op_type="EfficientNMS_TRT", domain="trt", output=["unused"])
    faults = lint_graph(model.SerializeToString())
    assert "operator trt.EfficientNMS_TRT (1 times) is not allowed" in faults


def test_an_old_opset_is_named(tiny: ModuleType) -> None:
    g = tiny.Graph()
    persons_of(g, cast(g))
    assert "opset 17 is older than 18" in lint_graph(build(g, opset=17))


def test_a_long_or_open_top_k_is_named(tiny: ModuleType) -> None:
    for k, words in (("constant", "K = 3840 is not below 3840"), ("free", "K is not a constant")):
        g = tiny.Graph()
        pixels = cast(g)
        flat = g.op("Reshape", pixels, g.const([0, -1], "int64"))
        size = g.const([3840], "int64")
        if k == "free":
            size = g.op("Slice", g.op("Shape", flat), *(g.const([v], "int64") for v in (1, 2)))
        g.op("TopK", flat, size, outputs=("top", "index"))
        persons_of(g, pixels)
        assert any(words in fault for fault in lint_graph(build(g)))


def test_weights_outside_the_file_are_named(tiny: ModuleType) -> None:
    model = onnx.load_model_from_string(good(tiny.Graph()))
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    faults = lint_graph(model.SerializeToString())
    assert faults == [f"weights of {tensor.name} lie outside the graph's file"]


def test_bytes_that_are_not_cast_are_named(tiny: ModuleType) -> None:
    g = tiny.Graph()
    flat = g.op("Transpose", "frames", perm=[0, 1, 3, 2])
    persons_of(g, g.op("Cast", flat, to=FLOAT))
    assert any("frames are bytes and may only be cast" in fault for fault in lint_graph(build(g)))


def test_two_open_sizes_inside_are_named(tiny: ModuleType) -> None:
    g = tiny.Graph()
    pixels = cast(g)
    sums = g.op("ReduceSum", pixels, g.const([1, 2, 3], "int64"), keepdims=0)
    length = g.op("Cast", g.op("ReduceMax", sums, keepdims=0), to=INT64)
    g.op("Range", g.const(0, "int64"), length, g.const(1, "int64"), outputs=("data_sized",))
    g.op("MatMul", g.op("Unsqueeze", g.op("Cast", "data_sized", to=FLOAT), g.const([1], "int64")),
         g.op("Unsqueeze", sums, g.const([0], "int64")), outputs=("two",))  # fmt: skip
    persons_of(g, pixels)
    faults = lint_graph(build(g))
    assert any(f.startswith("tensor two has sizes") for f in faults)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": 2}, "input frames has a fixed batch of 2"),
        ({"counts_type": 6}, "output counts is int32, not int64"),
        ({"boxes_name": "rois"}, "unknown output rois"),
        ({"boxes_name": "rois"}, "output boxes is missing"),
    ],
)
def test_inputs_and_outputs_beside_the_contract_are_named(
    tiny: ModuleType, change: dict[str, Any], words: str
) -> None:
    assert words in lint_graph(tiny.search_graph(**change))


def test_what_is_no_graph_is_told(tmp_path: Path) -> None:
    assert lint_graph(b"no graph")[0].startswith("not an ONNX graph")
    assert any("not a valid graph" in fault for fault in lint_graph(b""))


def test_the_list_holds_only_operators_that_exist() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert known >= lint.ALLOWED_OPS
