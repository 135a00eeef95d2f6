"""Settings of a network and of a training run, and the presets that fill them.

``paper`` is what the papers state; ``strong`` is what later systems showed to matter; ``small``
is the engine that ships: ResNet-18 at half width for a CPU; ``tiny`` trains in seconds.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from train.errors import ConfigError

ModelName = Literal["dc-i-net", "i-net", "oim", "separate"]
MODELS: tuple[str, ...] = get_args(ModelName)
"""The papers' networks; ``separate`` is their baseline of a detector and an ID-net apart."""

LossName = Literal["olp", "hep", "c2hep", "oim", "softmax", "triplet", "contrastive"]
LOSSES: tuple[str, ...] = get_args(LossName)
METRIC_LOSSES = frozenset({"olp", "triplet", "contrastive"})
"""Losses on pairs, weighted by alpha; all others classify identities and are weighted by beta."""

BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "vgg16",
    "mobilenet_v3_large",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "resnet50_fpn",
    "mobilenet_v3_large_fpn",
)
PYRAMID_BACKBONES = frozenset({"resnet50_fpn", "mobilenet_v3_large_fpn"})
"""Backbones with a feature pyramid; the only ones that COCO weights start."""
COCO_CLASSES = 91
"""Rows of the classifier of torchvision's COCO detectors: 0 is the background, 1 the person."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Settings):
    """Everything that decides the shape of a network and what its graphs compute."""

    model: ModelName = "dc-i-net"
    backbone: str = "resnet50"
    width: float = Field(1.0, gt=0, le=1, description="share of the backbone's channels")
    frozen_norm: bool = Field(False, description="the trunk's batch normalisation does not train")
    input_hw: tuple[int, int] = (608, 1088)
    anchor_sizes: tuple[float, ...] = Field(
        (64.0, 128.0, 256.0), description="square roots of areas; a pyramid has torchvision's"
    )
    anchor_ratios: tuple[float, ...] = Field(
        (1.0, 2.0, 3.0), description="height / width; a pyramid has torchvision's"
    )
    rpn_channels: int = Field(512, ge=8, description="a pyramid has as many as its levels")
    pre_nms: int = Field(512, ge=1, lt=3840, description="proposals of a level that enter NMS")
    proposals: int = Field(128, ge=1, description="proposals a frame (paper: 128)")
    proposal_nms: float = Field(0.7, gt=0, lt=1)
    detection_pool_hw: tuple[int, int] = (7, 7)
    reid_pool_hw: tuple[int, int] = (14, 7)
    shared_pool: Literal["align", "pool"] = Field("pool", description="RoIs of a shared head")
    crop_hw: tuple[int, int] = Field((256, 128), description="crops of a separate ID-net")
    reid_rows: int = Field(1, ge=1, description="horizontal stripes that are pooled apart")
    reid_pool: Literal["mean", "max"] = "mean"
    reid_levels: Literal["head", "trunk+head"] = Field("head", description="maps an embedding uses")
    reid_neck: bool = Field(False, description="batch normalisation before the L2 norm")
    dim: int = Field(256, ge=8)
    classes: int = Field(2, ge=2, description="rows of the classifier; 1 is the person")
    box_weights: tuple[float, float] = (10.0, 5.0)
    nms: float = Field(0.4, gt=0, lt=1, description="NMS of the detections (protocol: 0.4)")
    max_persons: int = Field(32, ge=1)
    query_boxes: int = Field(8, ge=1)
    min_score: float = Field(0.05, ge=0, lt=1, description="below it a slot counts as empty")

    @model_validator(mode="after")
    def _fits(self) -> "NetworkConfig":
        if any(side % 16 for side in self.input_hw):
            raise ValueError(f"input_hw must be multiples of 16, got {self.input_hw}")
        if self.max_persons > self.proposals or self.proposals > self.pre_nms:
            raise ValueError("need max_persons <= proposals <= pre_nms")
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"unknown backbone {self.backbone!r}; there are {', '.join(BACKBONES)}"
            )
        if self.backbone == "vgg16" and self.reid_rows > 1:
            raise ValueError("vgg16 ends in fully connected layers: reid_rows must be 1")
        if self.dim % 2 and self.reid_levels == "trunk+head":
            raise ValueError("an embedding of two levels needs an even dim")
        return self

    @model_validator(mode="after")
    def _fits_pyramid(self) -> "NetworkConfig":
        if self.backbone not in PYRAMID_BACKBONES:
            return self
        if self.model != "dc-i-net":
            raise ValueError(f"backbone {self.backbone} is for model dc-i-net, not {self.model}")
        if any(side % 32 for side in self.input_hw):
            raise ValueError(
                f"input_hw must be multiples of 32 for {self.backbone}, got {self.input_hw}"
            )
        if self.detection_pool_hw != (7, 7):
            raise ValueError(
                f"detection_pool_hw must be (7, 7) for {self.backbone}, "
                f"got {self.detection_pool_hw}"
            )
        return self


class LossConfig(_Settings):
    """Weights and settings of the losses (paper: section 3 and 4, Eq. 1-10)."""

    losses: tuple[LossName, ...] = Field(("olp", "c2hep"), description="which, by name")
    alpha: float = Field(1.0, ge=0, description="weight of losses on pairs (OLP), Eq. 6 and 10")
    beta: float = Field(1.0, ge=0, description="weight of losses on identities, Eq. 6 and 10")
    olp_scale: float = Field(1.0, gt=0, description="multiplies the cosine in Eq. 1; paper: 1")
    dictionary: int = Field(40 * 128, ge=1, description="slots of the feature dictionary")
    stored_per_box: int = Field(4, ge=1)
    centre_scale: float = Field(10.0, gt=0, description="lambda of Eq. 8; paper: 10")
    centre_momentum: float = Field(0.5, ge=0, lt=1, description="phi of Eq. 7; paper: 0.5")
    centre_norm: bool = True
    hep_scale: float = Field(1.0, gt=0, description="multiplies the feature in Eq. 5; paper: 1")
    softmax_scale: float = Field(1.0, gt=0)
    oim_scale: float = Field(10.0, gt=0, description="1 / temperature; paper: 10")
    oim_queue: int = Field(5000, ge=1, description="slots for persons without identity")
    oim_momentum: float = Field(0.5, ge=0, lt=1)
    triplet_margin: float = Field(0.2, gt=0)
    contrastive_margin: float = Field(1.0, gt=0)
    pool_size: int = Field(100, ge=1, description="T identities in the priority pool")
    pool_hard: int = Field(20, ge=0, description="r most similar negatives a subgroup")
    rpn_batch: int = Field(256, ge=2)
    rois: int = Field(128, ge=2, description="RoIs a frame that train the detection head")
    foreground: float = Field(0.25, gt=0, lt=1)
    box_loss: float = Field(1.0, gt=0, description="weight of both box regressions")

    @field_validator("losses", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Take ``olp+c2hep`` for both, and ``none`` for detection alone."""
        if not isinstance(value, str):
            return value
        return tuple(part for part in value.split("+") if part and part != "none")

    @model_validator(mode="after")
    def _once(self) -> "LossConfig":
        if len(set(self.losses)) != len(self.losses):
            raise ValueError(f"a loss is named twice: {'+'.join(self.losses)}")
        return self

    def weight(self, loss: str) -> float:
        """Return the weight of a loss in the total."""
        return self.alpha if loss in METRIC_LOSSES else self.beta


