"""One step of training: forward, backward, clip, move; and the learning rate over time.

``accumulate`` iterations make one step: their gradients are averaged. The schedule counts
iterations; a step takes the rate of its last one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from train.config import FitConfig
from train.data.batches import Batch
from train.errors import ConfigError, TrainingDivergedError
from train.learner import Learner
from train.models.losses import total_loss
from train.models.targets import widened


def learning_rate(config: FitConfig, iteration: int) -> float:
    """Return the learning rate of an iteration: linear warm-up, then steps or a cosine."""
    if iteration < config.warmup:
        return config.lr * (iteration + 1) / config.warmup
    if config.schedule == "step":
        return config.lr * (0.1 if iteration >= config.step_at else 1.0)
    share = (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    return config.lr * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))


def make_optimiser(config: FitConfig, learner: Learner) -> torch.optim.Optimizer:
    """Return the optimiser of all that trains; only matrices and kernels decay."""
    trained = [p for p in learner.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)


@dataclass(frozen=True, slots=True)
class Taken:
    """An iteration: its losses by term, over all processes, and what its step did if it ended one.

    ``losses`` has the weighted sum as ``total``; ``gradient`` is the norm before clipping.
    """

    losses: dict[str, float]
    lr: float
    gradient: float | None


class Stepper:
    """Takes iterations; between steps it holds the gradients of the iterations so far."""

    def __init__(
        self,
        config: FitConfig,
        learner: Learner,
        optimiser: torch.optim.Optimizer,
        pictures: Callable[[int], Sequence[Path]],
    ) -> None:
        """Take what to train; ``pictures`` names the files of an iteration, for errors.

        Raises:
            ConfigError: the run would end in the middle of a step.
        """
        if config.iterations % config.accumulate:
            raise ConfigError(
                f"iterations {config.iterations} is no multiple of accumulate {config.accumulate}"
            )
        self._config, self._learner, self._optimiser = config, learner, optimiser
        self._pictures = pictures
        self._trained = [p for p in learner.parameters() if p.requires_grad]

    def take(self, iteration: int, batch: Batch) -> Taken:
        """Train on this process's part of an iteration's batch.

        Raises:
            TrainingDivergedError: a loss or the gradient is not finite; no weight has moved.
        """
        config = self._config
        last = (iteration + 1) % config.accumulate == 0
        losses = self._losses(iteration, batch)
        total = total_loss(losses, config.loss)
        means = world_means(losses | {"total": total}, self._learner)
        self._check(means, range(iteration, iteration + 1), "the loss")
        (total / config.accumulate).backward()  # type: ignore[no-untyped-call]
        lr = learning_rate(config, iteration)
        return Taken(means, lr, self._step(iteration, lr) if last else None)

    def _losses(self, iteration: int, batch: Batch) -> dict[str, Tensor]:
        config, world = self._config, self._learner.world
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + iteration)
        frames = batch.frames.to(world.device)
        frames = frames.contiguous(memory_format=torch.channels_last)
        persons = world.longest(batch.targets.labels.shape[1])
        targets = widened(batch.targets.to(world.device), persons)
        with torch.autocast(world.device.type, torch.bfloat16, enabled=config.amp):
            losses: dict[str, Tensor] = self._learner(frames, targets, generator)
        return losses

    def _step(self, iteration: int, lr: float) -> float:
        config = self._config
        self._learner.world.average_gradients(self._trained)
        norm = float(clip_grad_norm_(self._trained, config.clip or math.inf))
        group = range(iteration + 1 - config.accumulate, iteration + 1)
        self._check({"norm": norm}, group, "the gradient")
        for parameters in self._optimiser.param_groups:
            parameters["lr"] = lr
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return norm

    def _check(self, values: Mapping[str, float], iterations: range, what: str) -> None:
        if all(map(math.isfinite, values.values())):
            return
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        files = [str(path) for number in iterations for path in self._pictures(number)]
        raise TrainingDivergedError(
            f"iteration {iterations[-1]}: {what} is not finite ({terms}); "
            f"its pictures: {', '.join(files)}"
        )


def world_means(losses: Mapping[str, Tensor], learner: Learner) -> dict[str, float]:
    """Return losses as numbers, averaged over processes."""
    values = torch.stack([value.detach().float() for value in losses.values()])
    means = (learner.world.add(values) / learner.world.size).tolist()
    return dict(zip(losses, means, strict=True))
