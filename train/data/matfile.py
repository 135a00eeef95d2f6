"""Read single variables of MATLAB files, with faults that name file and variable."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.mat5 import Mat5Error, Variable, decode, variables
from train.errors import DatasetError


def read_variable(path: Path, *names: str) -> NDArray[Any]:
    """Return the first of the names that a file holds, decoded by `train.data.mat5`.

    Raises:
        DatasetError: the file is missing or damaged, or holds none of the names.
    """
    try:
        found = {variable.name: variable for variable in variables(_bytes(path))}
        return decode(_first(path, found, names))
    except Mat5Error as error:
        raise DatasetError(f"cannot read {path}: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"cannot read {path}: no such file") from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


def _first(path: Path, found: dict[str, Variable], names: tuple[str, ...]) -> Variable:
    for name in names:
        if name in found:
            return found[name]
    held = ", ".join(sorted(found)) or "nothing"
    raise DatasetError(f"{path}: no variable {' or '.join(names)}, found {held}")


def read_numbers(path: Path, *names: str) -> NDArray[np.float64]:
    """Return a numeric variable as float64 of its own shape.

    Raises:
        DatasetError: as `read_variable`, or the variable holds no numbers.
    """
    values = read_variable(path, *names)
    if values.dtype.kind not in "iuf":
        raise DatasetError(f"{path}: want numbers in {' or '.join(names)}, got text or cells")
    return values.astype(np.float64)


def read_strings(path: Path, *names: str) -> tuple[str, ...]:
    """Return a variable of strings (a cell array, or rows of characters), in its order.

    Raises:
        DatasetError: as `read_variable`, or an entry is not a string.
    """
    values = read_variable(path, *names).ravel(order="F")
    rows = enumerate(values, 1)
    return tuple(_string(path, f"{names[0]}, row {row}", value) for row, value in rows)


def _string(path: Path, where: str, value: object) -> str:
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{path}: {where}: want a name, got {value!r}")
    return value.strip()
