"""No backend runs a graph that is not what it should be: a BundleError, never a crash.

Bundles are sealed by whoever writes them, so a wrong graph may well have the right hash.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines import bundle as bundle_module
from engines.backends import BACKENDS, Opening
from engines.bundle import open_bundle
from engines.engine import Engine
from engines.errors import BundleError
from engines.graph_form import form_faults

onnx = pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")

FRAME = np.zeros((64, 96, 3), np.uint8)
BOX = np.array([[0, 0, 8, 8]], np.float32)


@pytest.fixture(params=["onnxruntime", "openvino", "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    known = BACKENDS[name]
    missing = [module for module in known.modules if find_spec(module) is None]
    if missing and os.environ.get(f"REQUIRE_{name.upper()}") != "1":
        pytest.skip(f"{', '.join(missing)} is not installed (pip install -e '.[{known.extra}]')")
    return name


def opened(path: Path, backend: str) -> Engine:
    return BACKENDS[backend].open(Opening(open_bundle(path), "fp32", threads=1))


def search_model(tiny: ModuleType) -> Any:
    return onnx.load_model_from_string(tiny.search_graph())


def with_nodes(tiny: ModuleType, *nodes: Any, opset: int = 0) -> bytes:
    model = search_model(tiny)
    model.graph.node.extend(nodes)
    if opset:
        model.opset_import[0].version = opset
    return bytes(model.SerializeToString())


def node(op: str, **more: Any) -> Any:
    return onnx.helper.make_node(op, ["scores"], ["aside"], **more)


def test_a_good_bundle_is_opened(tiny_bundle: Path, backend: str) -> None:
    with opened(tiny_bundle, backend) as engine:
        assert len(engine.detect([FRAME])) == 1


IR = b"""<?xml version="1.0"?><net name="x" version="11"><layers></layers><edges></edges></net>"""


@pytest.mark.parametrize(
    "graph",
    [b"no graph at all", IR, b"\x00" * 100, b"\x3a\xff\xff\xff\xff\x0f", b"PK\x03\x04zip"],
    ids=["text", "openvino-ir", "zeros", "cut", "zip"],
)
def test_bytes_that_are_no_graph(
    tiny: ModuleType, tmp_path: Path, backend: str, graph: bytes
) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=graph)
    with pytest.raises(BundleError, match=r"search\.onnx: not an ONNX graph"):
        opened(path, backend)
    path = tiny.write_tiny(tmp_path / "c", query=graph)
    with (
        opened(path, backend) as engine,
        pytest.raises(BundleError, match=r"query\.onnx: not an ONNX graph"),
    ):
        engine.embed([FRAME], [BOX])


def test_a_cut_graph(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    graph = tiny.search_graph()
    for n, length in enumerate(range(0, len(graph), len(graph) // 5)):
        path = tiny.write_tiny(tmp_path / str(n), search=graph[: max(1, length)])
        with pytest.raises(BundleError, match=r"search\.onnx"):
            opened(path, backend)


@pytest.mark.parametrize(
    ("op", "more", "reason"),
    [
        ("NonZero", {}, r"operator NonZero \(1 times\) is not allowed"),
        ("Gelu", {"domain": "com.microsoft"}, r"operator com\.microsoft\.Gelu \(1 times\)"),
        ("Relu", {"domain": "nobody.knows"}, r"operator nobody\.knows\.Relu \(1 times\)"),
    ],
)
def test_a_foreign_operator(
    tiny: ModuleType, tmp_path: Path, backend: str, op: str, more: dict[str, Any], reason: str
) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=with_nodes(tiny, node(op, **more)))
    with pytest.raises(BundleError, match=rf"search\.onnx: {reason}"):
        opened(path, backend)


def test_an_old_opset(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=with_nodes(tiny, opset=17))
    with pytest.raises(BundleError, match=r"search\.onnx: opset 17 is older than 18"):
        opened(path, backend)


def test_an_opset_that_nobody_knows_yet(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=with_nodes(tiny, opset=99))
    with pytest.raises(BundleError, match=r"search\.onnx: opset 99 is newer than"):
        opened(path, backend)


def test_a_graph_within_the_graph(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    path = tiny.write_tiny(tmp_path / "b", search=with_nodes(tiny, node("Relu", then_branch=body)))
    with pytest.raises(BundleError, match="a graph within the graph"):
        opened(path, backend)


@pytest.mark.parametrize("location", ["weights.bin", "/etc/hostname", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("inside_a_node", [False, True])
def test_weights_that_lie_elsewhere_are_not_fetched(
    tiny: ModuleType,
    tmp_path: Path,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    inside_a_node: bool,
) -> None:
    """A file, or even an address in memory, that OpenVINO and ONNX Runtime would read."""
    model = search_model(tiny)
    tensor = next(t for t in model.graph.initializer if list(t.dims) == [tiny.CELLS, 4])
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    monkeypatch.chdir(tmp_path)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    if inside_a_node:
        constant = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, constant)
    path = tiny.write_tiny(tmp_path / "b", search=model.SerializeToString())
    with pytest.raises(BundleError, match=r"search\.onnx: weights lie outside the graph's file"):
        opened(path, backend)


def test_an_oversized_graph(
    tiny_bundle: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    monkeypatch.setattr(bundle_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(BundleError, match=r"search\.onnx is larger than"):
        BACKENDS[backend].open(Opening(bundle, "fp32", threads=1))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_persons": 5}, r"output boxes is \[\S+, 4, 4\], not \[batch, 5, 4\]"),
        ({"input_hw": (32, 32)}, r"input frames is \[\S+, 3, 32, 48\], not \[batch, 3, 32, 32\]"),
        ({"search": {"batch": 2}}, "input frames has a fixed batch of 2"),
        ({"search": {"counts_type": 6}}, r"output counts is \S+, not int64"),
        ({"search": {"boxes_name": "rois"}}, "outputs are rois, scores, embeddings, counts, not b"),
        ({"search": "query"}, "inputs are frames, boxes, not frames"),
    ],
)
def test_a_graph_beside_its_manifest(
    tiny: ModuleType, tmp_path: Path, backend: str, changes: dict[str, Any], reason: str
) -> None:
    spoilt = changes.get("search")
    if spoilt == "query":
        changes = {"search": tiny.query_graph()}
    elif spoilt is not None:
        changes = {"search": tiny.search_graph(**spoilt)}
    path = tiny.write_tiny(tmp_path / "b", **changes)
    with pytest.raises(BundleError, match=rf"search\.onnx is not the graph .*: .*{reason}"):
        opened(path, backend)


def test_swapped_graphs(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=tiny.query_graph(), query=tiny.search_graph())
    with pytest.raises(BundleError, match=r"search\.onnx is not the graph of its manifest"):
        opened(path, backend)


def test_a_query_graph_of_other_sizes(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    path = tiny.write_tiny(tmp_path / "b", query_boxes=9)
    with (
        opened(path, backend) as engine,
        pytest.raises(BundleError, match=r"query\.onnx is not .*input boxes is \[\S+, 3, 4\]"),
    ):
        engine.embed([FRAME], [BOX])


def test_a_graph_that_was_changed_after_it_was_opened(
    tiny: ModuleType, tmp_path: Path, backend: str
) -> None:
    path = tiny.write_tiny(tmp_path / "b")
    with opened(path, backend) as engine:
        data = bytearray((path / "query.onnx").read_bytes())
        data[-1] ^= 1
        (path / "query.onnx").write_bytes(data)
        with pytest.raises(BundleError, match=r"query\.onnx was changed"):
            engine.embed([FRAME], [BOX])


def spoil(graph: bytes, name: bytes) -> bytes:
    assert name in graph
    return graph.replace(name, name[:-1] + b"\xf3")


@pytest.mark.parametrize("name", [b"batch", b"v0", b"frames", b"kernel_shape", b"c0"])
def test_a_name_that_is_no_text(
    tiny: ModuleType, tmp_path: Path, backend: str, name: bytes
) -> None:
    path = tiny.write_tiny(tmp_path / "b", search=spoil(tiny.search_graph(), name))
    with pytest.raises(BundleError, match=r"search\.onnx: not an ONNX graph"):
        opened(path, backend)


def test_any_byte_may_be_wrong(tiny: ModuleType, tmp_path: Path, backend: str) -> None:
    """With a hash that fits: the graph is refused, or it runs; nothing else happens."""
    graph = tiny.search_graph()
    rng = np.random.default_rng(4)
    refused = 0
    for n in range(25):
        data = bytearray(graph)
        at = int(rng.integers(len(data)))
        data[at] ^= 1 << int(rng.integers(8))
        path = tiny.write_tiny(tmp_path / str(n), search=bytes(data))
        try:
            opened(path, backend).close()
        except BundleError:
            refused += 1
    assert 2 < refused < 25


def test_the_form_of_a_graph_is_read_without_any_package(tiny: ModuleType) -> None:
    graph = tiny.search_graph()
    assert form_faults(graph) == []
    assert form_faults(graph + graph) == ["not an ONNX graph"]  # two graphs in one file
    sparse = search_model(tiny)
    sparse.graph.sparse_initializer.add()
    assert form_faults(sparse.SerializeToString()) == ["sparse weights"]
    local = search_model(tiny)
    local.functions.add(name="f")
    assert form_faults(local.SerializeToString()) == [
        "it holds more than a graph (functions or training)"
    ]
    other = search_model(tiny)
    other.opset_import[0].domain = "ai.onnx.ml"
    assert form_faults(other.SerializeToString()) == ["opset 0 is older than 18"]
    named = search_model(tiny)
    named.opset_import[0].domain = "ai.onnx"
    assert form_faults(named.SerializeToString()) == []
