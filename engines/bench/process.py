"""The other side of a worker: starts it, asks it for turns, and sees to it that it ends.

A worker that dies, says nothing for too long or reports an error raises here; in every case the
process is gone when :meth:`Worker.close` returns.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from engines.bench.worker import Ready, Setup, Turn
from engines.errors import (
    BackendUnavailableError,
    BuildError,
    DeviceLostError,
    EngineError,
    InferenceError,
)

WORKER = (sys.executable, "-P", "-m", "engines.bench.worker")
"""Starts a worker; ``-P`` keeps modules that lie in the working folder out."""

PATIENCE_S = 300.0
"""How long an answer may take, beyond the seconds that a turn was asked to measure."""

_TEXT_ALONE = {
    kind.__name__: kind for kind in (BackendUnavailableError, BuildError, DeviceLostError)
}
_END_S = 5.0
_CHUNK = 2**16


class Worker:
    """A process with one backend open; use it in a ``with``."""

    def __init__(
        self, setup: Setup, *, argv: Sequence[str] = WORKER, patience_s: float = PATIENCE_S
    ) -> None:
        self.name = setup.backend + (f":{setup.precision}" if setup.precision else "")
        self._patience_s = patience_s
        self._unread = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C in a terminal is ours; we end the worker
        )
        self._setup = setup

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Ready:
        """Open the engine and warm it up.

        Raises:
            EngineError: it cannot be opened (the worker's own error), or the worker died.
        """
        fields = self._ask(asdict(self._setup), self._patience_s)
        height, width = fields.pop("input_hw")
        return Ready(**fields, input_hw=(height, width))

    def turn(self, batch: int, seconds: float) -> Turn:
        """Run batches of ``batch`` frames for ``seconds``, and at least one.

        Raises:
            EngineError: the engine failed, or the worker died or said nothing for too long.
        """
        fields = self._ask({"batch": batch, "seconds": seconds}, seconds + self._patience_s)
        return Turn(**{**fields, "calls_s": tuple(fields["calls_s"])})

    def close(self) -> None:
        """End the process, whatever it is doing, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._said):
            if file is not None:
                file.close()

    def _ask(self, command: dict[str, Any], limit_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
        except BrokenPipeError:
            raise self._died() from None
        answer: dict[str, Any] = json.loads(self._line(limit_s))
        if "error" in answer:
            raise _same_error(answer["error"], f"{self.name}: {answer['text']}")
        return answer

    def _line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        pipe, end = self._process.stdout.fileno(), time.monotonic() + limit_s
        while b"\n" not in self._unread:
            left = end - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise InferenceError(f"{self.name}: its worker did not answer in {limit_s:g} s")
            data = os.read(pipe, _CHUNK)
            if not data:
                raise self._died()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self) -> InferenceError:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return InferenceError(f"{self.name}: its worker closed its answers and goes on")
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        last = f"; it last said: {lines[-1]}" if lines else ""
        return InferenceError(f"{self.name}: its worker died ({how}){last}")


def _same_error(name: str, text: str) -> EngineError:
    """Return an error of the worker's class, where that class takes a text alone."""
    return _TEXT_ALONE.get(name, InferenceError)(text)
