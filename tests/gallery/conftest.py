"""Sightings made to order, and a gallery to put them in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.gallery import Gallery
from gallery.values import Sighting, sighting_id

MODEL = "model-a-0123456789abcdef"
MORNING_MS = 1_772_438_400_000
"""2026-03-02 08:00:00 UTC."""


def vectors(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return random embeddings (N, 256)."""
    rows = rng.standard_normal((count, 256))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sighting(
    camera: str = "cam1",
    at_ms: int = MORNING_MS,
    embedding: NDArray[np.float32] | None = None,
    *,
    tracklet: str = "",
    model: str = MODEL,
    crop: str = "",
    name: str = "",
) -> Sighting:
    """Return one sighting; without an embedding, one that follows from camera and time."""
    if embedding is None:
        seed = [at_ms % 2**32, *camera.encode()]
        embedding = vectors(np.random.default_rng(seed), 1)[0]
    tracklet = tracklet or f"{camera}/{at_ms}-1"
    return Sighting(
        id=name or sighting_id(camera, tracklet, at_ms),
        camera=camera,
        captured_at_ms=at_ms,
        tracklet=tracklet,
        box=(10.1, 20.2, 30.3, 80.4),
        score=0.9,
        quality=0.7,
        embedding=embedding,
        crop=crop,
        model=model,
        frame_wh=(640, 480),
    )


@pytest.fixture
def make_sighting() -> Callable[..., Sighting]:
    return sighting


@pytest.fixture
def make_vectors() -> Callable[[np.random.Generator, int], NDArray[np.float32]]:
    return vectors


@pytest.fixture
def model() -> str:
    return MODEL


@pytest.fixture
def morning_ms() -> int:
    return MORNING_MS


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", model=MODEL, create=True) as opened:
        yield opened
