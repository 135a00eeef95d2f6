"""Every network that trains, lowered: the right layers, and graphs that run and agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.lint import lint_graph
from engines.precision import fp16_graph, int8_graphs

torch = pytest.importorskip("torch", reason="the networks are made with torch")
pytest.importorskip("onnxscript", reason="networks are exported with onnxscript")

from train.config import BACKBONES, MODELS, make_config  # noqa: E402
from train.export import deployed, export_query, export_search  # noqa: E402
from train.models.build import build_network  # noqa: E402

Run = Callable[..., dict[str, NDArray[Any]]]
LAST = ("logits", "deltas", "objectness", "linear")
ALL = [
    (model, backbone)
    for model in MODELS
    for backbone in BACKBONES
    if model == "dc-i-net" or not backbone.endswith("_fpn")
]


def network(model: str, backbone: str) -> Any:
    """Return a network as it is deployed, its biases all different, persons everywhere."""
    pyramid = {"input_hw": (96, 160)} if backbone.endswith("_fpn") else {}
    paths: dict[str, Any] = {"data": (Path("data"),), "out": Path("out")}
    config = make_config("tiny", **paths, model=model, backbone=backbone, **pyramid)
    torch.manual_seed(0)
    net = build_network(config.network)
    with torch.no_grad():
        net.detection.logits.weight.mul_(20)
        for name, value in net.named_parameters():
            if name.endswith("bias"):
                value.normal_(0, 0.01)
    return deployed(net)


def frames_of(net: Any) -> list[NDArray[np.uint8]]:
    height, width = net.config.input_hw
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 3, height // 8, width // 8), dtype=np.uint8)
    return list(coarse.repeat(8, axis=2).repeat(8, axis=3))


def layer_names(net: Any) -> set[str]:
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return {f"net.{name}" for name, part in net.named_modules() if isinstance(part, kinds)}


def check(model: str, backbone: str, run_graph: Run) -> None:
    net = network(model, backbone)
    search, query, frames = export_search(net), export_query(net), frames_of(net)
    boxes = np.tile(np.array([10, 8, 70, 90], np.float32), (2, net.config.query_boxes, 1))
    feed = {"frames": np.stack(frames), "boxes": boxes}
    wanted = run_graph(query, **feed)["embeddings"]
    half = fp16_graph(search), fp16_graph(query)
    assert cosine(wanted, run_graph(half[1], **feed)["embeddings"]) > 0.9999
    assert np.isfinite(run_graph(half[0], frames=feed["frames"])["embeddings"]).all()
    for scheme in ("u8s8", "s8s8"):
        low = int8_graphs(search, query, frames, scheme=scheme)  # type: ignore[arg-type]
        assert cosine(wanted, run_graph(low[1], **feed)["embeddings"]) > 0.99
        assert np.isfinite(run_graph(low[0], frames=feed["frames"])["embeddings"]).all()
        assert [lint_graph(graph, "int8") for graph in low[:2]] == [[], []]
        heavy = {name.partition(":")[0] for name in low[2]["int8"]["search"]}
        last = {name.partition(":")[0] for name in low[2]["float32"]["search"]}
        assert heavy == {name for name in layer_names(net) if not name.endswith(LAST)}
        assert last == {name for name in layer_names(net) if name.endswith(LAST)}


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float((a * b).sum(axis=2).min())


def test_a_network_is_lowered(run_graph: Run) -> None:
    check("dc-i-net", "resnet18", run_graph)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "backbone"), ALL)
def test_every_network_is_lowered(model: str, backbone: str, run_graph: Run) -> None:
    check(model, backbone, run_graph)
