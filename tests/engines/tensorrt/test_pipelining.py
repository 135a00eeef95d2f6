"""An engine keeps a runner busy that can take a batch while another is on its way."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import InferenceError
from engines.graph_engine import IN_FLIGHT, GraphEngine, SearchOutputs
from engines.onnx_backend import OnnxEngine
from engines.values import Detections

Frames = NDArray[np.uint8]


class Starting:
    """Takes batches at once and answers late; ``log`` tells the order of events."""

    def __init__(self, engine: OnnxEngine) -> None:
        self._runner = engine._open_runner()
        self.log: list[str] = []
        self.on_way = 0
        self.most = 0
        self.fails_to_start = self.fails_to_finish = self.answers_nonsense = -1

    def start(self, frames: Frames) -> Callable[[], SearchOutputs]:
        number = sum(entry.startswith("start") for entry in self.log)
        self.log.append(f"start {number}")
        if number == self.fails_to_start:
            raise InferenceError(f"batch {number} did not start")
        self.on_way += 1
        self.most = max(self.most, self.on_way)
        kept = frames.copy()

        def finish() -> SearchOutputs:
            self.log.append(f"finish {number}")
            self.on_way -= 1
            if number == self.fails_to_finish:
                raise InferenceError(f"batch {number} did not finish")
            outputs = self._runner.search(kept)
            if number == self.answers_nonsense:
                outputs.counts[:] = 99
            return outputs

        return finish

    def search(self, frames: Frames) -> SearchOutputs:
        raise AssertionError("a runner that can start is not asked to search")

    def query(self, frames: Frames, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._runner.query(frames, boxes)

    def close(self) -> None:
        assert self.on_way == 0


@pytest.fixture
def plain(bundle: Bundle) -> Iterator[OnnxEngine]:
    with OnnxEngine(bundle, threads=1, max_batch=3) as engine:
        yield engine


@pytest.fixture
def runner(plain: OnnxEngine) -> Starting:
    return Starting(plain)


@pytest.fixture
def engine(bundle: Bundle, runner: Starting) -> Iterator[GraphEngine]:
    with GraphEngine(bundle, runner, backend="test", max_batch=3) as opened:
        yield opened


@pytest.fixture(scope="module")
def frames() -> list[Frames]:
    rng = np.random.default_rng(5)
    sizes = rng.integers(20, 90, (17, 2))
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


def same(found: list[Detections], wanted: list[Detections]) -> bool:
    for a, b in zip(found, wanted, strict=True):
        assert_array_equal(a.boxes, b.boxes)
        assert_array_equal(a.embeddings, b.embeddings)
    return True


@pytest.mark.parametrize("n", [0, 1, 3, 4, 6, 7, 17])
def test_answers_are_those_of_one_batch_after_the_other(
    engine: GraphEngine, plain: OnnxEngine, runner: Starting, frames: list[Frames], n: int
) -> None:
    assert same(engine.detect(frames[:n], min_score=0), plain.detect(frames[:n], min_score=0))
    assert runner.on_way == 0
    assert runner.most == min(IN_FLIGHT, -(-n // 3))


def test_a_batch_starts_before_the_one_before_it_is_waited_for(
    engine: GraphEngine, runner: Starting, frames: list[Frames]
) -> None:
    engine.detect(frames[:12])
    assert runner.log == [
        "start 0", "start 1", "finish 0", "start 2", "finish 1", "start 3", "finish 2", "finish 3",
    ]  # fmt: skip


def test_frames_are_fitted_while_a_batch_is_on_its_way(
    engine: GraphEngine, runner: Starting, frames: list[Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = engine._fit
    on_way: list[int] = []

    def noted(chunk: list[Frames]) -> Frames:
        on_way.append(runner.on_way)
        return fit(chunk)

    monkeypatch.setattr(engine, "_fit", noted)
    engine.detect(frames[:12])
    assert on_way == [0, 1, 2, 2]


@pytest.mark.parametrize("batch", [0, 1, 2, 4])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [("fails_to_start", "did not start"), ("fails_to_finish", "did not finish"),
     ("answers_nonsense", "counted 99 persons")],
)  # fmt: skip
def test_no_batch_is_left_on_its_way_after_an_error(
    engine: GraphEngine, plain: OnnxEngine, runner: Starting, frames: list[Frames],
    spoil: str, says: str, batch: int,
) -> None:  # fmt: skip
    setattr(runner, spoil, batch)
    with pytest.raises(InferenceError, match=says):
        engine.detect(frames[:15])
    assert runner.on_way == 0
    setattr(runner, spoil, -1)
    assert same(engine.detect(frames), plain.detect(frames))


def test_a_frame_of_the_wrong_kind_leaves_no_batch_on_its_way(
    engine: GraphEngine, runner: Starting, frames: list[Frames]
) -> None:
    with pytest.raises(ValueError, match="want frames of uint8"):
        engine.detect([*frames[:8], np.zeros((3, 3), np.uint8)])
    assert runner.on_way == 0
