"""Tiny data sets on disk."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[2] / "support" / "prwfolder.py"


@pytest.fixture(scope="session")
def prwfolder() -> ModuleType:
    """The module that writes data sets in PRW's layout."""
    spec = importlib.util.spec_from_file_location("prwfolder", SUPPORT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(prwfolder: ModuleType, tmp_path: Path) -> Any:
    """An empty PRW folder; frames, splits and queries are added by the test."""
    return prwfolder.PrwFolder(tmp_path / "prw", size_hw=(48, 64))
