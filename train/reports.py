"""What a run says while it goes: lines of its log, and progress to whoever watches.

Of several processes the first one alone speaks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from train.optimise import Taken
from train.pace import Pace
from train.run import Run
from train.runlog import RunLog


@dataclass(frozen=True, slots=True)
class FitProgress:
    """Where a run stands; ``losses`` are running means by term, over all processes.

    ``frames_per_s`` counts the frames of all processes, ``waiting`` is the share of the time in
    which the step waited for data; both since this session began.
    """

    iteration: int
    iterations: int
    losses: dict[str, float]
    seconds: float
    seconds_left: float
    frames_per_s: float
    waiting: float


class Reports:
    """Reports on a run; used as a context."""

    def __init__(
        self, run: Run, progress: Callable[[FitProgress], None] | None, now_s: float
    ) -> None:
        """Begin a session of a run at ``now_s``; ``progress`` is called after each iteration."""
        self._run, self._progress = run, progress
        self._session, self._window = Pace(now_s), Pace(now_s)
        self._earlier_s = run.seconds
        self._log: RunLog | None = None

    def __enter__(self) -> Self:
        self._run.world.first(self._open)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log is not None:
            self._log.close()

    def take(self, taken: Taken, now_s: float, waited_s: float) -> None:
        """Report on an iteration that ended at ``now_s`` and waited so long for its batch.

        Raises:
            CheckpointError: the log cannot be written.
        """
        run = self._run
        for pace in (self._session, self._window):
            pace.tick(now_s, waited_s)
        run.seconds = self._earlier_s + self._session.seconds
        if taken.gradient is not None and run.due(run.config.log_every):
            run.world.first(lambda: self._line(taken))
            self._window = Pace(now_s)
        if self._progress is not None and run.world.rank == 0:
            self._progress(self._standing())

    def _open(self) -> None:
        run = self._run
        self._log = RunLog(
            run.config.out, after=run.iteration or -1, tensorboard=run.config.tensorboard
        )
        if run.note:
            self._log.write(0, run.note)

    def _line(self, taken: Taken) -> None:
        run, pace = self._run, self._window
        values: dict[str, float | None] = {
            "seconds": run.seconds,
            "iteration_s": pace.each_s,
            "frames_per_s": pace.frames_per_s(run.feed.source.slots),
            "waiting": pace.waiting,
            "lr": taken.lr,
            "gradient": taken.gradient,
            **run.means,
        }
        assert self._log is not None
        self._log.write(run.iteration, values)

    def _standing(self) -> FitProgress:
        run, pace = self._run, self._session
        left = pace.each_s * (run.config.iterations - run.iteration)
        speed = pace.frames_per_s(run.feed.source.slots)
        return FitProgress(
            run.iteration, run.config.iterations, dict(run.means), run.seconds, left, speed,
            pace.waiting,
        )  # fmt: skip
