"""What the checks of deploy/ share: the folder, and the reader of command lines."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def parse() -> Callable[..., dict[str, Any]]:
    """Read a ``sightline`` command line as the program would (words after ``sightline``)."""
    path = ROOT / "tests" / "support" / "commandline.py"
    spec = importlib.util.spec_from_file_location("support_commandline", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reader: Callable[..., dict[str, Any]] = module.parse
    return reader


@pytest.fixture(scope="session")
def known_variables() -> frozenset[str]:
    """The environment variables of the form SIGHTLINE_* that the program reads."""
    from cli.settings import FILE_VARIABLE, PREFIX, Settings

    return frozenset({FILE_VARIABLE, *(PREFIX + name.upper() for name in Settings.model_fields)})
