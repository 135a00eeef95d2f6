"""Embeddings of a batch as the identity losses take them."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.embedded import Embedded

Make = Callable[..., Embedded]


def unit(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    """Return ``(count, dim)`` random float64 directions."""
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


def embedded(
    labels: Sequence[int],
    frames: Sequence[int] | None = None,
    *,
    features: Tensor | None = None,
    seed: int = 0,
) -> Embedded:
    """Return embeddings with labels; without ``frames`` each comes from a frame of its own."""
    made = unit(len(labels), seed=seed) if features is None else features
    frames = range(len(labels)) if frames is None else frames
    return Embedded(
        made,
        torch.tensor(list(labels), dtype=torch.int64),
        torch.tensor(list(frames), dtype=torch.int64),
    )


@pytest.fixture(name="unit", scope="session")
def unit_fixture() -> Callable[..., Tensor]:
    return unit


@pytest.fixture(name="embedded", scope="session")
def embedded_fixture() -> Make:
    return embedded
