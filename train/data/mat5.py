"""Decode MATLAB 5 files (``save -v6`` and ``-v7``): numbers, text and cell arrays.

Written here because scipy's reader crashes the process on some damaged files; this one checks
every length before it reads, and raises `Mat5Error`. Structures, sparse and complex arrays are
refused by name.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128
_LARGEST_BYTES = 1 << 30
_MOST_DIMENSIONS = 32
_DEEPEST_CELLS = 8
_MATRIX, _COMPRESSED = 14, 15
_NUMBER_TYPES: Mapping[int, str] = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXT_CODECS: Mapping[int, str] = {
    1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32",
}  # fmt: skip
_NUMBER_CLASSES: Mapping[int, str] = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_CELL_CLASS, _CHAR_CLASS = 1, 4
_OTHER_CLASSES: Mapping[int, str] = {
    2: "a structure", 3: "an object", 5: "a sparse array", 16: "a function", 17: "an object",
}  # fmt: skip
_COMPLEX_FLAG = 0x0800


class Mat5Error(Exception):
    """Bytes are not what a MATLAB 5 file may hold; the message is one clause, lower case."""


class Variable(NamedTuple):
    """A variable of the file, not yet decoded."""

    name: str
    kind: int
    shape: tuple[int, ...]
    order: str
    values: "_Elements"


def variables(data: bytes) -> Iterator[Variable]:
    """Yield the variables of a file's bytes, in the order of the file.

    Raises:
        Mat5Error: the bytes are damaged, or of another format.
    """
    order = _byte_order(data)
    for kind, payload in _Elements(memoryview(data)[_HEADER_BYTES:], order):
        yield _variable(_matrix(kind, payload, order), order)


def decode(variable: Variable, *, depth: int = 0) -> NDArray[Any]:
    """Return the array: numbers in their shape, rows of text (n,), cells as objects.

    ``depth`` is the number of cells around it.

    Raises:
        Mat5Error: the variable is damaged, or of a class that is not read here.
    """
    if variable.kind in _NUMBER_CLASSES:
        return _numbers(variable)
    if variable.kind == _CHAR_CLASS:
        return _text(variable)
    if variable.kind == _CELL_CLASS:
        return _cells(variable, depth + 1)
    raise Mat5Error(f"{_OTHER_CLASSES.get(variable.kind, f'class {variable.kind}')} is not read")


def _byte_order(data: bytes) -> str:
    if len(data) < _HEADER_BYTES:
        raise Mat5Error(f"{len(data)} bytes are too few for a MATLAB file")
    if data[:19] == b"MATLAB 7.3 MAT-file":
        raise Mat5Error("MATLAB 7.3 (HDF5) file; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise Mat5Error("not a MATLAB 5 file")
    return order


def _matrix(kind: int, payload: memoryview, order: str) -> memoryview:
    if kind == _COMPRESSED:
        kind, payload = _Elements(_inflated(payload), order).next()
    if kind != _MATRIX:
        raise Mat5Error(f"element of type {kind} where a variable should be")
    return payload


def _inflated(payload: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(payload, _LARGEST_BYTES)
    except zlib.error as error:
        raise Mat5Error(f"damaged compressed data ({error})") from error
    if not stream.eof:
        raise Mat5Error("compressed data is cut short, or larger than 1 GiB")
    return memoryview(data)


class _Elements:
    """The elements that follow one another in some bytes: a type and a payload each."""

    def __init__(self, data: memoryview, order: str) -> None:
        self._data = data
        self._order: Any = "little" if order == "<" else "big"
        self._at = 0

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        while self._at < len(self._data):
            yield self.next()

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def next(self) -> tuple[int, memoryview]:
        first = self._word()
        if first >> 16:
            return first & 0xFFFF, self._packed(first >> 16)
        payload = self._take(self._word())
        if first != _COMPRESSED:
            self._at = min(len(self._data), self._at + -len(payload) % 8)
        return first, payload

    def _packed(self, count: int) -> memoryview:
        """Return the up to four bytes that stand in the tag itself."""
        if count > 4:
            raise Mat5Error(f"{count} bytes packed into four")
        return self._take(4)[:count]

    def _word(self) -> int:
        return int.from_bytes(self._take(4), self._order)

    def _take(self, count: int) -> memoryview:
        if count > self.left:
            raise Mat5Error(f"cut short: {count} bytes wanted, {self.left} left")
        self._at += count
        return self._data[self._at - count : self._at]


def _variable(payload: memoryview, order: str) -> Variable:
    elements = _Elements(payload, order)
    flags = _integers(*elements.next(), order)
    shape = _integers(*elements.next(), order)
    name = bytes(elements.next()[1]).decode("latin-1")
    if not flags or not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        raise Mat5Error(f"damaged header of variable {name!r}, shape {shape}")
    if flags[0] & _COMPLEX_FLAG:
        raise Mat5Error(f"variable {name!r}: complex numbers are not read")
    return Variable(name, flags[0] & 0xFF, shape, order, elements)


def _integers(kind: int, payload: memoryview, order: str) -> tuple[int, ...]:
    if _NUMBER_TYPES.get(kind, "f")[0] == "f":
        raise Mat5Error(f"element of type {kind} where integers should be")
    return tuple(int(value) for value in _array(kind, payload, order))


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
    except ValueError as error:
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


def _cells(variable: Variable, depth: int) -> NDArray[Any]:
    count = math.prod(variable.shape)
    if depth > _DEEPEST_CELLS or count * 8 > variable.values.left:
        left = variable.values.left
        raise Mat5Error(f"{count} cells in {left} bytes, inside {depth - 1} others")
    cells = np.empty(count, dtype=object)
    for number in range(count):
        kind, payload = variable.values.next()
        if kind != _MATRIX:
            raise Mat5Error(f"element of type {kind} where a cell should be")
        inner = _variable(payload, variable.order) if payload else None
        cells[number] = np.zeros((0, 0)) if inner is None else decode(inner, depth=depth)
    return _shaped(cells, variable.shape)