class FitConfig(_Settings):
    """One training run. Together with the data it decides every number that comes out."""

    preset: str
    network: NetworkConfig
    loss: LossConfig
    data: tuple[Path, ...]
    people: Path | None = None
    people_share: float = Field(0.0, ge=0, lt=1, description="share of real pictures a batch")
    paste: float = Field(0.0, ge=0, le=1, description="share of frames that get pasted persons")
    out: Path
    init: str = Field("none", description="none, imagenet, coco or the path of a checkpoint")
    iterations: int = Field(70_000, ge=1)
    pairs: int = Field(1, ge=1, description="pairs of frames an iteration, over all processes")
    accumulate: int = Field(1, ge=1, description="iterations whose gradients make one step")
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.001, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    warmup: int = Field(0, ge=0)
    step_at: int = Field(40_000, ge=1)
    clip: float = Field(0.0, ge=0, description="gradient norm limit; 0 = none")
    amp: bool = Field(False, description="bfloat16 in the convolutions")
    augment: Literal["none", "light", "strong"] = "none"
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    loaders: int = Field(1, ge=1, description="threads that prepare batches")
    save_every: int = Field(250, ge=1, description="iterations between checkpoints")
    keep_every: int = Field(0, ge=0, description="iterations between kept copies; 0 = none")
    log_every: int = Field(10, ge=1, description="iterations between lines of the log")
    tensorboard: bool = False

    @field_validator("augment", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return (
            {True: "light", False: "none"}.get(value, value) if isinstance(value, bool) else value
        )


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"network": {}, "loss": {}, "run": {}},
    "strong": {
        "network": {
            "input_hw": (896, 1504), "reid_neck": True, "reid_pool": "max",
            "reid_levels": "trunk+head",
        },
        "loss": {
            "olp_scale": 30.0, "centre_scale": 30.0, "oim_scale": 30.0, "hep_scale": 30.0,
            "softmax_scale": 30.0, "foreground": 0.5, "box_loss": 10.0,
        },
        "run": {
            "pairs": 2, "lr": 0.003, "warmup": 2000, "clip": 10.0, "amp": True, "augment": "light",
        },
    },
    "small": {
        "network": {
            "backbone": "resnet18", "width": 0.5, "input_hw": (384, 672), "rpn_channels": 128,
            "anchor_sizes": (40.0, 75.0, 140.0, 250.0), "pre_nms": 384, "proposals": 96,
            "reid_rows": 4, "reid_neck": True,
        },
        "loss": {
            "olp_scale": 16.0, "centre_scale": 16.0, "oim_scale": 16.0, "hep_scale": 16.0,
            "softmax_scale": 16.0, "dictionary": 4096, "rois": 48, "foreground": 0.4,
            "pool_size": 400, "box_loss": 2.0,
        },
        "run": {
            "pairs": 4, "optimiser": "adamw", "lr": 0.001, "weight_decay": 0.02,
            "schedule": "cosine", "warmup": 100, "clip": 5.0, "amp": True, "augment": "strong",
            "iterations": 4000,
        },
    },
    "tiny": {
        "network": {
            "backbone": "resnet18", "width": 0.125, "input_hw": (96, 160), "rpn_channels": 16,
            "anchor_sizes": (16.0, 32.0, 64.0), "pre_nms": 64, "proposals": 24,
            "max_persons": 8, "query_boxes": 4, "crop_hw": (64, 32),
        },
        "loss": {
            "olp_scale": 10.0, "hep_scale": 10.0, "softmax_scale": 10.0, "dictionary": 64,
            "oim_queue": 64, "rois": 16, "foreground": 0.5, "pool_size": 8, "pool_hard": 4,
            "rpn_batch": 64,
        },
        "run": {"pairs": 1, "optimiser": "adamw", "iterations": 20, "save_every": 5},
    },
}  # fmt: skip

