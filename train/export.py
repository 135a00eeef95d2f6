"""Turn a trained network into an engine bundle: two ONNX graphs and a manifest.

Weights are rounded to float16 before the export and stored so, with a cast to float32 in front
of each use that every runtime folds when it loads: half the bytes, and the same arithmetic in
torch and in the graph. Boxes, RoIs and scores are float32 throughout.
"""

import copy
import math
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_eval
from torchvision.ops import FrozenBatchNorm2d

from engines.bundle import write_bundle
from engines.lint import lint_graph
from train.calibrate import logit_shift
from train.checkpoint import Checkpoint, load_checkpoint, load_network
from train.config import FitConfig, NetworkConfig
from train.data.people import load_people
from train.errors import ExportError
from train.models.network import PersonSearchNet
from train.pretrained import credits_of

OPSET = 20
MIN_HALVED = 1024
"""Tensors with fewer elements stay float32: they are constants and normalisation terms."""


class _Search(nn.Module):
    def __init__(self, net: PersonSearchNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.net.search(frames)
        return found.boxes, found.scores, found.embeddings, found.counts


class _Query(nn.Module):
    def __init__(self, net: PersonSearchNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, boxes: Tensor) -> Tensor:
        return self.net.query(frames, boxes)


def deployed(net: PersonSearchNet) -> PersonSearchNet:
    """Return a copy as it is deployed: batch normalisation folded in, weights float16-exact.

    It is the reference that an exported graph is compared with.
    """
    net = copy.deepcopy(net).float().eval().to(memory_format=torch.contiguous_format)
    _fold(net)
    _spell_out(net)
    for value in net.parameters():
        halved = value.data.half().float()
        if value.numel() >= MIN_HALVED and bool(torch.isfinite(halved).all()):
            value.data = halved
    return net


class _Gelu(nn.Module):
    """x * P(X <= x), X normal (Hendrycks and Gimpel, "Gaussian Error Linear Units", Eq. 1)."""

    def forward(self, values: Tensor) -> Tensor:
        return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))


def _spell_out(module: nn.Module) -> None:
    """Write GELU as its formula: the operator Gelu is too new for some runtimes."""
    for name, child in module.named_children():
        if isinstance(child, nn.GELU):
            setattr(module, name, _Gelu())
        else:
            _spell_out(child)


def _fold(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution or linear layer before it."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if before is not None and isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d):
            setattr(module, before[0], _fused_conv(before[1], child))
            setattr(module, name, nn.Identity())
        elif before is not None and isinstance(child, nn.BatchNorm1d):
            assert isinstance(before[1], nn.Linear)
            setattr(module, before[0], fuse_linear_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = (name, child) if isinstance(child, nn.Conv2d | nn.Linear) else None


def _fused_conv(conv: nn.Module, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> nn.Module:
    assert isinstance(conv, nn.Conv2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias,
    )  # fmt: skip
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = weight, bias
    return fused


def export_search(net: PersonSearchNet) -> bytes:
    """Return the ``search`` graph of a network as `deployed` returns it."""
    height, width = net.config.input_hw
    frames = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    outputs = ["boxes", "scores", "embeddings", "counts"]
    return _export(_Search(net), (frames,), ["frames"], outputs)


def export_query(net: PersonSearchNet) -> bytes:
    """Return the ``query`` graph of a network as `deployed` returns it."""
    height, width = net.config.input_hw
    frames = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    boxes = torch.tensor([0.0, 0.0, 32.0, 64.0]).expand(2, net.config.query_boxes, 4).contiguous()
    return _export(_Query(net), (frames, boxes), ["frames", "boxes"], ["embeddings"])


def _export(
    module: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], outputs: Sequence[str]
) -> bytes:
    batch = Dim("batch", min=1, max=64)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph: bytes = _halve(program.model_proto).SerializeToString(deterministic=True)
    return graph


def _halve(model: Any) -> Any:
    """Store large float32 initialisers as float16, with a Cast back; drop what tools left."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        size = int(np.prod(tensor.dims)) if tensor.dims else 1
        if tensor.data_type != TensorProto.FLOAT or size < MIN_HALVED:
            continue
        values = numpy_helper.to_array(tensor)
        halved = values.astype(np.float16)
        if not np.array_equal(halved.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halved, name + "_f16"))
        casts.append(helper.make_node("Cast", [name + "_f16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    _strip(model)
    return model


def _strip(model: Any) -> None:
    """Remove notes of the exporter: paths of the machine it ran on, and shapes it can infer."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]


def export_bundle(
    checkpoint: Path | Checkpoint,
    out: Path,
    *,
    name: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str = "",
    input_hw: tuple[int, int] | None = None,
    cut: float = 0.5,
    calibrated_on: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write the engine bundle of a checkpoint and return ``out``.

    ``command`` is how the run was started, word for word; ``metrics`` what the engine scored.
    ``input_hw`` is another input size than the training's: the network is convolutional, and
    a larger input makes small persons easier. A score of ``cut`` becomes 0.5
    (`train.calibrate`), found on the data sets ``calibrated_on``.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        BundleError: something lies at ``out``, or the disk refuses.
        ExportError: the graph breaks a rule of `engines.lint`.
    """
    read = load_checkpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    saved = _resized(read, input_hw)
    config, net = saved.config, deployed(load_network(saved))
    with torch.no_grad():
        net.detection.logits.bias[1] += logit_shift(cut)
    search, query = export_search(net), export_query(net)
    for kind, graph in (("search", search), ("query", query)):
        broken = lint_graph(graph)
        if broken:
            raise ExportError(f"the {kind} graph breaks a rule: {'; '.join(broken)}")
    return write_bundle(
        out,
        search=search,
        query=query,
        name=name or f"{config.network.model}-{config.network.backbone}",
        input_hw=config.network.input_hw,
        max_persons=config.network.max_persons,
        query_boxes=config.network.query_boxes,
        dim=config.network.dim,
        score_threshold=0.5,
        nms_threshold=config.network.nms,
        preset=config.preset,
        dataset=", ".join(_datasets(config)),
        metrics=metrics or {},
        training=_training(saved, command)
        | {"calibration": {"cut": round(cut, 4), "data": list(calibrated_on)}},
        attributions=_attributions(config),
        versions=_versions(),
        overwrite=overwrite,
    )


def _resized(saved: Checkpoint, input_hw: tuple[int, int] | None) -> Checkpoint:
    if input_hw is None:
        return saved
    try:
        network = NetworkConfig(**(saved.config.network.model_dump() | {"input_hw": input_hw}))
    except ValueError as error:
        raise ExportError(f"cannot export for an input of {input_hw}: {error}") from error
    return replace(saved, config=saved.config.model_copy(update={"network": network}))


def _training(saved: Checkpoint, command: str) -> dict[str, Any]:
    settings = saved.config.model_dump(mode="json", exclude={"out", "data", "people"})
    untrained = {"reid": "untrained: a random projection"} if saved.iteration == 0 else {}
    return untrained | {
        "command": command,
        "seed": saved.config.seed,
        "iterations": saved.iteration,
        "identities": saved.identities,
        "duration_s": round(saved.seconds),
        "settings": settings,
    }


def _datasets(config: FitConfig) -> list[str]:
    before = ["COCO 2017 (detection)"] if config.init == "coco" else []
    return before + [path.name for path in config.data]


def _attributions(config: FitConfig) -> list[str]:
    people = load_people(config.people).attributions if config.people is not None else ()
    return [*people, *credits_of(config)]


def _versions() -> dict[str, str]:
    names = ("sightline", "torch", "torchvision", "onnx", "onnxscript", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
