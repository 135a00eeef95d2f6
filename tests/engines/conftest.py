"""Fixtures of the engines tests: a tiny real bundle, and pictures made here."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.engine import Engine, open_engine

REPOSITORY = Path(__file__).resolve().parents[2]
Picture = NDArray[np.uint8]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """Give the module that builds a tiny bundle (needs the package onnx)."""
    pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")
    path = REPOSITORY / "tests" / "support" / "tiny_engine.py"
    spec = importlib.util.spec_from_file_location("tests_support_tiny_engine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_bundle(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tiny bundle that no test changes."""
    path: Path = tiny.write_tiny(tmp_path_factory.mktemp("bundle") / "tiny")
    return path


@pytest.fixture
def engine(tiny_bundle: Path) -> Iterator[Engine]:
    """Give an engine on the tiny bundle."""
    with open_engine(tiny_bundle, threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of shared data beside the repository."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path
