"""Every backend and precision agrees on the trained network that comes with Sightline.

Its layers are of the kinds that the tiny bundle lacks. ONNX Runtime in float32 is what the
others are held against; plans are made as `sightline engine build` makes them.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from engines.backends import BACKENDS, Opening
from engines.bundle import Bundle, open_bundle, shipped_bundle
from engines.compare import agree, compare
from engines.engine import Engine
from engines.openvino_backend import NATIVE_BF16
from engines.pictures import read_picture
from engines.plans.build import build_plan
from engines.plans.cache import PlanCache
from engines.plans.machine import cpu_text
from engines.values import Detections, Precision

Picture = NDArray[np.uint8]


class Way(NamedTuple):
    """A backend in a precision."""

    backend: str
    precision: Precision


WAYS = [
    Way("onnxruntime", "fp32"),
    Way("openvino", "fp32"),
    Way("openvino", "bf16"),
    Way("reference", "fp32"),
]
LOWERED = [Way("onnxruntime", "fp16"), Way("onnxruntime", "int8"), Way("openvino", "int8")]


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


@pytest.fixture(scope="module", params=WAYS, ids=ids)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    require_way(chosen)
    return chosen


@pytest.fixture(scope="module")
def trained() -> Bundle:
    return open_bundle(shipped_bundle())


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Photographs of people where there are some, and pictures of odd sizes."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "people" / "images"
    found = sorted(folder.rglob("*.jpg")) if folder.is_dir() else []
    photographs = [read_picture(path) for path in found[:: max(1, len(found) // 3)][:3]]
    noise = np.random.default_rng(2).integers(0, 256, (241, 3, 3)).astype(np.uint8)
    grey = np.full((1080, 1920, 3), 128, np.uint8)
    return [*photographs, noise, grey]


@pytest.fixture(scope="module")
def trained_answers(trained: Bundle, pictures: list[Picture]) -> list[Detections]:
    """What ONNX Runtime finds, the weakest included."""
    with opened(trained, WAYS[0]) as engine:
        return engine.detect(pictures, min_score=0)


@pytest.fixture(scope="module")
def trained_engine(trained: Bundle, way: Way) -> Iterator[Engine]:
    with opened(trained, way) as engine:
        yield engine


def test_the_trained_network_agrees(
    trained_engine: Engine,
    way: Way,
    pictures: list[Picture],
    trained_answers: list[Detections],
) -> None:
    found = trained_engine.detect(pictures, min_score=0)
    if way.precision == "fp32":
        stats = agree(trained_answers, found, min_score=0.05)
        assert stats.matched == 1
        assert stats.box_px_p99 <= 0.01
        assert stats.cosine_p01 >= 1 - 1e-6
        assert [a.full for a in trained_answers] == [f.full for f in found]
    else:  # weak persons may come and go
        stats = agree(trained_answers, found, min_score=0.5)
        assert stats.matched >= 0.9
        assert stats.cosine_median >= 0.99
    assert all(np.isfinite(f.boxes).all() and np.isfinite(f.embeddings).all() for f in found)
    for answer in found:
        assert_allclose(np.linalg.norm(answer.embeddings, axis=1), 1, atol=1e-4)


def test_a_picture_alone_is_answered_by_the_trained_network_as_in_company(
    trained_engine: Engine, pictures: list[Picture]
) -> None:
    few = pictures[-2:]
    alone = [trained_engine.detect([picture], min_score=0.05)[0] for picture in few]
    together = trained_engine.detect(few * 4, min_score=0.05)  # a full batch
    agreement = compare(alone * 4, together)
    assert agreement.within(box_px=2e-3, cosine=1 - 1e-5)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_trained_network_embeds_any_number_of_boxes(
    trained_engine: Engine, trained: Bundle, way: Way, pictures: list[Picture], extra: int
) -> None:
    count = trained.manifest.query_boxes + extra
    picture = pictures[0]
    height, width = picture.shape[:2]
    rng = np.random.default_rng(5 + extra)
    corner = rng.uniform(0, 0.5, (count, 2)) * [width, height]
    sides = rng.uniform(0.2, 0.5, (count, 2)) * [width, height]
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    (embedded,) = trained_engine.embed([picture], [boxes])
    with opened(trained, WAYS[0]) as plain:
        (expected,) = plain.embed([picture], [boxes])
    cosines = (embedded * expected).sum(axis=1)
    assert embedded.shape == (count, 256)
    assert (cosines >= (1 - 1e-6 if way.precision == "fp32" else 0.98)).all()


@pytest.fixture(scope="module", params=LOWERED, ids=ids)
def lowered(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    require_way(chosen)
    return chosen


@pytest.fixture(scope="module")
def lowered_engine(
    trained: Bundle,
    lowered: Way,
    pictures: list[Picture],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """An engine on a plan, calibrated on the pictures that it is asked about."""
    cache = PlanCache(tmp_path_factory.mktemp("cache"))
    frames = pictures if lowered.precision == "int8" else ()
    plan = build_plan(trained, lowered.backend, lowered.precision, frames=frames, cache=cache)
    wanted = Opening(trained, lowered.precision, plan=plan, threads=1)
    with BACKENDS[lowered.backend].open(wanted) as engine:
        yield engine


@pytest.mark.slow
def test_a_plan_finds_the_same_persons(
    lowered_engine: Engine,
    lowered: Way,
    pictures: list[Picture],
    trained_answers: list[Detections],
) -> None:
    assert lowered_engine.info.precision == lowered.precision
    assert lowered_engine.detect([]) == []
    found = lowered_engine.detect(pictures, min_score=0)
    assert all(np.isfinite(f.boxes).all() and np.isfinite(f.embeddings).all() for f in found)
    stats = agree(trained_answers, found, min_score=0.5)
    assert stats.cosine_median >= 0.98
    if lowered.precision == "fp16":
        assert stats.matched == 1
        assert stats.box_px_p99 <= 0.5
        assert stats.score_p99 <= 0.01
    else:
        assert stats.matched >= 0.8


@pytest.mark.slow
def test_a_plan_answers_alone_as_in_company(
    lowered_engine: Engine, pictures: list[Picture]
) -> None:
    few = pictures[:2]
    alone = [lowered_engine.detect([picture], min_score=0.3)[0] for picture in few]
    together = lowered_engine.detect(few * 5, min_score=0.3)  # a full batch and two more
    assert compare(alone * 5, together).within(box_px=0.05, cosine=0.9999)


@pytest.mark.slow
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_plan_embeds_any_number_of_boxes(
    lowered_engine: Engine, trained: Bundle, pictures: list[Picture], extra: int
) -> None:
    count = trained.manifest.query_boxes + extra
    boxes = np.tile(np.array([[10, 10, 90, 200]], np.float32), (count, 1))
    (embedded,) = lowered_engine.embed(pictures[:1], [boxes])
    assert embedded.shape == (count, 256)
    assert_allclose(embedded, embedded[:1].repeat(count, 0), atol=1e-5)


@pytest.mark.slow
def test_the_reference_explains_a_lowered_graph(
    trained: Bundle, pictures: list[Picture], tmp_path: Path
) -> None:
    """The fp16 graph in torch and in ONNX Runtime: the same rounding, so nearly the same."""
    answers = []
    for backend in ("onnxruntime", "reference"):
        require_way(Way(backend, "fp16"))
        plan = build_plan(trained, backend, "fp16", cache=PlanCache(tmp_path))
        wanted = Opening(trained, "fp16", plan=plan)
        with BACKENDS[backend].open(wanted) as engine:
            assert engine.info.precision == "fp16"
            answers.append(engine.detect(pictures[:1], min_score=0.3))
    assert compare(*answers).within(box_px=0.5, cosine=0.999)
