"""A run: what it trains, with what, on what, how far it is; opened, resumed, saved."""

from dataclasses import dataclass, field

import torch

from train.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    Progress,
    check_resumable,
    load_checkpoint,
    restore_optimiser,
    save_checkpoint,
)
from train.config import FitConfig
from train.distributed import World
from train.errors import CheckpointError, ConfigError, TrainingDivergedError
from train.feed import Feed, open_feed
from train.learner import Learner, make_learner, placed
from train.optimise import make_optimiser
from train.start import freeze, start


@dataclass(slots=True, eq=False)
class Run:
    """A run as it stands after ``iteration`` iterations, which took ``seconds``.

    ``part`` is this process's slots of every batch, ``means`` are the running means of the losses,
    ``note`` says which weights it began with.
    """

    config: FitConfig
    feed: Feed
    learner: Learner
    optimiser: torch.optim.Optimizer
    part: slice
    note: dict[str, object]
    iteration: int = 0
    seconds: float = 0.0
    means: dict[str, float] = field(default_factory=dict)

    @property
    def world(self) -> World:
        """The processes that train it."""
        return self.learner.world

    def due(self, every: int) -> bool:
        """Tell whether the step that has just ended passed a multiple of ``every``; 0 = never."""
        before = self.iteration - self.config.accumulate
        return every > 0 and self.iteration // every > before // every

    def average(self, losses: dict[str, float]) -> None:
        """Take an iteration's losses into the running means."""
        for name, value in losses.items():
            self.means[name] = 0.98 * self.means.get(name, value) + 0.02 * value

    def save(self, name: str = CHECKPOINT) -> None:
        """Write a checkpoint; all processes must call this.

        Raises:
            CheckpointError: the disk refuses; the last checkpoint stays.
            TrainingDivergedError: a weight is not finite; the last checkpoint stays.
        """
        for key, weight in self.learner.named_parameters():
            if not bool(torch.isfinite(weight).all()):
                raise TrainingDivergedError(
                    f"iteration {self.iteration}: the weight {key} is not finite"
                )
        self.world.first(lambda: self._write(name))

    def _write(self, name: str) -> None:
        identities, data = self.feed.identities, self.feed.digest
        save_checkpoint(
            self.config.out / name,
            self.config,
            self.learner.net,
            self.learner.identity,
            self.optimiser,
            Progress(
                iteration=self.iteration,
                identities=identities,
                seconds=self.seconds,
                data=data,
                means=self.means,
            ),
        )


def open_run(config: FitConfig, resume: bool, world: World) -> Run:
    """Read the data, make the network, and go on where a checkpoint stands.

    Raises:
        ConfigError: the settings do not fit each other or the number of processes, or the folder
            holds a run and ``resume`` is off.
        DatasetError: the data cannot be read, or has no two frames to pair.
        CheckpointError: the checkpoint is damaged, or of other settings or other data.
    """
    path = config.out / CHECKPOINT
    if path.exists() and not resume:
        raise ConfigError(f"{config.out} holds a run already; resume it or name another folder")
    saved = load_checkpoint(path) if path.exists() else None
    feed = open_feed(config)
    if saved is not None:
        check_resumable(saved, config, feed.digest, path)
    part = world.share(feed.source.slots)
    learner = make_learner(config, feed.identities, world)
    note = {} if saved is not None else start(learner.net, config)
    freeze(learner.net, config)
    placed(learner)
    run = Run(config, feed, learner, make_optimiser(config, learner), part, note)
    if saved is not None:
        _restore(run, saved)
    world.first(lambda: make_folder(config))
    return run


def _restore(run: Run, saved: Checkpoint) -> None:
    run.learner.net.load_state_dict(saved.part("net"))
    run.learner.identity.load_state_dict(saved.part("loss"))
    restore_optimiser(run.optimiser, saved.part("optim"))
    run.iteration, run.seconds = saved.iteration, saved.seconds
    run.means = dict(saved.progress.means)


def make_folder(config: FitConfig) -> None:
    """Make a run's folder and write its settings there.

    Raises:
        CheckpointError: the disk refuses.
    """
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        temporary = config.out / ".config.json.part"
        temporary.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(config.out / "config.json")
    except OSError as error:
        raise CheckpointError(f"cannot write to {config.out}: {error.strerror}") from error
