"""One backend in a process of its own: opens an engine, then runs batches when it is told to.

Commands come as lines of JSON on standard input and answers leave on standard output; whatever
a runtime prints goes to standard error. The first command is a :class:`Setup`, every other one
asks for a turn. When its input closes, because the other side ended in any way, the process ends
at once, even amid a batch. A turn's first call is not counted: others ran since the last one.
"""

import json
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine, EngineInfo, open_engine
from engines.errors import BackendUnavailableError, EngineError
from engines.plans.cache import PlanCache
from engines.values import Precision

WARM_UP_CALLS = 2
_KIB_LINE = "VmHWM:"

Frames = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker opens; ``frames`` is a file of numpy arrays, ``batches`` are warmed up.

    ``cache`` is the folder of the plans, the usual one where it is None; ``device`` is that of
    :func:`engines.engine.open_engine`.
    """

    bundle: str
    backend: str
    precision: Precision | None
    threads: int | None
    frames: str
    batches: tuple[int, ...]
    cache: str | None = None
    device: str | None = None


Opener = Callable[[Setup], Engine]


@dataclass(frozen=True, slots=True)
class Ready:
    """What a worker opened, and the ``load_s`` seconds that this and the warm-up took."""

    backend: str
    precision: Precision
    input_hw: tuple[int, int]
    load_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The seconds of each call of a turn, its CPU seconds, the process's peak memory so far."""

    calls_s: tuple[float, ...]
    cpu_s: float
    peak_rss_bytes: int


def serve(opener: Opener) -> None:
    """Answer commands until the input closes."""
    answers = _claim_stdout()
    commands = _commands()
    setup = next(commands)
    try:
        _serve(opener, Setup(**{**setup, "batches": tuple(setup["batches"])}), commands, answers)
    except EngineError as error:
        _say(answers, {"error": type(error).__name__, "text": str(error)})


def _serve(
    opener: Opener, setup: Setup, commands: Iterator[dict[str, Any]], answers: BinaryIO
) -> None:
    started = time.perf_counter()
    frames = load_frames(Path(setup.frames))
    with opener(setup) as engine:
        for batch in setup.batches:
            for part in islice(_parts(frames, batch), WARM_UP_CALLS):
                engine.detect(part)
        info = engine.info
        ready = Ready(info.backend, info.precision, info.input_hw, time.perf_counter() - started)
        _say(answers, asdict(ready))
        for command in commands:
            _say(answers, asdict(_turn(engine, info, frames, **command)))


def _turn(engine: Engine, info: EngineInfo, frames: Frames, *, batch: int, seconds: float) -> Turn:
    parts = _parts(frames, batch)
    engine.detect(next(parts))
    calls: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()
    while not calls or time.perf_counter() - started < seconds:
        part = next(parts)
        before = time.perf_counter()
        engine.detect(part)
        calls.append(time.perf_counter() - before)
    cpu = time.process_time() - cpu
    if engine.info.backend != info.backend:
        raise BackendUnavailableError(f"{engine.info.backend} took its place while it was timed")
    return Turn(tuple(calls), cpu, peak_rss_bytes())


def _parts(frames: Frames, batch: int) -> Iterator[Frames]:
    """Yield batches without end, the frames in turns."""
    endless = cycle(frames)
    while True:
        yield list(islice(endless, batch))


def save_frames(path: Path, frames: Frames) -> None:
    """Write frames of any sizes for a worker."""
    with path.open("wb") as file:
        np.savez(file, *frames)


def load_frames(path: Path) -> Frames:
    """Return the frames of `save_frames`, in order."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{number}"] for number in range(len(file.files))]


def peak_rss_bytes() -> int:
    """Return the most memory that this process ever held.

    Linux hands the peak that getrusage tells from a process to those that it starts.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(_KIB_LINE)) << 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def _claim_stdout() -> BinaryIO:
    """Return the standard output, and let all that others print go to the standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _say(answers: BinaryIO, document: Mapping[str, Any]) -> None:
    answers.write(json.dumps(document).encode() + b"\n")
    answers.flush()


def _commands() -> Iterator[dict[str, Any]]:
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(waiting,), name="commands", daemon=True).start()
    while True:
        yield waiting.get()


def _listen(waiting: "queue.SimpleQueue[dict[str, Any]]") -> None:
    # Not sys.stdin: an interpreter that ends while a thread reads from it aborts.
    with os.fdopen(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            waiting.put(json.loads(line))
    os._exit(0)


def _open(setup: Setup) -> Engine:
    return open_engine(
        Path(setup.bundle),
        backend=setup.backend,
        precision=setup.precision,
        threads=setup.threads,
        cache=None if setup.cache is None else PlanCache(Path(setup.cache)),
        device=setup.device,
    )


if __name__ == "__main__":
    serve(_open)
