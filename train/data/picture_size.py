"""How large a picture is, without decoding it.

The header of a JPEG or PNG file is read; a picture of another format is decoded. A header that
is whole does not prove that the rest is: only `engines.pictures.read_picture` does.
"""

import struct
from pathlib import Path

from engines.errors import PictureError
from engines.orientation import jpeg_orientation
from engines.pictures import MAX_PIXELS, read_picture

_HEAD_BYTES = 1 << 16
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_FRAME_MARKERS = frozenset(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}
_FIRST_LYING = 5
"""EXIF orientations from here on lie on a side."""


def picture_hw(path: Path) -> tuple[int, int]:
    """Return height and width in pixels of the upright picture in a file.

    Raises:
        PictureError: no such file, or not a picture as far as its header tells.
    """
    head = _head(path, _HEAD_BYTES)
    if head.startswith(_PNG):
        size = _png_hw(head)
    elif head.startswith(_JPEG):
        size = _jpeg_hw(head) or _jpeg_hw(_head(path, -1))
    else:
        height, width = read_picture(path).shape[:2]
        size = (height, width)
    if size is None or not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise PictureError(path, f"damaged header, or more than {MAX_PIXELS // 10**6} megapixels")
    return size


def _head(path: Path, count: int) -> bytes:
    if not path.is_file():
        raise PictureError(path, "no such file")
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise PictureError(path, error.strerror or str(error)) from error


def _png_hw(head: bytes) -> tuple[int, int] | None:
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return height, width


def _jpeg_hw(data: bytes) -> tuple[int, int] | None:
    """Return the size in a JPEG's first frame header; None when it is not in these bytes."""
    position = 2
    while position + 9 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFFFF:
            position += 1
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            lies = jpeg_orientation(data) >= _FIRST_LYING
            return (width, height) if lies else (height, width)
        elif marker < 0xFFC0 or length < 2:
            return None
        else:
            position += 2 + length
    return None
