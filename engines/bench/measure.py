"""Measure backends side by side, in rounds.

Every round gives each backend a turn at each batch size, in an order drawn anew, so that what
else happens on the machine hits all alike. Ratios are taken within a round and told as the
median over the rounds with the least and the most.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, get_args

import numpy as np

from engines.bench.process import PATIENCE_S, WORKER, Worker
from engines.bench.worker import Frames, Ready, Setup, Turn, save_frames
from engines.errors import BackendUnavailableError
from engines.values import Precision

ROUNDS = 5
FRAMES = "frames.npz"

Progress = Callable[[str, int, int], None]
"""Told what is under way, and how much of it is done and there is in total."""


class Contender(NamedTuple):
    """A backend and what it computes in; no precision stands for the backend's own."""

    backend: str
    precision: Precision | None = None

    @classmethod
    def parse(cls, text: str) -> "Contender":
        """Read ``backend`` or ``backend:precision``.

        Raises:
            BackendUnavailableError: there is no such precision.
        """
        backend, _, precision = text.strip().partition(":")
        known: dict[str, Precision] = {name: name for name in get_args(Precision)}
        if precision and precision not in known:
            choices = ", ".join(known)
            raise BackendUnavailableError(f"{text}: no precision {precision!r}; there is {choices}")
        return cls(backend, known.get(precision))

    def __str__(self) -> str:
        return f"{self.backend}:{self.precision}" if self.precision else self.backend


class Spread(NamedTuple):
    """A median over rounds, with the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value a round."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Cell:
    """One backend at one batch size.

    ``fps`` holds frames a second for each round; latencies are of whole calls of ``batch``
    frames, over all rounds; ``cpu_s`` is CPU seconds a frame.
    """

    backend: str
    precision: Precision
    batch: int
    fps: tuple[float, ...]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    calls: int
    cpu_s: float

    @property
    def frames_per_s(self) -> Spread:
        """Frames a second over the rounds."""
        return Spread.of(self.fps)

    @property
    def ms_per_frame(self) -> float:
        """Milliseconds a frame at the median speed."""
        return 1000 / self.frames_per_s.median

    def ratio_to(self, other: "Cell") -> Spread:
        """Return how many times as fast as another cell of the same rounds this one is."""
        return Spread.of([mine / its for mine, its in zip(self.fps, other.fps, strict=True)])


@dataclass(frozen=True, slots=True)
class Held:
    """What one backend's process took: seconds to open and warm up, and memory at its peak."""

    backend: str
    precision: Precision
    load_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, backends in the order in which they were named."""

    input_hw: tuple[int, int]
    cells: tuple[Cell, ...]
    held: tuple[Held, ...]
    seconds: float
    rounds: int
    seed: int
    threads: int | None

    def cell(self, backend: str, precision: Precision, batch: int) -> Cell | None:
        """Return a cell, if it was measured."""
        wanted = (backend, precision, batch)
        found = (c for c in self.cells if (c.backend, c.precision, c.batch) == wanted)
        return next(found, None)

    def ratio(self, cell: Cell, backend: str) -> Spread | None:
        """Return the speed of a cell to ``backend`` in fp32 at the same batch size, if there."""
        other = self.cell(backend, "fp32", cell.batch)
        return None if other is None else cell.ratio_to(other)


@dataclass(slots=True)
class _Entry:
    """A worker at its work, and its turns by batch size."""

    worker: Worker
    ready: Ready
    turns: dict[int, list[Turn]] = field(default_factory=dict)

    @property
    def who(self) -> tuple[str, Precision]:
        return self.ready.backend, self.ready.precision

    @property
    def peak_rss_bytes(self) -> int:
        return max(turn.peak_rss_bytes for turns in self.turns.values() for turn in turns)


def measure(
    bundle: Path,
    contenders: Sequence[Contender],
    frames: Frames,
    *,
    batches: Sequence[int],
    seconds: float,
    rounds: int = ROUNDS,
    threads: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    workers: Mapping[str, Sequence[str]] | None = None,
    patience_s: float = PATIENCE_S,
) -> Report:
    """Time ``Engine.detect`` of each contender on ``frames`` for ``seconds`` at each batch size.

    ``cache`` is the folder of the plans, the usual one by default; ``device`` is that of
    `engines.engine.open_engine`. ``workers`` names the command of a worker by contender, where it
    is not the usual one.

    Raises:
        EngineError: a contender cannot be opened, failed, died or fell silent.
        ValueError: nothing to measure, or not for a time above 0.
    """
    if not (contenders and frames and batches) or min(batches) < 1 or rounds < 1 or seconds <= 0:
        raise ValueError("want contenders, frames, batches from 1, and a time above 0")
    tell = progress or _silent
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sightline-bench-")))
        save_frames(folder / FRAMES, frames)
        entries: list[_Entry] = []
        for number, contender in enumerate(contenders):
            tell(f"opening {contender}", number, len(contenders))
            setup = Setup(
                bundle=str(bundle),
                backend=contender.backend,
                precision=contender.precision,
                threads=threads,
                frames=str(folder / FRAMES),
                batches=tuple(sorted({*batches})),
                cache=None if cache is None else str(cache),
                device=device,
            )
            argv = (workers or {}).get(str(contender), WORKER)
            worker = stack.enter_context(Worker(setup, argv=argv, patience_s=patience_s))
            entry = _Entry(worker, _started(worker, contender))
            if entry.who not in [other.who for other in entries]:  # named twice, in other words
                entries.append(entry)
        _run_rounds(entries, setup.batches, seconds / rounds, rounds, random.Random(seed), tell)
    return _report(entries, seconds=seconds, rounds=rounds, seed=seed, threads=threads)


def _started(worker: Worker, contender: Contender) -> Ready:
    """Start a worker; another backend in its place would be timed under the wrong name."""
    ready = worker.start()
    asked = contender.backend
    if asked not in ("auto", ready.backend) or contender.precision not in (None, ready.precision):
        raise BackendUnavailableError(
            f"{contender}: {ready.backend} {ready.precision} took its place; run: "
            f"sightline engine build --backend {asked}"
            + (f" --precision {contender.precision}" if contender.precision else "")
        )
    return ready


def _run_rounds(
    entries: Sequence[_Entry],
    batches: Sequence[int],
    slice_s: float,
    rounds: int,
    rng: random.Random,
    tell: Progress,
) -> None:
    turns = [(entry, batch) for entry in entries for batch in batches]
    done = 0
    for _ in range(rounds):
        for entry, batch in rng.sample(turns, len(turns)):
            tell(f"{entry.worker.name} batch {batch}", done, rounds * len(turns))
            entry.turns.setdefault(batch, []).append(entry.worker.turn(batch, slice_s))
            done += 1
    tell("done", done, done)


def _report(entries: Sequence[_Entry], **how: Any) -> Report:
    cells = [_cell(entry, batch) for entry in entries for batch in sorted(entry.turns)]
    held = [Held(*e.who, e.ready.load_s, e.peak_rss_bytes) for e in entries]
    return Report(entries[0].ready.input_hw, tuple(cells), tuple(held), **how)


def _cell(entry: _Entry, batch: int) -> Cell:
    turns = entry.turns[batch]
    calls = np.concatenate([turn.calls_s for turn in turns])
    p50, p90, p99 = (1000 * np.percentile(calls, (50, 90, 99))).tolist()
    return Cell(
        *entry.who,
        batch,
        fps=tuple(batch * len(turn.calls_s) / sum(turn.calls_s) for turn in turns),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        calls=len(calls),
        cpu_s=sum(turn.cpu_s for turn in turns) / (batch * len(calls)),
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
