"""Hold a fresh plan against ONNX Runtime's fp32 on a few frames, before anybody uses it.

This finds a compiler that went wrong. Whether a precision is good enough for a site is another
question, which only labelled data answers (``sightline engine verify``).
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from engines.backends import REFERENCE, Backend, Opening
from engines.compare import agree
from engines.engine import Engine
from engines.errors import BuildError
from engines.onnx_backend import OnnxEngine
from engines.plans.keys import JSON
from engines.values import Precision

Pixels = NDArray[np.uint8]

MOST_FRAMES = 4
LEAST_PERSONS = 10
"""Fewer persons say nothing about the share that has a partner."""
LEAST_MATCHED = 0.8
LEAST_COSINE: dict[Precision, float] = {"fp32": 0.999, "bf16": 0.9, "fp16": 0.95, "int8": 0.0}
"""Of the embeddings of three boxes of each frame. Rounding to 8 bits may cost any model anything,
so int8 is only told."""

LEAST_SIDE_PX = 8
"""The boxes below have no area on narrower frames."""

_BOXES = np.array([[0.1, 0.1, 0.4, 0.9], [0.45, 0.2, 0.7, 0.8], [0, 0, 1, 1]], np.float32)


def check_parity(
    opening: Opening, backend: Backend, frames: Sequence[Pixels]
) -> dict[str, JSON] | None:
    """Return how far a plan agrees with fp32; None where only another machine could tell.

    Raises:
        BuildError: it does not compute the same.
        EngineError: it cannot be opened or run.
    """
    if backend.name == REFERENCE:  # its fp16 runs on a GPU alone
        return None
    wide = [frame for frame in frames if min(frame.shape[:2]) >= LEAST_SIDE_PX]
    shown = wide[:MOST_FRAMES] or made_up_frames(opening.bundle.manifest.input_hw)
    with OnnxEngine(opening.bundle) as fp32, backend.open(opening) as other:
        parity = compare_engines(fp32, other, shown)
    _judge(opening, backend, parity)
    return parity


def compare_engines(fp32: Engine, other: Engine, frames: Sequence[Pixels]) -> dict[str, JSON]:
    """Return the agreement of two engines: persons found, and embeddings of given boxes."""
    stats = agree(fp32.detect(frames), other.detect(frames))
    boxes = [_BOXES * np.tile(frame.shape[1::-1], 2).astype(np.float32) for frame in frames]
    a = np.concatenate(fp32.embed(frames, boxes))
    b = np.concatenate(other.embed(frames, boxes))
    cosine = float((a * b).sum(axis=1).min())
    return {**asdict(stats), "boxes": len(a), "query_cosine_min": cosine}


def _judge(opening: Opening, backend: Backend, parity: dict[str, JSON]) -> None:
    cosine, persons, matched = (parity[k] for k in ("query_cosine_min", "persons", "matched"))
    assert isinstance(cosine, float)
    assert isinstance(persons, int)
    assert isinstance(matched, float)
    few = opening.precision != "int8" and persons >= LEAST_PERSONS and matched < LEAST_MATCHED
    if cosine < LEAST_COSINE[opening.precision] or few:
        raise BuildError(
            f"{backend.name} {opening.precision} of {opening.bundle.path} does not compute what "
            f"the bundle does: embeddings agree to {cosine:.4f}, {matched:.0%} of {persons} "
            "persons are found by both"
        )


def made_up_frames(input_hw: tuple[int, int]) -> list[Pixels]:
    """Return two frames of coloured blocks, for when no real one is at hand."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (2, -(-input_hw[0] // 16), -(-input_hw[1] // 16), 3), np.uint8)
    large = blocks.repeat(16, axis=1).repeat(16, axis=2)
    return [np.ascontiguousarray(frame[: input_hw[0], : input_hw[1]]) for frame in large]
