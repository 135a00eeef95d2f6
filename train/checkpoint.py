"""Save and resume a run: one safetensors file, written whole or not at all.

Keys are ``net.*``, ``loss.*`` (dictionary, centres, classifiers) and ``optim.<number>.<name>``;
the header holds the settings and the progress as JSON. Nothing is pickled.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from train.config import FitConfig
from train.errors import CheckpointError
from train.models.build import build_network
from train.models.network import PersonSearchNet

CHECKPOINT = "checkpoint.safetensors"

FREE = frozenset(
    {
        "out", "iterations", "data", "people", "device", "loaders",
        "tensorboard", "save_every", "keep_every", "log_every",
    }
)  # fmt: skip
"""Settings that a resumed run may change; the data is compared by what it holds."""


class Progress(BaseModel):
    """How far a run is.

    ``means`` are the running means of its losses, ``data`` is the digest of what it trains on
    ("" in a checkpoint of before there was one, which can no longer be resumed).
    """

    model_config = ConfigDict(frozen=True)

    iteration: int
    identities: int
    seconds: float
    data: str = ""
    means: dict[str, float] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run as it stood after ``iteration`` iterations, which took ``seconds``."""

    config: FitConfig
    progress: Progress
    tensors: dict[str, Tensor]

    @property
    def iteration(self) -> int:
        """Iterations that it has seen."""
        return self.progress.iteration

    @property
    def identities(self) -> int:
        """Identities that it was trained on."""
        return self.progress.identities

    @property
    def seconds(self) -> float:
        """Time that it was trained for, over all resumes."""
        return self.progress.seconds

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below a prefix, without it."""
        start = prefix + "."
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}


def kept_name(iteration: int) -> str:
    """Return the name of the copy that is kept of an iteration."""
    return f"checkpoint-{iteration:06d}.safetensors"


def save_checkpoint(
    path: Path,
    config: FitConfig,
    net: nn.Module,
    state: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write a checkpoint under a temporary name, then rename it over the last one.

    Raises:
        CheckpointError: the disk refuses; the last checkpoint is untouched.
    """
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"loss.{k}": v for k, v in state.state_dict().items()}
    for number, slots in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optim.{number}.{k}": torch.as_tensor(v) for k, v in slots.items() if v is not None
        }
    header = {"config": config.model_dump_json(), "progress": progress.model_dump_json()}
    write_safetensors(path, tensors, header)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Write tensors to a file that appears whole and is on the disk when it does.

    Raises:
        CheckpointError: the disk refuses; what was at ``path`` is untouched.
    """
    # a folder of its own: safetensors writes under names of its choice, which a kill would leave
    folder = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        whole = folder / path.name
        save_file({k: v.contiguous() for k, v in tensors.items()}, whole, header)
        whole.chmod(folder.stat().st_mode & 0o666)
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        whole.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: no such file, or not a whole checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = FitConfig.model_validate_json(header["config"])
        return Checkpoint(config, Progress.model_validate_json(header["progress"]), tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error


def load_network(checkpoint: Checkpoint) -> PersonSearchNet:
    """Return the network of a checkpoint, in evaluation mode."""
    net = build_network(checkpoint.config.network)
    net.load_state_dict(checkpoint.part("net"))
    return net.eval()


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser its state back, laid out in memory as the parameters are."""
    content = optimiser.state_dict()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    content["state"] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        like = parameters[int(number)]
        laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        content["state"].setdefault(int(number), {})[name] = laid
    optimiser.load_state_dict(content)


def check_resumable(saved: Checkpoint, config: FitConfig, data: str, path: Path) -> None:
    """Make sure that a run goes on with the settings and the data that it began with.

    Raises:
        CheckpointError: it would not; changed settings are named.
    """
    before, now = _named(saved.config), _named(config)
    changed = [name for name in now if before[name] != now[name]]
    if changed:
        raise CheckpointError(f"{path} was made with other settings of: {', '.join(changed)}")
    if saved.progress.data != data:
        raise CheckpointError(
            f"{path} was trained on other data: its pictures, boxes or identities were not these"
        )


def _named(config: FitConfig) -> dict[str, object]:
    """Return settings by name, those of the network and the losses as ``network.dim``."""
    content = config.model_dump(exclude=set(FREE))
    parts = {f"{p}.{k}": v for p in ("network", "loss") for k, v in content.pop(p).items()}
    return content | parts
