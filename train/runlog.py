"""What a run leaves to be read: ``log.jsonl``, and event files for TensorBoard.

A line of the log is whole or not there. A resumed run drops the lines of iterations that it
takes again.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engines.runtimes import require
from train.errors import CheckpointError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = "log.jsonl"
EVENTS = "tensorboard"


class RunLog:
    """An open log."""

    def __init__(self, folder: Path, *, after: int, tensorboard: bool) -> None:
        """Go on after iteration ``after``; -1 begins anew.

        Raises:
            CheckpointError: the log cannot be read or written.
            BackendUnavailableError: TensorBoard is asked for and not installed.
        """
        self.path = folder / LOG
        self._events: SummaryWriter | None = None
        if tensorboard:
            self._events = _events(folder / EVENTS, after + 1)
        try:
            _drop(self.path, after)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise CheckpointError(f"cannot write {self.path}: {error.strerror}") from error

    def write(self, iteration: int, values: Mapping[str, object]) -> None:
        """Add a line; numbers go to TensorBoard too.

        Raises:
            CheckpointError: the disk refuses; the log ends with the line before.
        """
        line = json.dumps({"iteration": iteration} | dict(values)) + "\n"
        length = os.fstat(self._file).st_size
        try:
            self._append(line.encode())
            self._draw(iteration, values)
        except OSError as error:
            os.ftruncate(self._file, length)
            raise CheckpointError(f"cannot write {self.path}: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._file, line) :]

    def _draw(self, iteration: int, values: Mapping[str, object]) -> None:
        if self._events is None:
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self._events.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Finish all files."""
        os.close(self._file)
        if self._events is not None:
            self._events.close()


def _drop(path: Path, after: int) -> None:
    """Keep the whole lines of iterations up to ``after``."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"\n") and _iteration(line) <= after]
    if kept != lines:
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(b"".join(kept))
        temporary.replace(path)


def _iteration(line: bytes) -> float:
    """Return the iteration of a line, infinite for what is no line of ours."""
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _events(folder: Path, first: int) -> "SummaryWriter":
    require("tensorboard", "train")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first)
