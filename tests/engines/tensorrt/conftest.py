"""Fixtures of the TensorRT tests: a simulated GPU, and the bundle of two tiny graphs as a plan."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bundle import Bundle, open_bundle
from engines.plans.build import plan_key
from engines.plans.cache import Plan, PlanCache
from engines.tensorrt import cuda
from engines.tensorrt.api import logger_of

SUPPORT = Path(__file__).resolve().parents[2] / "support"
Sim = Any


def _support(name: str) -> ModuleType:
    full = f"tests_support_{name}"
    spec = importlib.util.spec_from_file_location(full, SUPPORT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[full] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake_cuda() -> ModuleType:
    """Give the module that simulates pycuda.driver."""
    _support("fake_gpu")
    return _support("fake_cuda")


@pytest.fixture(scope="session")
def fake_tensorrt() -> ModuleType:
    """Give the module that simulates TensorRT's runtime."""
    return _support("fake_tensorrt")


@pytest.fixture(scope="session")
def drawn() -> Callable[..., list[NDArray[np.uint8]]]:
    """Give what draws pictures (H, W, 3) of upright figures on a speckled ground."""

    def draw(hw: tuple[int, int], n: int, seed: int = 11) -> list[NDArray[np.uint8]]:
        rng = np.random.default_rng(seed)
        frames = rng.integers(90, 130, (n, *hw, 3)).astype(np.uint8)
        for frame in frames:
            for x in range(40, hw[1] - 60, 120):
                y = int(rng.integers(20, hw[0] - 240))
                skin, coat, trousers = rng.integers(0, 256, (3, 3)).astype(np.uint8)
                frame[y : y + 28, x + 16 : x + 42] = skin
                frame[y + 28 : y + 110, x : x + 58] = coat
                frame[y + 110 : y + 220, x + 6 : x + 26] = trousers
                frame[y + 110 : y + 220, x + 32 : x + 52] = trousers
        return list(frames)

    return draw


@pytest.fixture(scope="session")
def names() -> ModuleType:
    """Give what our source uses of TensorRT and pycuda."""
    return _support("tensorrt_names")


@pytest.fixture
def simulate(
    fake_cuda: ModuleType, fake_tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Sim]]:
    """Give what puts a simulated GPU in the place of pycuda and TensorRT."""

    def install(**options: Any) -> Sim:
        gpu = fake_cuda.Simulation(**options)
        monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
        monkeypatch.setitem(sys.modules, "pycuda.driver", fake_cuda.driver_of(gpu))
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.tensorrt_of(gpu))
        return gpu

    yield install
    cuda._device.cache_clear()
    logger_of.cache_clear()


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    """Give the tiny bundle, open."""
    return open_bundle(tiny_bundle)


@pytest.fixture
def planned(bundle: Bundle, fake_tensorrt: ModuleType, tmp_path: Path) -> Callable[..., Plan]:
    """Give what keeps the simulated plans of the tiny bundle; needs a simulated GPU."""

    def keep(batch: tuple[int, int, int] = (1, 2, 4), **changes: bytes) -> Plan:
        key = plan_key(bundle, "tensorrt", "fp32", batch=batch)
        files = {
            "search.plan": fake_tensorrt.fake_plan(bundle.search_graph(), batch),
            "query.plan": fake_tensorrt.fake_plan(bundle.query_graph(), batch),
        }
        files |= {f"{name}.plan": data for name, data in changes.items()}
        return PlanCache(tmp_path / "plans").store(key, files, {"when": "now"})

    return keep
