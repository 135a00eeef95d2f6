"""How long a step of training takes, against the same network made of torchvision's parts.

Both nets see the same frames and persons, draw as many anchors, proposals and RoIs, embed up to
as many boxes a person, and end in the same identity losses and optimiser. They take steps in
turn in one process, so that whatever else the machine does hits both.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.config import FitConfig, make_config
from train.distributed import World
from train.errors import ConfigError
from train.experiments.torchvision_net import TorchvisionLearner
from train.learner import make_learner, placed
from train.models.backbones import freeze_stem
from train.models.targets import Targets, stack_targets

IDENTITIES = 200
PERSONS = 5
"""Persons a frame."""
WARM_UP = 1
"""Steps of each network that are not counted."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of each step, in turn; ``setting`` says what was trained."""

    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]
    setting: dict[str, Any]

    @property
    def ratio(self) -> float:
        """Median over the pairs of steps of our time divided by torchvision's."""
        pairs = zip(self.ours_s, self.theirs_s, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def as_json(self) -> dict[str, Any]:
        """Return medians, ratio and every step as JSON values."""
        return {
            "ours_s": statistics.median(self.ours_s),
            "torchvision_s": statistics.median(self.theirs_s),
            "ratio": self.ratio,
            "steps": [list(pair) for pair in zip(self.ours_s, self.theirs_s, strict=True)],
            "setting": self.setting,
        }


def compare_steps(
    *,
    input_hw: tuple[int, int] = (320, 544),
    frames: int = 2,
    rois: int = 128,
    repeats: int = 5,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> StepTimes:
    """Time steps of DC-I-Net with ResNet-50 and of its like from torchvision, in turn.

    Args:
        input_hw: height and width of the frames, multiples of 32.
        frames: of one step, an even number.
        rois: proposals a frame, and RoIs of them that train the detection head.
        repeats: steps of each that are timed.
        threads: processor threads; torch's own choice by default.
        device: cpu or cuda.
        progress: called with the pairs of steps done and in total.

    Raises:
        ConfigError: a size does not fit.
    """
    _check(input_hw, frames, repeats)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        config = _config(input_hw, frames, rois, device)
        ours, theirs = _ours(config), _theirs(config)
        batch, targets = _batch(config)
        steps = [_stepper(net, config, batch, targets) for net in (ours, theirs)]
        taken = [_pair(steps, number) for number in _counted(repeats + WARM_UP, progress)]
    finally:
        torch.set_num_threads(before)
    ours_s, theirs_s = zip(*taken[WARM_UP:], strict=True)
    return StepTimes(ours_s, theirs_s, _setting(config, threads or before))


def _check(input_hw: tuple[int, int], frames: int, repeats: int) -> None:
    if any(side < 32 or side % 32 for side in input_hw):
        raise ConfigError(f"input_hw must be multiples of 32, got {input_hw}")
    if frames < 2 or frames % 2:
        raise ConfigError(f"frames must be an even number, got {frames}")
    if repeats < 1:
        raise ConfigError(f"repeats must be at least 1, got {repeats}")


def _config(input_hw: tuple[int, int], frames: int, rois: int, device: str) -> FitConfig:
    """Return preset ``paper`` with torchvision's width of the proposal head."""
    return make_config(
        "paper", data=(), out=Path(), input_hw=input_hw, pairs=frames // 2, device=device,
        frozen_norm=True, rpn_channels=1024, proposals=rois, rois=rois, pre_nms=4 * rois,
        max_persons=min(32, rois),
    )  # fmt: skip


def _ours(config: FitConfig) -> nn.Module:
    learner = make_learner(config, IDENTITIES, World(device=torch.device(config.device)))
    freeze_stem(learner.net.trunk)
    return placed(learner)


def _theirs(config: FitConfig) -> nn.Module:
    torch.manual_seed(config.seed)
    learner = TorchvisionLearner(config, IDENTITIES).to(config.device)
    return learner.to(memory_format=torch.channels_last).train()


def _batch(config: FitConfig) -> tuple[Tensor, Targets]:
    """Return noise, with the same identities in every two frames."""
    generator = torch.Generator().manual_seed(config.seed)
    height, width = config.network.input_hw
    count = 2 * config.pairs
    frames = torch.randint(0, 256, (count, 3, height, width), generator=generator)
    boxes = [_persons(height, width, generator) for _ in range(count)]
    labels = [torch.arange(PERSONS) + PERSONS * (number // 2) for number in range(count)]
    device = torch.device(config.device)
    return frames.to(device, torch.uint8), stack_targets(boxes, labels).to(device)


def _persons(height: int, width: int, generator: torch.Generator) -> Tensor:
    tall = height * (0.3 + 0.3 * torch.rand(PERSONS, generator=generator))
    size = torch.stack([tall * 0.4, tall], dim=1)
    room = torch.tensor([width, height]) - size
    corner = room * torch.rand((PERSONS, 2), generator=generator)
    return torch.cat([corner, corner + size], dim=1)


def _stepper(
    net: nn.Module, config: FitConfig, frames: Tensor, targets: Targets
) -> Callable[[int], float]:
    """Return what takes a step with a network and says how many seconds it took."""
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-5, momentum=0.9)
    frames = frames.contiguous(memory_format=torch.channels_last)

    def step(number: int) -> float:
        generator = torch.Generator().manual_seed(number)
        _settle(config.device)
        begun = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        losses = net(frames, targets, generator)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        _settle(config.device)
        return time.perf_counter() - begun

    return step


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _pair(steps: list[Callable[[int], float]], number: int) -> tuple[float, float]:
    ours, theirs = (step(number) for step in steps)
    return ours, theirs


def _counted(total: int, progress: Callable[[int, int], None] | None) -> Any:
    for number in range(total):
        yield number
        if progress is not None:
            progress(number + 1, total)


def _setting(config: FitConfig, threads: int) -> dict[str, Any]:
    return {
        "backbone": config.network.backbone,
        "input_hw": list(config.network.input_hw),
        "frames": 2 * config.pairs,
        "persons": 2 * config.pairs * PERSONS,
        "proposals": config.network.proposals,
        "rois": config.loss.rois,
        "losses": list(config.loss.losses),
        "device": config.device,
        "threads": threads,
        "torch": torch.__version__,
    }
