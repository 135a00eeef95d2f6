"""Decode MATLAB 5 files (``save -v6`` and ``-v7``): numbers, text, cell and structure arrays.

Written here because scipy's reader crashes the process on some damaged files; this one checks
every length before it reads, and raises `Mat5Error`. Sparse and complex arrays and objects are
refused by name. Compressed variables are inflated as they are read, so that the structures of a
large variable can be gone through one at a time (`records`) in little memory.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from train.data.mat5_bytes import (
    COMPRESSED,
    MATRIX,
    TAG_BYTES,
    Elements,
    Inflated,
    InflatedElements,
    Mat5Error,
    PlainElements,
)

__all__ = ["Mat5Error", "Record", "Variable", "decode", "records", "variables"]

_HEADER_BYTES = 128
_MOST_DIMENSIONS = 32
_DEEPEST = 8
_NUMBER_TYPES: Mapping[int, str] = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXT_CODECS: Mapping[int, str] = {
    1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32",
}  # fmt: skip
_NUMBER_CLASSES: Mapping[int, str] = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_CELL_CLASS, _STRUCTURE_CLASS, _CHAR_CLASS = 1, 2, 4
_OTHER_CLASSES: Mapping[int, str] = {
    3: "an object", 5: "a sparse array", 16: "a function", 17: "an object",
}  # fmt: skip
_COMPLEX_FLAG = 0x0800
_REMEMBERED_BYTES = 256
_MOST_REMEMBERED = 50_000

Record = dict[str, NDArray[Any]]
"""One structure: its fields' values by name."""

_Memory = dict[bytes, NDArray[Any]]
"""Small values that were decoded before: lists of names repeat a few thousand of them."""


class Variable(NamedTuple):
    """A variable of the file, not yet decoded; it can be decoded once."""

    name: str
    kind: int
    shape: tuple[int, ...]
    order: str
    values: Elements


def variables(data: bytes) -> Iterator[Variable]:
    """Yield the variables of a file's bytes, in the order of the file.

    Raises:
        Mat5Error: the bytes are damaged, or of another format.
    """
    order = _byte_order(data)
    elements = PlainElements(memoryview(data)[_HEADER_BYTES:], order)
    while elements.left:
        offset = len(data) - elements.left
        try:
            yield _variable(_contents(*elements.next(), order), order)
        except Mat5Error as error:
            raise Mat5Error(f"variable at byte {offset}: {error}") from error


def decode(variable: Variable) -> NDArray[Any]:
    """Return the array: numbers in their shape, rows of text (n,), cells as objects.

    A structure array is an array of `Record` objects. Small arrays are shared and read-only.

    Raises:
        Mat5Error: the variable is damaged, or of a class that is not read here.
    """
    value = _value(variable, 0, {})
    variable.values.finish()
    return value


def records(variable: Variable) -> Iterator[Record]:
    """Yield the structures of an array one at a time, in MATLAB's order (columns first).

    A cell array of single structures is gone through in the same way.

    Raises:
        Mat5Error: the variable is damaged, or holds anything but structures.
    """
    memory: _Memory = {}
    if variable.kind == _STRUCTURE_CLASS:
        yield from _records(variable, 1, memory)
    elif variable.kind == _CELL_CLASS:
        for number, cell in enumerate(_cells(variable, 1, memory), 1):
            if cell.size != 1 or not isinstance(cell.flat[0], dict):
                raise Mat5Error(f"{{{number}}}: want one structure")
            yield cell.flat[0]
    else:
        raise Mat5Error("want structures")
    variable.values.finish()


