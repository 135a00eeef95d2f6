"""Read single variables of MATLAB files, with faults that name file, variable and place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.faults import STRICT, FaultError, Faults, UnreadableError
from train.data.mat5 import Mat5Error, Record, Variable, decode, records, variables


def read_variable(path: Path, *names: str) -> NDArray[Any]:
    """Return the first of the names that a file holds, decoded by `train.data.mat5`.

    Raises:
        FaultError: the file is missing or damaged, or holds none of the names.
    """
    variable = _find(path, names)
    try:
        return decode(variable)
    except Mat5Error as error:
        raise UnreadableError(path, f"variable {variable.name}: {error}") from error


def read_records(path: Path, name: str) -> Iterator[Record]:
    """Yield the structures of a variable one at a time, in its order.

    Raises:
        FaultError: the file is missing or damaged, or the variable holds no structures.
    """
    variable = _find(path, (name,))
    try:
        yield from records(variable)
    except Mat5Error as error:
        raise UnreadableError(path, f"variable {name}: {error}") from error


def _find(path: Path, names: tuple[str, ...]) -> Variable:
    try:
        found = {variable.name: variable for variable in variables(_bytes(path))}
    except Mat5Error as error:
        raise UnreadableError(path, str(error)) from error
    for name in names:
        if name in found:
            return found[name]
    held = ", ".join(sorted(found)) or "nothing"
    raise FaultError(path, "", f"no variable {' or '.join(names)}, found {held}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError(path, "no such file") from None
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error


def read_numbers(path: Path, *names: str) -> NDArray[np.float64]:
    """Return a numeric variable as float64 of its own shape.

    Raises:
        FaultError: as `read_variable`, or the variable holds no numbers.
    """
    values = read_variable(path, *names)
    if values.dtype.kind not in "iuf":
        raise FaultError(path, "", f"want numbers in {' or '.join(names)}, got text or cells")
    return values.astype(np.float64)


def read_names(path: Path, name: str, faults: Faults = STRICT) -> tuple[tuple[int, str], ...]:
    """Return the rows of a list of different names (cells, or rows of characters): (row, name).

    Raises:
        FaultError: as `read_variable`, or an entry is not a name, or stands there twice.
    """
    first: dict[str, int] = {}

    def read(entry: tuple[int, object]) -> tuple[int, str]:
        row, value = entry
        found = as_name(value, path, f"{name}, row {row}")
        if first.setdefault(found, row) != row:
            raise FaultError(path, f"{name}, row {row}", f"frame {found!r} is listed twice")
        return row, found

    values = read_variable(path, name).ravel(order="F")
    return faults.each(read, enumerate(values, 1))


def as_name(value: object, path: Path, where: str) -> str:
    """Return a decoded value as a name.

    Raises:
        FaultError: it is no text, or empty.
    """
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if not isinstance(value, str) or not value.strip():
        got = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise FaultError(path, where, f"want a name, got {got}")
    return value.strip()


def as_box(value: NDArray[Any], path: Path, where: str) -> NDArray[np.int32] | None:
    """Return x, y, w, h as int32 (4,), cast before anything is added; None for an empty value.

    The published boxes are uint16, in which x + w overflows.

    Raises:
        FaultError: there are not four finite numbers in the range of int32.
    """
    if value.size == 0:
        return None
    if value.size != 4 or value.dtype.kind not in "iuf":
        raise FaultError(path, where, f"want x, y, w, h, got shape {value.shape}")
    numbers = value.ravel(order="F").astype(np.float64)
    if not (np.abs(numbers) < 2**31).all():
        raise FaultError(path, where, f"want x, y, w, h in pixels, got {numbers.tolist()}")
    return numbers.astype(np.int32)


def member(record: Record, field: str, path: Path, where: str) -> NDArray[Any]:
    """Return a field of a structure.

    Raises:
        FaultError: the structure has no such field.
    """
    if field not in record:
        held = ", ".join(sorted(record)) or "none"
        raise FaultError(path, where, f"no field {field}, found {held}")
    return record[field]


def members(record: Record, field: str, path: Path, where: str) -> list[Record]:
    """Return the structures in a field of a structure, in their order; may be empty.

    Raises:
        FaultError: the structure has no such field, or it holds something else.
    """
    entries: list[Any] = list(member(record, field, path, where).ravel(order="F"))
    if not all(isinstance(entry, dict) for entry in entries):
        raise FaultError(path, where, f"want structures in field {field}")
    return entries
