"""Tiny data sets on disk."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[2] / "support"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def prwfolder() -> ModuleType:
    """The module that writes data sets in PRW's layout."""
    return _load("prwfolder")


@pytest.fixture(scope="session")
def sets() -> ModuleType:
    """The module that writes data sets in the other layouts."""
    return _load("setfolders")


@pytest.fixture
def folder(prwfolder: ModuleType, tmp_path: Path) -> Any:
    """An empty PRW folder; frames, splits and queries are added by the test."""
    return prwfolder.PrwFolder(tmp_path / "prw", size_hw=(48, 64))


@pytest.fixture
def cuhk(sets: ModuleType, tmp_path: Path) -> Any:
    """A whole CUHK-SYSU folder: three training frames, five test frames, two queries.

    Training person 1 is on s1 and s2, person 2 on s1 alone. Test person 1 is on t1 (the query),
    t2 and twice on t3, which is listed twice; person 2 on t4 (the query, in its own gallery)
    and t2.
    """
    made = sets.CuhkFolder(tmp_path / "cuhk")
    made.images(
        {
            "s1.jpg": [(1, 2, 10, 20), (30, 5, 10, 20), (0, 0, 5, 0)],
            "t1.jpg": [(3, 3, 10, 20)],
            "s2.jpg": [(5, 5, 10, 20), (40, 5, 8, 16)],
            "t2.jpg": [(4, 4, 10, 20), (30, 4, 10, 20), (50, 4, 9, 19)],
            "t3.jpg": [(2, 2, 10, 20), (40, 2, 10, 20)],
            "s3.jpg": [(9, 9, 10, 20)],
            "t4.jpg": [(6, 6, 10, 20), (36, 6, 10, 20)],
            "t5.jpg": [],
        }
    )
    made.pool(["t2.jpg", "t1.jpg", "t3.jpg", "t4.jpg", "t5.jpg"])
    made.train(
        [[("s1.jpg", (1, 2, 10, 20)), ("s2.jpg", (5, 5, 10, 20))], [("s1.jpg", (30, 5, 10, 20))]]
    )
    first = [("t3.jpg", (2, 2, 10, 20)), ("t2.jpg", (4, 4, 10, 20)), ("t3.jpg", (40, 2, 10, 20))]
    second = [("t2.jpg", (30, 4, 10, 20)), ("t4.jpg", (36, 6, 10, 20)), ("t1.jpg", None)]
    queries = [("t1.jpg", (3, 3, 10, 20), first), ("t4.jpg", (6, 6, 10, 20), second)]
    for size in (50, 100, 500, 1000, 2000, 4000):
        made.queries(f"train_test/TestG{size}.mat", f"TestG{size}", queries)
    made.queries("subset/Occlusion.mat", "Occlusion1", queries[1:])
    made.queries("subset/Resolution.mat", "Test_Size", queries[:1])
    return made
