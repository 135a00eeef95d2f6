"""Fixtures of the plan tests: a cache of its own, and a key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.plans.cache import PlanCache
from engines.plans.keys import PlanKey

KEY = PlanKey(
    model="ab" * 32,
    search_sha256="01" * 32,
    query_sha256="02" * 32,
    backend="onnxruntime",
    runtime="onnxruntime 1.0",
    machine="abacus avx2",
    precision="int8",
    settings={"input_hw": [32, 48], "batch": [1, 4, 8]},
)


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    """Give a cache in a folder that does not exist yet."""
    return PlanCache(tmp_path / "cache")


@pytest.fixture
def key() -> PlanKey:
    """Give the key of a plan that nobody can run."""
    return KEY


@pytest.fixture
def other_key() -> Any:
    """Give a function that returns the key with one field changed."""
    return lambda **changes: replace(KEY, **changes)
