"""Save and resume a run: one safetensors file, written whole or not at all.

Keys are ``net.*``, ``loss.*`` (dictionary and centres) and ``optim.<number>.<name>``; the header
holds the settings and the iteration as JSON. Nothing is pickled.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from train.config import FitConfig
from train.errors import CheckpointError
from train.models.dcinet import DCINet
from train.models.losses import LossState

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run as it stood after ``iteration`` iterations, which took ``seconds``."""

    config: FitConfig
    iteration: int
    identities: int
    seconds: float
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below a prefix, without it."""
        start = prefix + "."
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}


def save_checkpoint(
    path: Path,
    config: FitConfig,
    net: DCINet,
    state: LossState,
    optimiser: torch.optim.Optimizer,
    *,
    iteration: int,
    seconds: float,
) -> None:
    """Write a checkpoint under a temporary name, then rename it over the last one.

    Raises:
        CheckpointError: the disk refuses; the last checkpoint is untouched.
    """
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"loss.{k}": v for k, v in state.state_dict().items()}
    for number, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optim.{number}.{k}": torch.as_tensor(v) for k, v in slots.items()}
    header = {
        "config": config.model_dump_json(),
        "progress": json.dumps(
            {"iteration": iteration, "identities": state.identities, "seconds": seconds}
        ),
    }
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, header)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}") from error


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
        progress = json.loads(header["progress"])
        return Checkpoint(
            config,
            int(progress["iteration"]),
            int(progress["identities"]),
            float(progress["seconds"]),
            tensors,
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error


def load_network(checkpoint: Checkpoint) -> DCINet:
    """Return the network of a checkpoint, in evaluation mode."""
    net = DCINet(checkpoint.config.network, pretrained=checkpoint.config.init != "none")
    net.load_state_dict(checkpoint.part("net"))
    return net.eval()


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser its state back."""
    content = optimiser.state_dict()
    content["state"] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        content["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(content)
