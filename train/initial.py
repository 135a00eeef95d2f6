"""An engine before any training of one's own: a published detector, and an embedding at random."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from engines.bundle import check_target
from train.checkpoint import CHECKPOINT, Checkpoint, Progress, write_safetensors
from train.config import FitConfig, make_config
from train.errors import CheckpointError, ConfigError
from train.export import export_bundle
from train.models.backbones import backbone_spec
from train.models.build import build_network
from train.models.network import PersonSearchNet
from train.pretrained import download_coco, load_coco
from train.published import Tick, read_weights
from train.run import make_folder


def init_engine(
    out: Path,
    *,
    weights: str = "coco",
    backbone: str | None = None,
    input_hw: tuple[int, int] | None = None,
    seed: int = 0,
    file: Path | None = None,
    run: Path | None = None,
    command: str = "",
    tick: Tick | None = None,
) -> Path:
    """Write an engine bundle whose detector is torchvision's of COCO, and return ``out``.

    It finds real people as that detector does. Its embeddings are no trained re-identification
    (`train.pretrained.project_at_random`).

    Args:
        out: the new bundle.
        weights: ``coco``: no others hold a detector.
        backbone: ``resnet50_fpn`` unless given, or ``mobilenet_v3_large_fpn``.
        input_hw: height and width of the input, multiples of 32.
        seed: draws the projection of the embedding.
        file: torchvision's file of the weights, fetched elsewhere; else cache or network.
        run: a folder that gets the same network as a checkpoint, for ``--init`` of ``fit``.
        command: how it was asked for, word for word, for the record.
        tick: is told how far a download is.

    Raises:
        ConfigError: other weights or settings that do not fit, or the weights cannot be had.
        CheckpointError: ``run`` holds a run already, or the disk refuses.
        BundleError: something lies at ``out``, or the disk refuses.
    """
    if weights != "coco":
        raise ConfigError(f"weights {weights!r} hold no detector; an engine can start from coco")
    config = make_config(
        "paper", data=(), out=run or out, init="coco", backbone=backbone, input_hw=input_hw,
        seed=seed,
    )  # fmt: skip
    check_target(out, overwrite=False)
    _check_run(run)
    net = build_network(config.network)
    load_coco(net, _weights(config, file, tick), seed)
    saved = _checkpoint(config, net)
    if run is not None:
        _write(run, saved)
    return export_bundle(saved, out, name=f"coco-{config.network.backbone}", command=command)


def _weights(config: FitConfig, file: Path | None, tick: Tick | None) -> Mapping[str, Tensor]:
    backbone = config.network.backbone
    if file is None or backbone_spec(backbone).coco is None:
        return download_coco(backbone, tick)
    return read_weights(file)


def _checkpoint(config: FitConfig, net: PersonSearchNet) -> Checkpoint:
    tensors = {f"net.{key}": value for key, value in net.state_dict().items()}
    return Checkpoint(config, Progress(iteration=0, identities=0, seconds=0.0), tensors)


def _check_run(run: Path | None) -> None:
    if run is not None and (run / CHECKPOINT).exists():
        raise CheckpointError(f"{run} holds a run already; name another folder")


def _write(run: Path, saved: Checkpoint) -> None:
    make_folder(saved.config)
    header = {
        "config": saved.config.model_dump_json(),
        "progress": saved.progress.model_dump_json(),
    }
    write_safetensors(run / CHECKPOINT, saved.tensors, header)
