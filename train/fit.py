"""Train a DC-I-Net: data in, checkpoints and a log out; stops and resumes anywhere.

A run folder holds ``config.json``, ``log.jsonl`` (one line of losses every few iterations) and
``checkpoint.safetensors``. The same settings, data and number of threads give the same weights,
resumed or not.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from train.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    restore_optimiser,
    save_checkpoint,
)
from train.config import FitConfig
from train.data.batches import BatchSource, FrameStore, PairSampler, join_sets
from train.data.people import load_people
from train.data.prw import load_prw
from train.errors import CheckpointError, ConfigError, TrainError
from train.models.dcinet import DCINet
from train.models.losses import Losses, LossState, training_losses
from train.models.targets import Targets
from train.pretrained import download_imagenet, load_imagenet

LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class FitProgress:
    """Where a run stands; ``losses`` are running means by term."""

    iteration: int
    iterations: int
    losses: dict[str, float]
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """A finished run: its checkpoint, iterations, and training time over all resumes."""

    checkpoint: Path
    iterations: int
    seconds: float
    losses: dict[str, float]


class TrainingDivergedError(TrainError):
    """A loss is not finite."""


@dataclass(slots=True, eq=False)
class _Run:
    config: FitConfig
    net: DCINet
    state: LossState
    optimiser: torch.optim.Optimizer
    source: BatchSource
    iteration: int = 0
    seconds: float = 0.0


def fit(
    config: FitConfig,
    *,
    resume: bool = False,
    progress: Callable[[FitProgress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train until ``config.iterations``, or until ``stop()`` says so after a saved checkpoint.

    Raises:
        ConfigError: the run folder holds another run and ``resume`` is off.
        DatasetError: the data cannot be read, or no identity can be paired.
        CheckpointError: the run to resume is damaged or was made with other settings.
        TrainingDivergedError: a loss is not finite; the last checkpoint stays.
    """
    run = _prepare(config, resume)
    means: dict[str, float] = {}
    log = (config.out / "log.jsonl").open("a", encoding="utf-8")
    try:
        _loop(run, means, log.write, progress, stop)
    finally:
        log.close()
    _save(run)
    return FitResult(config.out / CHECKPOINT, run.iteration, run.seconds, means)


def _loop(
    run: _Run,
    means: dict[str, float],
    write: Callable[[str], int],
    progress: Callable[[FitProgress], None] | None,
    stop: Callable[[], bool],
) -> None:
    config, begun, before = run.config, time.monotonic(), run.iteration
    earlier = run.seconds
    for batch in run.source.run(run.iteration, config.iterations):
        losses = _step(run, batch.frames, batch.targets)
        run.iteration += 1
        run.seconds = earlier + time.monotonic() - begun
        _average(means, losses)
        if run.iteration % LOG_EVERY == 0:
            write(json.dumps({"iteration": run.iteration, "seconds": run.seconds} | means) + "\n")
        if progress is not None:
            each = (run.seconds - earlier) / (run.iteration - before)
            left = each * (config.iterations - run.iteration)
            progress(FitProgress(run.iteration, config.iterations, dict(means), run.seconds, left))
        if run.iteration % config.save_every == 0:
            _save(run)
        if stop():
            return


def _average(means: dict[str, float], losses: dict[str, float]) -> None:
    for name, value in losses.items():
        means[name] = 0.98 * means.get(name, value) + 0.02 * value


def _step(run: _Run, frames: Tensor, targets: Targets) -> dict[str, float]:
    """Take one iteration; return its losses by term."""
    config = run.config
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(config, run.iteration)
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + run.iteration)
    frames = frames.contiguous(memory_format=torch.channels_last)
    run.optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.amp):
        losses = training_losses(run.net, run.state, frames, targets, generator)
    total = losses.total(config.loss)
    _check_finite(total, losses, run.iteration)
    total.backward()  # type: ignore[no-untyped-call]
    if config.clip > 0:
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), config.clip)
    run.optimiser.step()
    return losses.as_floats()


def _check_finite(total: Tensor, losses: Losses, iteration: int) -> None:
    if not bool(torch.isfinite(total)):
        raise TrainingDivergedError(
            f"iteration {iteration}: the loss is not finite: {losses.as_floats()}"
        )


def learning_rate(config: FitConfig, iteration: int) -> float:
    """Return the learning rate of an iteration: linear warm-up, then steps or a cosine."""
    if iteration < config.warmup:
        return config.lr * (iteration + 1) / config.warmup
    if config.schedule == "step":
        return config.lr * (0.1 if iteration >= config.step_at else 1.0)
    share = (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    return config.lr * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))


def _prepare(config: FitConfig, resume: bool) -> _Run:
    checkpoint = config.out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{config.out} holds a run already; resume it or name another folder")
    sets = [load_prw(path, "train") for path in config.data]
    records, identities = join_sets([(s.images, len(s.identities)) for s in sets])
    store = FrameStore(records, config.network.input_hw)
    people, real = None, 0
    if config.people is not None:
        people = FrameStore(load_people(config.people).images, config.network.input_hw)
        share = config.people_share
        real = round(2 * config.pairs * share / (1 - share))
    source = BatchSource(
        store,
        PairSampler(records, config.pairs, config.seed),
        people,
        real=real,
        augmented=config.augment,
        seed=config.seed,
    )
    run = _fresh(config, identities, source)
    _make_folder(config)
    return _restore(run, checkpoint) if resume and checkpoint.exists() else run


def _fresh(config: FitConfig, identities: int, source: BatchSource) -> _Run:
    torch.manual_seed(config.seed)
    net = DCINet(config.network, pretrained=config.init != "none")
    if config.init == "imagenet":
        load_imagenet(net, download_imagenet(config.network.backbone))
    net = net.to(memory_format=torch.channels_last).train()
    state = LossState(config.network, config.loss, identities)
    return _Run(config, net, state, _optimiser(config, net), source)


def _optimiser(config: FitConfig, net: DCINet) -> torch.optim.Optimizer:
    trained = [p for p in net.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    rest = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)


def _make_folder(config: FitConfig) -> None:
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        temporary = config.out / ".config.json.part"
        temporary.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(config.out / "config.json")
    except OSError as error:
        raise CheckpointError(f"cannot write to {config.out}: {error.strerror}") from error


def _restore(run: _Run, path: Path) -> _Run:
    saved = load_checkpoint(path)
    _same_settings(saved.config, run.config, path)
    if saved.identities != run.state.identities:
        raise CheckpointError(
            f"{path} was trained on {saved.identities} identities, the data has "
            f"{run.state.identities}"
        )
    run.net.load_state_dict(saved.part("net"))
    run.state.load_state_dict(saved.part("loss"))
    restore_optimiser(run.optimiser, saved.part("optim"))
    run.iteration, run.seconds = saved.iteration, saved.seconds
    return run


def _same_settings(saved: FitConfig, wanted: FitConfig, path: Path) -> None:
    free = {"out", "iterations", "save_every", "data", "people"}
    before, now = saved.model_dump(exclude=free), wanted.model_dump(exclude=free)
    changed = [name for name in before if before[name] != now[name]]
    if changed:
        raise CheckpointError(f"{path} was made with other settings of: {', '.join(changed)}")


def _save(run: _Run) -> None:
    save_checkpoint(
        run.config.out / CHECKPOINT,
        run.config,
        run.net,
        run.state,
        run.optimiser,
        iteration=run.iteration,
        seconds=run.seconds,
    )
