"""Turn a picture upright as its file asks.

Orientation is the EXIF number 1..8: 1 upright, 2 mirrored, 3 upside down, 4 mirrored upside
down, 5 to 8 lying on a side. FFmpeg reports the rotation alone and reads a mirrored picture as
an upside-down one, so the number is read from a JPEG here.
"""

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_APP1, _START_OF_SCAN = 0xFFE1, 0xFFDA


def exif_block(jpeg: bytes) -> bytes:
    """Return the EXIF block of a JPEG, which is laid out as a TIFF; nothing where it has none."""
    position = 2
    while position + 4 <= len(jpeg):
        marker, length = struct.unpack_from(">HH", jpeg, position)
        if marker < 0xFF00 or marker == _START_OF_SCAN:
            break
        segment = jpeg[position + 4 : position + 2 + length]
        if marker == _APP1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        position += 2 + length
    return b""


def jpeg_orientation(data: bytes) -> int:
    """Return the EXIF orientation 1..8 of a JPEG; 1 where it states none or a wrong one."""
    return _tiff_orientation(exif_block(data))


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return UPRIGHT
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, first)
        for entry in range(entries):
            tag, value = struct.unpack_from(f"{order}H6xH", tiff, first + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return ``(h, w, 3)`` as it is to be seen, for an EXIF orientation of 1..8."""
    quarter_turns, mirrored = {
        1: (0, False),
        2: (0, True),
        3: (2, False),
        4: (2, True),
        5: (3, True),
        6: (3, False),
        7: (1, True),
        8: (1, False),
    }[orientation]
    turned = rotate(rgb, 90 * quarter_turns)
    return np.ascontiguousarray(turned[:, ::-1]) if mirrored else turned


def rotate(rgb: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Turn ``(h, w, 3)`` counterclockwise by the nearest multiple of 90 degrees."""
    return np.ascontiguousarray(np.rot90(rgb, round(degrees / 90)))