_LOSSES_OF: Mapping[str, tuple[str, ...]] = {
    "dc-i-net": ("olp", "c2hep"),
    "i-net": ("olp", "hep"),
    "oim": ("oim",),
    "separate": ("softmax",),
}
_BACKBONE_OF: Mapping[str, str] = {"i-net": "vgg16"}
"""What preset ``paper`` takes where it is not ResNet-50."""

PRETRAINED = ("imagenet", "coco")
"""Values of ``init`` that name published weights; ``none`` and a path are the others."""


def make_config(
    preset: str,
    *,
    data: tuple[Path, ...],
    out: Path,
    model: str | None = None,
    **changes: Any,
) -> FitConfig:
    """Return the settings of a preset with ``changes``.

    ``model`` also chooses the losses and head that its paper gives it, where no change names
    others. A run that starts from another (``init`` is its path) has that one's network, where
    no change names another backbone. A change names a field of `FitConfig`, or one of its network
    or loss settings by its own name (``backbone="resnet18"``, ``olp_scale=30``); ``None`` means
    "as the preset says".

    Raises:
        ConfigError: no such preset, model or field, or values that do not fit.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    given = {name: value for name, value in changes.items() if value is not None}
    parts = {name: dict(values) for name, values in PRESETS[preset].items()}
    for name, value in given.items():
        parts[_part_of(name)][name] = value
    start = parts["run"].get("init", "none")
    if start not in ("none", *PRETRAINED) and "backbone" not in given:
        changed = {k: v for k, v in given.items() if k in NetworkConfig.model_fields}
        parts["network"] |= _of_run(Path(start)) | changed
    _of_model(preset, model or parts["network"].get("model", "dc-i-net"), parts, given)
    try:
        network = NetworkConfig(**parts["network"])
        loss = LossConfig(**parts["loss"])
        return FitConfig(
            preset=preset, network=network, loss=loss, data=data, out=out, **parts["run"]
        )
    except ValueError as error:
        raise ConfigError(f"settings of preset {preset!r} do not fit: {error}") from error


def _of_run(path: Path) -> dict[str, Any]:
    """Return the network settings of a run; none where no settings lie beside its checkpoint."""
    path = (path if path.is_dir() else path.parent) / "config.json"
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["network"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} holds no settings of a run: {error}") from error


def _of_model(
    preset: str, model: str, parts: dict[str, dict[str, Any]], given: Mapping[str, Any]
) -> None:
    """Fill in what a network's paper says and nobody has changed."""
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; there are {', '.join(MODELS)}")
    network, loss, run = parts["network"], parts["loss"], parts["run"]
    network["model"] = model
    if preset == "paper":
        network.setdefault("backbone", _BACKBONE_OF.get(model, "resnet50"))
    loss.setdefault("losses", _LOSSES_OF[model])
    vgg = network.get("backbone", "resnet50") == "vgg16"
    if model in ("i-net", "oim") and "detection_pool_hw" not in given:
        network["detection_pool_hw"] = (7, 7) if vgg else (14, 14)
    if vgg and "reid_rows" not in given:
        network["reid_rows"] = 1
    if run.get("init", "none") == "coco":
        network |= {k: v for k, v in _of_coco(preset).items() if k not in given}
    if run.get("init", "none") in PRETRAINED:
        network.setdefault("frozen_norm", True)


def _of_coco(preset: str) -> dict[str, Any]:
    """Return what a detector of all COCO's classes needs: more proposals than persons alone."""
    light = preset in ("small", "tiny")
    return {
        "backbone": "mobilenet_v3_large_fpn" if light else "resnet50_fpn",
        "width": 1.0, "classes": COCO_CLASSES, "pre_nms": 512, "proposals": 256,
    }  # fmt: skip


def _part_of(name: str) -> str:
    if name in NetworkConfig.model_fields:
        return "network"
    if name in LossConfig.model_fields:
        return "loss"
    if name in FitConfig.model_fields:
        return "run"
    raise ConfigError(f"unknown training setting {name!r}")
