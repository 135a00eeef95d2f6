"""The bytes of a MATLAB 5 file: elements of a type and a payload each, plain or compressed.

Compressed bytes are inflated no further than they are read, and every length is checked before
anything is taken.
"""

import struct
import zlib
from typing import Protocol

MATRIX, COMPRESSED = 14, 15
"""Types of an element that is a variable, and of one that is a compressed variable."""

TAG_BYTES = 8

_LARGEST_BYTES = 1 << 30
_INFLATED_AT_ONCE = 1 << 18
_PACKED_AT_ONCE = 1 << 16


class Mat5Error(Exception):
    """Bytes are not what a MATLAB 5 file may hold; the message is one clause, lower case."""


class Elements(Protocol):
    """Elements that follow one another: a type and a payload each."""

    @property
    def left(self) -> int:
        """Bytes that are not read yet, as far as the file says."""

    def next(self) -> tuple[int, memoryview]:
        """Return the type and the payload of the next element."""

    def finish(self) -> None:
        """Check what can be checked only behind the last element."""


class PlainElements:
    """Elements in bytes as they stand in memory."""

    def __init__(self, data: memoryview, order: str) -> None:
        self._data = data
        self._end = len(data)
        self._at = 0
        self._tag = struct.Struct(f"{order}II").unpack_from

    @property
    def left(self) -> int:
        return self._end - self._at

    def next(self) -> tuple[int, memoryview]:
        start = self._at + TAG_BYTES
        if start > self._end:
            raise cut_short(TAG_BYTES, self.left)
        kind, size = self._tag(self._data, self._at)
        if kind >> 16:
            self._at = start
            return packed(kind, self._data[start - 4 : start])
        stop = start + size
        if stop > self._end:
            raise cut_short(size, self._end - start)
        self._at = stop if kind == COMPRESSED else min(self._end, stop + -size % 8)
        return kind, self._data[start:stop]

    def finish(self) -> None:
        """Nothing: plain bytes carry no checksum."""


def cut_short(count: int, left: int) -> Mat5Error:
    """Return the error for bytes that are asked for and are not there."""
    return Mat5Error(f"cut short: {count} bytes wanted, {left} left")


def packed(word: int, data: memoryview) -> tuple[int, memoryview]:
    """Return the type and the payload of an element whose up to four bytes stand in its tag."""
    kind, count = word & 0xFFFF, word >> 16
    if count > 4:
        raise Mat5Error(f"{count} bytes packed into four")
    return kind, data[:count]


class InflatedElements:
    """Elements of a compressed variable, of ``left`` bytes when inflated."""

    def __init__(self, source: "Inflated", left: int, order: str) -> None:
        self.left = left
        self._source = source
        self._tag = struct.Struct(f"{order}II").unpack

    def next(self) -> tuple[int, memoryview]:
        tag = self._take(TAG_BYTES)
        kind, size = self._tag(tag)
        if kind >> 16:
            return packed(kind, tag[4:])
        payload = self._take(size)
        self._take(min(self.left, -size % 8))
        return kind, payload

    def _take(self, count: int) -> memoryview:
        if count > self.left:
            raise cut_short(count, self.left)
        self.left -= count
        return self._source.read(count)

    def finish(self) -> None:
        if not self.left:
            self._source.finish()


class Inflated:
    """Compressed bytes, inflated no further than they are read."""

    def __init__(self, packed: memoryview) -> None:
        self._packed = packed
        self._at = 0
        self._stream = zlib.decompressobj()
        self._ready = memoryview(b"")

    def read(self, count: int) -> memoryview:
        if count > _LARGEST_BYTES:
            raise Mat5Error(f"element of {count} bytes, more than {_LARGEST_BYTES}")
        if count > len(self._ready):
            self._refill(count)
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    def _refill(self, count: int) -> None:
        parts, have = [bytes(self._ready)], len(self._ready)
        while have < count:
            part = self._more()
            if not part:
                raise Mat5Error(f"compressed data is cut short: {count} bytes wanted, {have} left")
            parts.append(part)
            have += len(part)
        self._ready = memoryview(b"".join(parts))

    def _more(self) -> bytes:
        """Return more bytes, or none at the end of what there is."""
        part = b""
        while not part and not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._next_packed()
            try:
                part = self._stream.decompress(packed, _INFLATED_AT_ONCE)
            except zlib.error as error:
                raise Mat5Error(f"damaged compressed data ({error})") from error
            if not packed and not part:
                break
        return part

    def _next_packed(self) -> memoryview:
        self._at += _PACKED_AT_ONCE
        return self._packed[self._at - _PACKED_AT_ONCE : self._at]

    def finish(self) -> None:
        """Raise unless the data ends here, with the checksum that belongs to it."""
        if len(self._ready) or self._more():
            raise Mat5Error("compressed data goes on behind the variable")
        if not self._stream.eof:
            raise Mat5Error("compressed data is cut short: no checksum at its end")