def _byte_order(data: bytes) -> str:
    if len(data) < _HEADER_BYTES:
        raise Mat5Error(f"{len(data)} bytes are too few for a MATLAB file")
    if data[:19] == b"MATLAB 7.3 MAT-file":
        raise Mat5Error("MATLAB 7.3 (HDF5) file; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise Mat5Error("not a MATLAB 5 file")
    return order


def _contents(kind: int, payload: memoryview, order: str) -> Elements:
    """Return the elements of a top-level variable."""
    if kind == MATRIX:
        return PlainElements(payload, order)
    if kind != COMPRESSED:
        raise _not_a_variable(kind)
    source = Inflated(payload)
    kind, size = struct.unpack(f"{order}II", source.read(TAG_BYTES))
    if kind != MATRIX:
        raise _not_a_variable(kind)
    return InflatedElements(source, size, order)


def _not_a_variable(kind: int) -> Mat5Error:
    return Mat5Error(f"element of type {kind} where a variable should be")


def _variable(elements: Elements, order: str) -> Variable:
    flags = _integers(*elements.next(), order)
    shape = _integers(*elements.next(), order)
    name = bytes(elements.next()[1]).decode("latin-1")
    if not flags or not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        raise Mat5Error(f"damaged header of variable {name!r}, shape {shape}")
    if flags[0] & _COMPLEX_FLAG:
        raise Mat5Error(f"variable {name!r}: complex numbers are not read")
    return Variable(name, flags[0] & 0xFF, shape, order, elements)


def _value(variable: Variable, depth: int, memory: _Memory) -> NDArray[Any]:
    """Return a variable's value; ``depth`` is the number of cells and structures around it."""
    if variable.kind in _NUMBER_CLASSES:
        return _numbers(variable)
    if variable.kind == _CHAR_CLASS:
        return _text(variable)
    if variable.kind == _CELL_CLASS:
        return _objects(_cells(variable, depth + 1, memory), variable.shape)
    if variable.kind == _STRUCTURE_CLASS:
        return _objects(_records(variable, depth + 1, memory), variable.shape)
    raise Mat5Error(f"{_OTHER_CLASSES.get(variable.kind, f'class {variable.kind}')} is not read")


def _integers(kind: int, payload: memoryview, order: str) -> tuple[int, ...]:
    if _NUMBER_TYPES.get(kind, "f")[0] == "f":
        raise Mat5Error(f"element of type {kind} where integers should be")
    return tuple(_array(kind, payload, order).tolist())


def _array(kind: int, payload: memoryview, order: str) -> NDArray[Any]:
    if kind not in _NUMBER_TYPES:
        raise Mat5Error(f"element of type {kind} where numbers should be")
    dtype = np.dtype(order + _NUMBER_TYPES[kind])
    if len(payload) % dtype.itemsize:
        raise Mat5Error(f"{len(payload)} bytes of {dtype.itemsize}-byte numbers")
    return np.frombuffer(payload, dtype)


def _shaped(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(values) != math.prod(shape):
        raise Mat5Error(f"{len(values)} values for shape {shape}")
    try:
        return values.reshape(shape, order="F")
    except (ValueError, OverflowError) as error:
        raise Mat5Error(f"no array of shape {shape}") from error


def _numbers(variable: Variable) -> NDArray[Any]:
    values = _array(*variable.values.next(), variable.order)
    with np.errstate(all="ignore"):
        return _shaped(values, variable.shape).astype(_NUMBER_CLASSES[variable.kind])


def _text(variable: Variable) -> NDArray[Any]:
    kind, payload = variable.values.next()
    if kind not in _TEXT_CODECS:
        raise Mat5Error(f"element of type {kind} where text should be")
    codec = _TEXT_CODECS[kind]
    if codec in ("utf-16", "utf-32"):
        codec += {"<": "-le", ">": "-be"}[variable.order]
    try:
        letters = np.array(list(bytes(payload).decode(codec)), dtype=object)
    except UnicodeDecodeError as error:
        raise Mat5Error(f"damaged text ({error.reason})") from error
    rows = _shaped(letters, variable.shape) if len(letters) else ()
    return np.array(["".join(row.ravel()) for row in rows], dtype=object)


def _objects(values: Iterator[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of objects; it grows with what is really there."""
    found = list(values)
    objects = np.empty(len(found), dtype=object)
    for number, value in enumerate(found):
        objects[number] = value
    return _shaped(objects, shape)


def _cells(variable: Variable, depth: int, memory: _Memory) -> Iterator[NDArray[Any]]:
    count = math.prod(variable.shape)
    _check_room(variable, count, depth, "cells")
    for number in range(1, count + 1):
        try:
            yield _member(variable, depth, memory)
        except Mat5Error as error:
            raise Mat5Error(f"{{{number}}}: {error}") from error


def _records(variable: Variable, depth: int, memory: _Memory) -> Iterator[Record]:
    fields = _field_names(variable)
    count = math.prod(variable.shape)
    _check_room(variable, count * max(1, len(fields)), depth, "fields of structures")
    for number in range(1, count + 1):
        record: Record = {}
        for field in fields:
            try:
                record[field] = _member(variable, depth, memory)
            except Mat5Error as error:
                raise Mat5Error(f"({number}).{field}: {error}") from error
        yield record


def _check_room(variable: Variable, count: int, depth: int, what: str) -> None:
    left = variable.values.left
    if depth > _DEEPEST or count * TAG_BYTES > left:
        raise Mat5Error(f"{count} {what} in {left} bytes, inside {depth - 1} others")


def _field_names(variable: Variable) -> tuple[str, ...]:
    lengths = _integers(*variable.values.next(), variable.order)
    letters = bytes(variable.values.next()[1])
    length = lengths[0] if lengths else 0
    if length < 1 or len(letters) % length:
        raise Mat5Error(f"field names of length {length} in {len(letters)} bytes")
    cut = [letters[at : at + length] for at in range(0, len(letters), length)]
    names = tuple(name.split(b"\0")[0].decode("latin-1") for name in cut)
    if len(set(names)) != len(names):
        raise Mat5Error(f"field names {', '.join(names)} are not different")
    return names


def _member(variable: Variable, depth: int, memory: _Memory) -> NDArray[Any]:
    """Return the next value inside a cell or structure array."""
    kind, payload = variable.values.next()
    if kind != MATRIX:
        raise Mat5Error(f"element of type {kind} where a value should be")
    if len(payload) > _REMEMBERED_BYTES:
        return _inner(payload, variable.order, depth, memory)
    key = bytes(payload)
    known = memory.get(key)
    if known is None:
        known = _inner(payload, variable.order, depth, memory)
        known.flags.writeable = False
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[key] = known
    return known


def _inner(payload: memoryview, order: str, depth: int, memory: _Memory) -> NDArray[Any]:
    if not payload:
        return np.zeros((0, 0))
    return _value(_variable(PlainElements(payload, order), order), depth, memory)
