"""Settings of a network and of a training run, and the presets that fill them.

``paper`` is what the paper states; ``strong`` is what later systems showed to matter; ``small``
is the engine that ships: ResNet-18 at half width for a CPU; ``tiny`` is for tests.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from train.errors import ConfigError


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Settings):
    """Everything that decides the shape of a DC-I-Net and what its graphs compute."""

    backbone: str = "resnet50"
    width: float = Field(1.0, gt=0, le=1, description="share of the backbone's channels")
    input_hw: tuple[int, int] = (608, 1088)
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0)
    anchor_ratios: tuple[float, ...] = (1.0, 2.0, 3.0)
    rpn_channels: int = Field(512, ge=8)
    pre_nms: int = Field(512, ge=1, lt=3840, description="proposals that enter NMS")
    proposals: int = Field(128, ge=1, description="proposals a frame (paper: 128)")
    proposal_nms: float = Field(0.7, gt=0, lt=1)
    detection_pool_hw: tuple[int, int] = (7, 7)
    reid_pool_hw: tuple[int, int] = (14, 7)
    reid_rows: int = Field(1, ge=1, description="horizontal stripes that are pooled apart")
    reid_neck: bool = Field(False, description="batch normalisation before the L2 norm")
    dim: int = Field(256, ge=8)
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
        return self


class LossConfig(_Settings):
    """Weights and settings of the losses (paper: section 3 and 4, Eq. 1-10)."""

    alpha: float = Field(1.0, ge=0, description="weight of OLP, Eq. 10")
    beta: float = Field(1.0, ge=0, description="weight of C2HEP, Eq. 10")
    olp_scale: float = Field(1.0, gt=0, description="multiplies the cosine in Eq. 1; paper: 1")
    dictionary: int = Field(40 * 128, ge=1, description="slots of the feature dictionary")
    stored_per_box: int = Field(4, ge=1)
    centre_scale: float = Field(10.0, gt=0, description="lambda of Eq. 8; paper: 10")
    centre_momentum: float = Field(0.5, ge=0, lt=1, description="phi of Eq. 7; paper: 0.5")
    centre_norm: bool = True
    pool_size: int = Field(100, ge=1, description="T identities in the priority pool")
    pool_hard: int = Field(20, ge=0, description="r most similar negatives a subgroup")
    rpn_batch: int = Field(256, ge=2)
    rois: int = Field(128, ge=2, description="RoIs a frame that train the detection head")
    foreground: float = Field(0.25, gt=0, lt=1)
    box_loss: float = Field(1.0, gt=0, description="weight of both box regressions")


class FitConfig(_Settings):
    """One training run. Together with the data it decides every number that comes out."""

    preset: str
    network: NetworkConfig
    loss: LossConfig
    data: tuple[Path, ...]
    people: Path | None = None
    people_share: float = Field(0.0, ge=0, lt=1, description="share of real pictures a batch")
    out: Path
    init: Literal["none", "imagenet"] = "none"
    iterations: int = Field(70_000, ge=1)
    pairs: int = Field(1, ge=1, description="pairs of frames an iteration")
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.001, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    warmup: int = Field(0, ge=0)
    step_at: int = Field(40_000, ge=1)
    clip: float = Field(0.0, ge=0, description="gradient norm limit; 0 = none")
    amp: bool = Field(False, description="bfloat16 in the convolutions")
    augment: bool = False
    seed: int = 0
    save_every: int = Field(250, ge=1)


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"network": {}, "loss": {}, "run": {}},
    "strong": {
        "network": {"input_hw": (896, 1504), "reid_neck": True},
        "loss": {"olp_scale": 30.0, "centre_scale": 30.0, "foreground": 0.5, "box_loss": 10.0},
        "run": {
            "pairs": 2, "lr": 0.003, "warmup": 2000, "clip": 10.0, "amp": True, "augment": True,
        },
    },
    "small": {
        "network": {
            "backbone": "resnet18", "width": 0.5, "input_hw": (384, 672), "rpn_channels": 128,
            "anchor_sizes": (48.0, 88.0, 160.0), "pre_nms": 384, "proposals": 96,
            "reid_rows": 4, "reid_neck": True,
        },
        "loss": {
            "olp_scale": 16.0, "centre_scale": 16.0, "dictionary": 4096, "rois": 48,
            "foreground": 0.4, "pool_size": 400, "box_loss": 2.0,
        },
        "run": {
            "pairs": 4, "optimiser": "adamw", "lr": 0.001, "weight_decay": 0.02,
            "schedule": "cosine", "warmup": 100, "clip": 5.0, "amp": True, "augment": True,
            "iterations": 4000,
        },
    },
    "tiny": {
        "network": {
            "backbone": "resnet18", "width": 0.125, "input_hw": (96, 160), "rpn_channels": 16,
            "anchor_sizes": (16.0, 32.0, 64.0), "pre_nms": 64, "proposals": 24,
            "max_persons": 8, "query_boxes": 4,
        },
        "loss": {
            "olp_scale": 10.0, "dictionary": 64, "rois": 16, "foreground": 0.5,
            "pool_size": 8, "pool_hard": 4, "rpn_batch": 64,
        },
        "run": {"pairs": 1, "optimiser": "adamw", "iterations": 20, "save_every": 5},
    },
}  # fmt: skip


def make_config(preset: str, *, data: tuple[Path, ...], out: Path, **changes: Any) -> FitConfig:
    """Return the settings of a preset with ``changes``.

    A change names a field of `FitConfig`, or one of its network or loss settings by its own name
    (``backbone="resnet18"``, ``olp_scale=30``); ``None`` means "as the preset says".

    Raises:
        ConfigError: no such preset or field, or values that do not fit.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    parts = {name: dict(values) for name, values in PRESETS[preset].items()}
    for name, value in changes.items():
        if value is not None:
            parts[_part_of(name)][name] = value
    try:
        network = NetworkConfig(**parts["network"])
        loss = LossConfig(**parts["loss"])
        return FitConfig(
            preset=preset, network=network, loss=loss, data=data, out=out, **parts["run"]
        )
    except ValueError as error:
        raise ConfigError(f"settings of preset {preset!r} do not fit: {error}") from error


def _part_of(name: str) -> str:
    if name in NetworkConfig.model_fields:
        return "network"
    if name in LossConfig.model_fields:
        return "loss"
    if name in FitConfig.model_fields:
        return "run"
    raise ConfigError(f"unknown training setting {name!r}")
