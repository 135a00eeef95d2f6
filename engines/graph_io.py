"""What the two graphs of a bundle take and return.

B is the batch and free; every other size is fixed by the manifest: input H and W, D persons a
frame, R boxes a query frame. Boxes are x1 y1 x2 y2 in input pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engines.values import EMBEDDING_DIM

Dim = int | str | None
"""A size as a runtime tells it: known, or a name or nothing where it is free."""


class Sizes(Protocol):
    """The sizes that fix the graphs (a manifest has them)."""

    @property
    def input_hw(self) -> tuple[int, int]:
        """Input height and width."""
        ...

    @property
    def max_persons(self) -> int:
        """Persons a frame (D)."""
        ...

    @property
    def query_boxes(self) -> int:
        """Boxes a query frame (R)."""
        ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; ``sizes`` are those after the batch."""

    name: str
    dtype: str
    sizes: tuple[int, ...]

    def faults(self, kind: str, dtype: str, shape: Sequence[Dim]) -> Iterator[str]:
        """Tell in words how a graph's own statement differs from this."""
        if dtype != self.dtype:
            yield f"{kind} {self.name} is {dtype}, not {self.dtype}"
        if len(shape) != 1 + len(self.sizes) or tuple(shape[1:]) != self.sizes:
            yield f"{kind} {self.name} is {_text(shape)}, not {_text(('batch', *self.sizes))}"
        elif isinstance(shape[0], int):
            yield f"{kind} {self.name} has a fixed batch of {shape[0]}"


def search_io(sizes: Sizes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return inputs and outputs of the graph that finds persons."""
    persons = sizes.max_persons
    return (
        (Tensor("frames", "uint8", (3, *sizes.input_hw)),),
        (
            Tensor("boxes", "float32", (persons, 4)),
            Tensor("scores", "float32", (persons,)),
            Tensor("embeddings", "float32", (persons, EMBEDDING_DIM)),
            Tensor("counts", "int64", ()),
        ),
    )


def query_io(sizes: Sizes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return inputs and outputs of the graph that embeds boxes."""
    rows = sizes.query_boxes
    return (
        (
            Tensor("frames", "uint8", (3, *sizes.input_hw)),
            Tensor("boxes", "float32", (rows, 4)),
        ),
        (Tensor("embeddings", "float32", (rows, EMBEDDING_DIM)),),
    )


def _text(shape: Sequence[Dim]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
