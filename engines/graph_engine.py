"""The part of an engine that is the same for every runtime.

Letterbox the frames, run them in batches of at most ``max_batch``, map boxes back to source
pixels, leave out what is no person. A runtime supplies a :class:`Runner` for the two graphs.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.engine import EngineInfo
from engines.errors import BoxError, InferenceError
from engines.letterbox import Letterbox, clip_boxes
from engines.values import Detections, Precision

MIN_BOX_PX = 1.0
"""Boxes with a shorter side, in source pixels, are dropped (detect) or refused (embed)."""

IN_FLIGHT = 2
"""Batches that a runner which can start one before the last has ended gets at a time."""

_MAX_LETTERBOXES = 64


class SearchOutputs(NamedTuple):
    """What the search graph returns for B frames; rows past ``counts`` mean nothing.

    ``boxes`` (B, D, 4) in input pixels, ``scores`` (B, D) falling, ``embeddings`` (B, D, 256),
    ``counts`` int64 (B,).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    counts: NDArray[np.int64]


class Runner(Protocol):
    """The two graphs of a bundle on one runtime; called by several threads at once."""

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        ...

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` in input pixels of frames ``(B, 3, H, W)``: (B, R, 256)."""
        ...

    def close(self) -> None:
        """Free the runtime."""
        ...


@runtime_checkable
class StartingRunner(Protocol):
    """A runner that can take a batch while others are on their way."""

    def start(self, frames: NDArray[np.uint8]) -> Callable[[], SearchOutputs]:
        """Begin :meth:`Runner.search`; what is returned waits for the answer, and may raise.

        ``frames`` may be changed as soon as this returns.
        """
        ...


class _Letterboxes(threading.local):
    """The letterboxes of one thread by source size (a scaler keeps state)."""

    def __init__(self, input_hw: tuple[int, int]) -> None:
        self._input_hw = input_hw
        self._by_size: dict[tuple[int, int], Letterbox] = {}

    def of(self, frame: NDArray[np.uint8]) -> Letterbox:
        size = frame.shape[0], frame.shape[1]
        if size not in self._by_size:
            if len(self._by_size) >= _MAX_LETTERBOXES:
                self._by_size.clear()
            self._by_size[size] = Letterbox(size, self._input_hw)
        return self._by_size[size]


class _QueryJob(NamedTuple):
    """Up to R boxes of one frame: which frame, and which of its boxes."""

    frame: int
    rows: slice


class RunnerEngine:
    """An engine over any two graphs (see :class:`engines.engine.Engine`)."""

    def __init__(self, info: EngineInfo, runner: Runner, *, max_batch: int) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {max_batch}")
        self._info = info
        self._runner: Runner | None = runner
        self._max_batch = max_batch
        self._letterboxes = _Letterboxes(info.input_hw)

    @property
    def info(self) -> EngineInfo:
        """What is known of this engine."""
        return self._info

    def explain(self, reason: str) -> None:
        """Say in ``info.reason`` why this engine was taken."""
        self._info = replace(self._info, reason=reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the runtime; a call in progress in another thread still ends well."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return the persons in each frame (see :meth:`engines.engine.Engine.detect`).

        ``full`` is set when all D slots hold persons of at least ``min_score``.
        """
        runner = self._open_runner()
        least = self._info.score_threshold if min_score is None else min_score
        chunks = [frames[rows] for rows in _chunks(len(frames), self._max_batch)]
        found: list[Detections] = []
        with closing(self._answers(runner, chunks)) as answers:
            for chunk, outputs in zip(chunks, answers, strict=True):
                found += [self._persons(f, outputs, i, least) for i, f in enumerate(chunk)]
        return found

    def _answers(
        self, runner: Runner, chunks: Sequence[Sequence[NDArray[np.uint8]]]
    ) -> Generator[SearchOutputs, None, None]:
        """Yield the outputs of each chunk; where the runner can, the next is on its way by then.

        However it ends, no chunk is left on its way.
        """
        if not isinstance(runner, StartingRunner):
            yield from (runner.search(self._fit(chunk)) for chunk in chunks)
            return
        started: deque[Callable[[], SearchOutputs]] = deque()
        try:
            for chunk in chunks:
                pixels = self._fit(chunk)
                ended = [started.popleft()()] if len(started) == IN_FLIGHT else []
                started.append(runner.start(pixels))
                yield from ended
            while started:
                yield started.popleft()()
        finally:
            for finish in started:
                with suppress(InferenceError):  # that of another chunk is on its way up
                    finish()

    def embed(
        self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return the embeddings of boxes (see :meth:`engines.engine.Engine.embed`)."""
        if len(frames) != len(boxes):
            raise ValueError(f"{len(frames)} frames, but boxes for {len(boxes)}")
        runner = self._open_runner()
        clipped = [_checked_boxes(f, b) for f, b in zip(frames, boxes, strict=True)]
        out = [np.empty((len(b), self._info.dim), np.float32) for b in clipped]
        jobs = list(self._jobs(clipped))
        for rows in _chunks(len(jobs), self._max_batch):
            self._embed_batch(runner, jobs[rows], frames, clipped, out)
        return out

    def _open_runner(self) -> Runner:
        runner = self._runner
        if runner is None:
            raise InferenceError(f"engine {self._info.name} is closed")
        return runner

    def _fit(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        for frame in frames:
            _check_frame(frame)
        return np.stack([self._letterboxes.of(frame).fit(frame) for frame in frames])

    def _persons(
        self, frame: NDArray[np.uint8], outputs: SearchOutputs, index: int, min_score: float
    ) -> Detections:
        """Return the persons that ``outputs`` holds for its frame ``index``."""
        n = int(outputs.counts[index])
        if not 0 <= n <= self._info.max_persons:
            raise InferenceError(f"engine {self._info.name} counted {n} persons in a frame")
        scores = outputs.scores[index, :n]
        boxes = outputs.boxes[index, :n]
        embeddings = outputs.embeddings[index, :n]
        self._check_finite(scores, boxes, embeddings)
        wanted = scores >= min_score
        source = self._letterboxes.of(frame).to_source(boxes)
        keep = wanted & _has_area(source)
        full = n == self._info.max_persons and bool(wanted.all())
        return Detections(source[keep], scores[keep], embeddings[keep], full)

    def _check_finite(self, *arrays: NDArray[np.float32]) -> None:
        if not all(np.isfinite(array).all() for array in arrays):
            raise InferenceError(f"engine {self._info.name} answered with NaN or infinity")

    def _jobs(self, boxes: Sequence[NDArray[np.float32]]) -> Iterator[_QueryJob]:
        for i, of_frame in enumerate(boxes):
            for rows in _chunks(len(of_frame), self._info.query_boxes):
                yield _QueryJob(i, rows)

    def _embed_batch(
        self,
        runner: Runner,
        jobs: Sequence[_QueryJob],
        frames: Sequence[NDArray[np.uint8]],
        boxes: Sequence[NDArray[np.float32]],
        out: Sequence[NDArray[np.float32]],
    ) -> None:
        """Run one batch of jobs and put the answers into ``out``."""
        pixels = self._fit([frames[job.frame] for job in jobs])
        padded = np.stack(
            [self._padded(frames[job.frame], boxes[job.frame][job.rows]) for job in jobs]
        )
        answers = runner.query(pixels, padded)
        for job, answer in zip(jobs, answers, strict=True):
            wanted = out[job.frame][job.rows]
            wanted[:] = answer[: len(wanted)]
            self._check_finite(wanted)

    def _padded(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes ``(R, 4)`` in input pixels; the free rows hold the whole input."""
        height, width = self._info.input_hw
        whole = np.array([0, 0, width, height], np.float32)
        padded = np.tile(whole, (self._info.query_boxes, 1))
        padded[: len(boxes)] = self._letterboxes.of(frame).to_input(boxes)
        return padded


class GraphEngine(RunnerEngine):
    """An engine over the two graphs of a bundle."""

    def __init__(
        self,
        bundle: Bundle,
        runner: Runner,
        *,
        backend: str,
        max_batch: int,
        precision: Precision = "fp32",
    ) -> None:
        manifest = bundle.manifest
        info = EngineInfo(
            model=manifest.model,
            name=manifest.name,
            backend=backend,
            input_hw=manifest.input_hw,
            max_persons=manifest.max_persons,
            dim=manifest.dim,
            score_threshold=manifest.score_threshold,
            query_boxes=manifest.query_boxes,
            path=bundle.path,
            precision=precision,
        )
        super().__init__(info, runner, max_batch=max_batch)


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _check_frame(frame: NDArray[np.uint8]) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        raise ValueError(f"want frames of uint8 (H, W, 3), got {frame.dtype} {frame.shape}")


def _has_area(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(sides.min(axis=1) >= MIN_BOX_PX)


def _checked_boxes(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return boxes ``(R, 4)`` cut at the frame's edges; BoxError where nothing is left."""
    _check_frame(frame)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"want boxes of (R, 4), got {boxes.shape}")
    hw = frame.shape[0], frame.shape[1]
    clipped = clip_boxes(boxes, hw)
    good = _has_area(clipped)  # false where a coordinate is NaN
    if not good.all():
        raise BoxError(boxes[int(np.argmin(good))].tolist(), hw)
    return clipped
