"""Element types of ONNX, numpy and torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 16: "bfloat16",
}  # fmt: skip
"""ONNX's numbers of the types that can be run, by torch's name."""


def type_name(number: int) -> str:
    """Return torch's name of an element type of ONNX.

    Raises:
        ValueError: it cannot be run.
    """
    if number not in _NAMES:
        raise ValueError(f"element type {number} is not known")
    return _NAMES[number]


def torch_type(torch: Any, number: int) -> Any:
    """Return torch's element type for ONNX's number of it (ValueError if there is none)."""
    return getattr(torch, type_name(number))


def to_tensor(torch: Any, array: NDArray[Any]) -> Any:
    """Return a tensor of its own with the values of an array, bfloat16 included.

    Raises:
        ValueError: the element type cannot be run.
    """
    name = array.dtype.name
    if name not in _NAMES.values():
        raise ValueError(f"element type {name} is not known")
    if name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array, order="C"))


def integers(tensor: Any) -> list[int]:
    """Return the values of a tensor of at most one axis as plain numbers."""
    values = tensor.reshape(-1).tolist()
    return [int(value) for value in values]


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} of a tensor with {rank} axes")
    return axis + rank if axis < 0 else axis
