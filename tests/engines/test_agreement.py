"""Every backend gives the same persons, whatever frames come, and however many at once.

ONNX Runtime in float32 is what the others are held against. On the tiny bundle each answer is
also known beforehand.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from engines.backends import BACKENDS, Opening
from engines.bundle import Bundle, open_bundle
from engines.compare import compare
from engines.engine import Engine
from engines.errors import BoxError, InferenceError
from engines.openvino_backend import NATIVE_BF16
from engines.plans.machine import cpu_text
from engines.values import Detections, Precision

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float32]
WHITE, RED, GREEN = (255, 255, 255), (255, 0, 0), (0, 255, 0)
MAX_BATCH = 8


class Way(NamedTuple):
    """A backend in a precision that needs no plan, and how near it comes to the reference."""

    backend: str
    precision: Precision
    box_px: float
    cosine: float
    score: float


WAYS = [
    Way("onnxruntime", "fp32", 1e-3, 1 - 1e-6, 1e-5),
    Way("openvino", "fp32", 1e-3, 1 - 1e-6, 1e-5),
    Way("openvino", "bf16", 0.05, 0.9999, 4e-3),
    Way("reference", "fp32", 1e-3, 1 - 1e-6, 1e-5),
]


def require_way(way: Way) -> None:
    """Skip a backend that is not here; with REQUIRE_OPENVINO=1 and the like, fail instead."""
    known = BACKENDS[way.backend]
    missing = [name for name in known.modules if find_spec(name) is None]
    if missing and os.environ.get(f"REQUIRE_{way.backend.upper()}") != "1":
        pytest.skip(f"{', '.join(missing)} is not installed (pip install -e '.[{known.extra}]')")
    if way.precision == "bf16" and not NATIVE_BF16.intersection(cpu_text().split()):
        pytest.skip(f"this CPU multiplies no bfloat16: {cpu_text()}")


def opened(bundle: Bundle, way: Way) -> Engine:
    return BACKENDS[way.backend].open(Opening(bundle, way.precision, threads=1))


def ids(way: Way) -> str:
    return f"{way.backend}-{way.precision}"


@pytest.fixture(scope="module")
def tiny_opened(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module", params=WAYS, ids=ids)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    require_way(chosen)
    return chosen


@pytest.fixture(scope="module")
def engine(tiny_opened: Bundle, way: Way) -> Iterator[Engine]:
    """Each backend in turn on the tiny bundle."""
    with opened(tiny_opened, way) as engine:
        yield engine


@pytest.fixture(scope="module")
def plain(tiny_opened: Bundle) -> Iterator[Engine]:
    """ONNX Runtime on the tiny bundle."""
    with opened(tiny_opened, WAYS[0]) as engine:
        yield engine


def scene(hw: tuple[int, int], seed: int, most: int = 6) -> Picture:
    """A black picture with up to ``most`` bright blocks at random places."""
    rng = np.random.default_rng(seed)
    out = np.zeros((*hw, 3), np.uint8)
    size = max(1, min(hw) // 6)
    for _ in range(int(rng.integers(0, most + 1))):
        y, x = int(rng.integers(hw[0])), int(rng.integers(hw[1]))
        out[y : y + size, x : x + size] = rng.integers(150, 256, 3)
    return out


def crowd(persons: int) -> Picture:
    """So many white cells of the tiny bundle, none beside another."""
    out = np.zeros((64, 96, 3), np.uint8)
    for i in range(persons):
        y, x = 16 * (i // 6), 16 * (i % 6)
        out[y : y + 8, x : x + 8] = 255
    return out


def assert_same(
    expected: Sequence[Detections], found: Sequence[Detections], way: Way, factor: float = 1.0
) -> None:
    """``factor`` source pixels make one of the input."""
    agreement = compare(expected, found)
    assert agreement.within(box_px=way.box_px * factor, cosine=way.cosine), agreement
    assert agreement.worst_score <= way.score
    assert [e.full for e in expected] == [f.full for f in found]


@pytest.mark.parametrize("n", [0, 1, 2, MAX_BATCH - 1, MAX_BATCH, MAX_BATCH + 1, 2 * MAX_BATCH + 1])
def test_any_number_of_frames(engine: Engine, plain: Engine, way: Way, n: int) -> None:
    frames = [scene((64, 96), seed) for seed in range(n)]
    expected = plain.detect(frames)
    assert len(expected) == n
    assert_same(expected, engine.detect(frames), way)


ODD = [(1, 1), (1, 200), (200, 1), (2, 3), (31, 47), (33, 49), (48, 32), (1920, 1080), (2160, 3840)]


@pytest.mark.parametrize("hw", ODD, ids=str)
def test_odd_sizes(engine: Engine, plain: Engine, way: Way, hw: tuple[int, int]) -> None:
    frames = [scene(hw, seed=5, most=9), np.full((*hw, 3), 255, np.uint8)]
    expected, found = plain.detect(frames), engine.detect(frames)
    assert_same(expected, found, way, factor=max(1, *hw) / 32)
    for answer in found:
        assert (answer.boxes >= 0).all()
        assert (answer.boxes <= [hw[1], hw[0], hw[1], hw[0]]).all()


def test_sizes_may_be_mixed(engine: Engine, plain: Engine, way: Way) -> None:
    frames = [scene(hw, seed) for seed, hw in enumerate(ODD[:8])]
    assert_same(plain.detect(frames), engine.detect(frames), way, factor=60)


def test_a_person_is_where_it_was_drawn(engine: Engine) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[16:24, 40:48] = RED
    (found,) = engine.detect([frame])
    assert_allclose(found.boxes, [[40, 16, 48, 24]], atol=0.05)
    assert_allclose(found.scores, [1.0], atol=4e-3)
    assert_allclose(found.embeddings[0, :3], [1, 0, 0], atol=4e-3)


@pytest.mark.parametrize("value", [0, 114])
def test_an_empty_scene_holds_nobody(engine: Engine, value: int) -> None:
    for found in engine.detect([np.full((37, 61, 3), value, np.uint8)] * 9):
        assert len(found) == 0
        assert not found.full
        assert (found.boxes.shape, found.embeddings.shape) == ((0, 4), (0, 256))


@pytest.mark.parametrize("persons", [3, 4, 5, 24])
def test_a_crowd_is_cut_and_said_to_be(engine: Engine, tiny: ModuleType, persons: int) -> None:
    before, found, after = engine.detect([crowd(1), crowd(persons), crowd(1)])
    assert len(found) == min(persons, tiny.PERSONS)
    assert found.full == (persons >= tiny.PERSONS)
    assert (len(before), before.full, len(after), after.full) == (1, False, 1, False)


def test_a_frame_has_the_same_answer_alone_and_in_company(engine: Engine) -> None:
    frames = [scene((64, 96), seed) for seed in range(11)]
    alone = [engine.detect([frame])[0] for frame in frames]
    together = engine.detect(frames)
    backwards = engine.detect(frames[::-1])[::-1]
    for answers in (together, backwards):
        agreement = compare(alone, answers)
        assert agreement.within(box_px=1e-4, cosine=1 - 1e-6)
        assert agreement.worst_score <= 1e-6


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_any_number_of_boxes(engine: Engine, tiny: ModuleType, n: int) -> None:
    """R is 3 in the tiny bundle: none, one, R, one more, and two times R and one more."""
    assert tiny.QUERY_BOXES == 3
    frame = np.zeros((64, 96, 3), np.uint8)
    colours = np.array([[255, 30 * i, 0] for i in range(n)], np.uint8).reshape(-1, 3)
    for i, colour in enumerate(colours):
        frame[8:16, 8 * i : 8 * i + 8] = colour
    boxes = np.array([[8 * i, 8, 8 * i + 8, 16] for i in range(n)], np.float32).reshape(-1, 4)
    embedded, none, again = engine.embed([frame, frame, frame], [boxes, boxes[:0], boxes[::-1]])
    lengths = np.linalg.norm(colours.astype(float), axis=1, keepdims=True)
    assert embedded.shape == (n, 256)
    assert_allclose(embedded[:, :3], colours / lengths, atol=6e-3)
    assert_allclose(again[::-1], embedded, atol=1e-6)
    assert none.shape == (0, 256)


def test_many_frames_with_boxes_keep_their_own(engine: Engine, plain: Engine, way: Way) -> None:
    frames = [scene((64, 96), seed) for seed in range(12)]
    boxes = [found.boxes for found in plain.detect(frames)]
    assert sum(map(len, boxes)) > 10
    for expected, found in zip(
        plain.embed(frames, boxes), engine.embed(frames, boxes), strict=True
    ):
        assert ((expected * found).sum(axis=1) >= way.cosine).all()


def test_a_box_off_the_frame_is_refused(engine: Engine) -> None:
    with pytest.raises(BoxError, match=r"\(100, 0, 120, 8\) does not lie on the frame of 96 x 64"):
        engine.embed([crowd(1)], [np.array([[100, 0, 120, 8]], np.float32)])


def test_a_lower_threshold_finds_more(engine: Engine) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    for i, value in enumerate((140, 180, 255)):
        frame[16 * i : 16 * i + 8, :8] = value
    counts = [len(engine.detect([frame], min_score=s)[0]) for s in (0.0, 0.55, 0.6, 0.8, 1.1)]
    assert counts == [3, 2, 2, 1, 0]


def test_answers_are_the_callers_own(engine: Engine) -> None:
    (first,) = engine.detect([crowd(3)])
    kept = first.boxes.copy(), first.scores.copy(), first.embeddings.copy()
    (embedded,) = engine.embed([crowd(3)], [first.boxes])
    kept_embedded = embedded.copy()
    engine.detect([crowd(1)] * 9)
    engine.embed([np.zeros((64, 96, 3), np.uint8)], [first.boxes])
    for array, copy in zip((first.boxes, first.scores, first.embeddings), kept, strict=True):
        assert (array == copy).all()
    assert (embedded == kept_embedded).all()


def in_threads(count: int, work: Callable[[int], bool]) -> list[bool]:
    start = threading.Barrier(count)

    def waiting(i: int) -> bool:
        start.wait(30)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(waiting, range(count), timeout=100))


def test_threads_share_an_engine(tiny_opened: Bundle, way: Way) -> None:
    """On a fresh engine: graphs that are loaded when first needed are loaded by all at once."""
    batches = [[scene((64, 96), 10 * i + k) for k in range(1 + 3 * i)] for i in range(4)]
    with opened(tiny_opened, way) as alone:
        expected = [alone.detect(batch) for batch in batches]
        embedded = [alone.embed(f, [e.boxes for e in a]) for f, a in zip(batches, expected,
                                                                         strict=True)]  # fmt: skip
    with opened(tiny_opened, way) as engine:

        def work(i: int) -> bool:
            for _ in range(6):
                boxes = [e.boxes for e in expected[i]]
                own = engine.embed(batches[i], boxes)
                found = engine.detect(batches[i])
                if not compare(expected[i], found).within(box_px=1e-4, cosine=1 - 1e-6):
                    return False
                if not all(np.allclose(a, b, atol=1e-6) for a, b in zip(own, embedded[i],
                                                                       strict=True)):  # fmt: skip
                    return False
            return True

        assert in_threads(len(batches), work) == [True] * len(batches)


def test_closing_while_others_work_ends_their_calls_cleanly(tiny_opened: Bundle, way: Way) -> None:
    engine = opened(tiny_opened, way)
    expected = engine.detect([crowd(3)])

    def work(i: int) -> bool:
        if i == 0:
            engine.close()
            return True
        for _ in range(2000):
            try:
                found = engine.detect([crowd(3)])
            except InferenceError as error:
                return "closed" in str(error)
            if not compare(expected, found).within(box_px=1e-4, cosine=1 - 1e-6):
                return False
        return False

    assert in_threads(3, work) == [True] * 3
