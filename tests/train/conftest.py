"""A tiny data set to train on."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[1] / "support"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_people() -> Callable[..., Path]:
    """What writes a data set of coloured stripes; takes its folder and what it shall hold."""
    writer, layout = _load("tinypeople"), _load("prwfolder")

    def write(root: Path, **content: Any) -> Path:
        path: Path = writer.write_people(layout, root, **content)
        return path

    return write


@pytest.fixture(scope="session")
def stripes(write_people: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of five people on ten pictures."""
    return write_people(tmp_path_factory.mktemp("sets") / "stripes")


@pytest.fixture(scope="session")
def detector() -> ModuleType:
    """torchvision's Faster R-CNN with random weights that detect."""
    return _load("detector")
