"""Several processes that train one network as one process with all their frames would.

Process r of W holds slots ``r*B .. (r+1)*B - 1`` of every batch. Embeddings are gathered with
their gradient, counts are added up, and every process draws the noise of the whole batch and
takes its own rows: dictionary, centres and tables stay identical everywhere.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from train.errors import ConfigError, TrainError
from train.losses.embedded import Embedded

CPU = torch.device("cpu")
BUCKET = 2**23
"""Numbers of the gradient that travel between processes at once."""


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is, and its device; one alone needs no process group."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    def share(self, slots: int) -> slice:
        """Return which slots of a batch are this process's.

        Raises:
            ConfigError: the slots do not divide evenly.
        """
        each, rest = divmod(slots, self.size)
        if rest or not each:
            raise ConfigError(
                f"{slots} frames an iteration do not divide among {self.size} processes"
            )
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, total: Tensor, count: Tensor) -> Tensor:
        """Return ``total / count`` such that its average over processes is the mean over all.

        ``total`` is this process's sum, ``count`` its number of summands; 0 of 0 is 0.
        """
        return total * self.size / self.add(count.detach()).clamp(min=1)

    def add(self, value: Tensor) -> Tensor:
        """Return the sum of a value over all processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def longest(self, length: int) -> int:
        """Return the largest of a number over all processes."""
        if self.size == 1:
            return length
        value = torch.tensor(length, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def any(self, flag: bool) -> bool:
        """Tell whether a flag is up in some process."""
        return self.longest(int(flag)) > 0

    def first(self, action: Callable[[], None]) -> None:
        """Do something in the first process alone; all wait for it.

        Raises:
            TrainError: what it raised, in every process, so that none waits for another.
        """
        failed: TrainError | None = None
        if self.rank == 0:
            try:
                action()
            except TrainError as error:
                failed = error
        if self.any(failed is not None):
            raise failed or TrainError("the first process failed and says why")

    def rows(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return uniform noise ``(B, N)`` in 0..1: this process's rows of the whole batch's."""
        batch, columns = shape
        noise = torch.rand((self.size * batch, columns), generator=generator, device=CPU)
        return noise[self.rank * batch : (self.rank + 1) * batch]

    def gather(self, own: Embedded) -> Embedded:
        """Return the embeddings of all processes in order, with their gradient.

        ``frames`` must already be numbered over the whole batch.
        """
        if self.size == 1:
            return own
        device = own.features.device
        longest = self.longest(len(own.labels))
        counts = [torch.zeros((), dtype=torch.int64, device=device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor(len(own.labels), device=device))
        used = torch.cat([torch.arange(longest, device=device) < count for count in counts])
        return Embedded(*(self._all(_padded(value, longest))[used] for value in own))

    def _all(self, value: Tensor) -> Tensor:
        """Return the values ``(N, ...)`` of all processes in order, ``(W * N, ...)``."""
        if value.requires_grad:
            gathered: Tensor = _Gather.apply(value, self.rank, self.size)
            return gathered
        return _gathered(value, self.size)

    def begin_alike(self, module: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for value in (*module.parameters(), *module.buffers()):
                dist.broadcast(value.detach(), 0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes, the same bits in each.

        What `torch.nn.parallel.DistributedDataParallel` does, after the backward pass instead of
        during it: parameters that a loss does not reach and steps of several backward passes need
        no special care.
        """
        if self.size == 1:
            return
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat / self.size, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))


class _Gather(torch.autograd.Function):
    """Gather forward; backward, each process gets what all of them ask of its own part."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, rank: int, size: int) -> Tensor:
        ctx.part = slice(rank * len(value), (rank + 1) * len(value))
        return _gathered(value, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole[ctx.part], None, None


def _gathered(value: Tensor, size: int) -> Tensor:
    parts = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(size)]
    dist.all_gather(parts, value.contiguous())
    return torch.cat(parts)


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the gradients in order, in lists of `BUCKET` numbers or a little more."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(part.numel() for part in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def _padded(value: Tensor, length: int) -> Tensor:
    missing = length - len(value)
    if missing == 0:
        return value
    return torch.cat([value, value.new_zeros((missing, *value.shape[1:]))])


def choose_device(name: str, number: int = 0) -> torch.device:
    """Return the device ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.

    Args:
        name: which kind.
        number: which GPU of this machine.

    Raises:
        ConfigError: a GPU is asked for that torch does not see.
    """
    gpus = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not gpus):
        return CPU
    if number >= gpus:
        raise ConfigError(f"device cuda: process {number} has no GPU, torch sees {gpus} here")
    return torch.device("cuda", number)


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started with this one; without it, be alone.

    GPUs talk over NCCL, CPUs over gloo. They stay joined until the interpreter ends.

    Raises:
        ConfigError: a variable of torchrun's is missing or no number, or there is no such device.
    """
    size = _variable("WORLD_SIZE", 1)
    chosen = choose_device(device, _variable("LOCAL_RANK", 0))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(device=chosen)
        return
    world = World(_variable("RANK"), size, chosen)
    if not dist.is_initialized():
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, rank=world.rank, world_size=size)
        atexit.register(dist.destroy_process_group)
    try:
        yield world
    except BaseException:
        # a farewell would wait for processes that may be waiting for this one
        atexit.unregister(dist.destroy_process_group)
        raise


def _variable(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, None if default is None else str(default))
    if text is None:
        raise ConfigError(f"WORLD_SIZE is set without {name}: start the processes with torchrun")
    if not text.isdecimal():
        raise ConfigError(f"{name} in the environment must be a number (got {text!r})")
    return int(text)
