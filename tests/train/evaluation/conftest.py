"""The plain-loop evaluator, the page's worked example, and tiny data sets on disk."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.values import Detections
from train.data.records import ImageRecord, QueryRecord

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
    """The module that writes data sets in PRW's layout, and stored engines."""
    return _load("prwfolder")


@pytest.fixture(scope="session")
def plainscore() -> ModuleType:
    """The evaluator in plain loops."""
    return _load("plainscore")


@pytest.fixture(scope="session")
def plainrescore() -> ModuleType:
    """Re-scoring in plain loops."""
    return _load("plainrescore")


@pytest.fixture(scope="session")
def randomscene() -> ModuleType:
    """The module that makes random test splits."""
    return _load("randomscene")


@pytest.fixture(scope="session")
def setfolders() -> ModuleType:
    """The module that writes CUHK-SYSU, tattoo and COCO folders."""
    return _load("setfolders")


@dataclass(frozen=True)
class Scene:
    """A test split, what was detected on it, and the queries."""

    images: list[ImageRecord]
    found: list[Detections]
    queries: list[QueryRecord]
    features: Any


EXAMPLE_PEOPLE: dict[str, list[tuple[float, float, float, float, float]]] = {
    "c1s1_000001": [(7, 200, 50, 100, 300)],
    "c1s1_000002": [(7, 100, 100, 100, 300), (-2, 500, 100, 100, 300)],
    "c2s1_000001": [(7, 300, 100, 100, 300)],
    "c2s1_000002": [(7, 300, 100, 100, 300)],
    "c3s1_000001": [(12, 0, 0, 40, 100)],
    "c3s1_000002": [(7, 50, 50, 10, 20)],
}
"""Frames q, a, b, c, d, e of the worked example: rows of id, x, y, w, h."""

FILLERS = [[500, 10 + 5 * k, 520, 60 + 5 * k] for k in range(12)]


@pytest.fixture(scope="session")
def example_found(prwfolder: ModuleType) -> list[Detections]:
    """What is detected in the frames of the worked example."""
    make = prwfolder.detections
    low = list(np.linspace(0.04, -0.2, 12))
    frame_d = [[0, 0, 40, 100], [300, 300, 340, 400], *FILLERS]
    return [
        make([[200, 50, 300, 350]], [1.0]),
        make([[500, 100, 600, 400], [105, 105, 205, 405]], [0.95, 0.90]),
        make([[300, 100, 400, 400], [300, 130, 400, 430]], [0.80, 0.70]),
        make([[300, 100, 400, 400]], [0.99], [0.4]),
        make(frame_d, [0.85, 0.10, *low]),
        make([[50, 50, 54, 70]], [0.60]),
    ]


@pytest.fixture(scope="session")
def example(prwfolder: ModuleType, example_found: list[Detections]) -> Scene:
    """The worked example as records."""
    images = []
    for name, people in EXAMPLE_PEOPLE.items():
        rows = np.array(people, np.float64)
        boxes = np.hstack([rows[:, 1:3], rows[:, 1:3] + rows[:, 3:]]).astype(np.float32)
        ids = rows[:, 0].astype(np.int64)
        images.append(ImageRecord(Path(f"{name}.jpg"), name, int(name[1]), boxes, ids))
    query = QueryRecord(images[0].name, images[0].path, 1, images[0].boxes[0], 7)
    return Scene(images, example_found, [query], prwfolder.query_feature()[None])


@pytest.fixture
def example_folder(prwfolder: ModuleType, tmp_path: Path) -> Any:
    """The worked example on disk; frame n is grey n."""
    folder = prwfolder.PrwFolder(tmp_path / "prw")
    for name, rows in EXAMPLE_PEOPLE.items():
        folder.frame(name, rows)
    folder.split("test", folder.names, [7, 12])
    folder.queries([f"7 200 50 100 300 {folder.names[0]}"], newline="\r\n")
    return folder


@pytest.fixture
def example_engine(prwfolder: ModuleType, example_found: list[Detections], tmp_path: Path) -> Any:
    """An engine that gives the worked example's answers."""
    return prwfolder.StoredEngine(dict(enumerate(example_found)), tmp_path, [], [])


@pytest.fixture
def cuhk(setfolders: ModuleType, tmp_path: Path) -> Any:
    """Three frames with person 1, one of them listed twice, and one of somebody else."""
    folder = setfolders.CuhkFolder(tmp_path / "cuhk")
    box, other = (5, 5, 20, 40), (30, 5, 20, 40)
    names = ["s1.jpg", "s2.jpg", "s3.jpg", "s4.jpg"]
    folder.images({"s1.jpg": [box], "s2.jpg": [box, other], "s3.jpg": [other], "s4.jpg": [other]})
    folder.pool(names)
    folder.train([])
    listed = {
        "50": [("s2.jpg", box), ("s3.jpg", None)],
        "100": [("s2.jpg", box), ("s3.jpg", None), ("s2.jpg", other)],
    }
    for size, gallery in listed.items():
        variable = f"TestG{size}"
        query = [("s1.jpg", box, gallery)]
        folder.queries(f"train_test/{variable}.mat", variable, query)
    return folder
