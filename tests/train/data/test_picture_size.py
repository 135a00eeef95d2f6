"""Sizes read from headers are those of the decoded picture."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engines.errors import PictureError
from engines.pictures import MAX_PIXELS, encode_jpeg, read_picture
from train.data.picture_size import picture_hw

RGB = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def encoded(codec: str) -> bytes:
    """Return the picture in another format."""
    encoder = av.CodecContext.create(codec, "w")
    frame = av.VideoFrame.from_ndarray(RGB, format="rgb24")
    pixels = {"png": "rgb24", "bmp": "bgr24"}[codec]
    encoder.height, encoder.width, encoder.pix_fmt = 48, 64, pixels
    encoder.time_base = Fraction(1, 25)
    return b"".join(
        map(bytes, [*encoder.encode(frame.reformat(format=pixels)), *encoder.encode(None)])
    )


def lying(jpeg: bytes, orientation: int, padding: int = 0) -> bytes:
    """Return a JPEG that asks to be turned, with a comment of some bytes before its picture."""
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + tiff + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    comments = b"\xff\xfe" + struct.pack(">H", 60002) + bytes(60000)
    return jpeg[:2] + segment + comments * padding + jpeg[2:]


JPEG = encode_jpeg(RGB)


@pytest.mark.parametrize(
    "data",
    [
        JPEG,
        lying(JPEG, 6),
        lying(JPEG, 3),
        lying(JPEG, 8, padding=3),
        encoded("png"),
        encoded("bmp"),
    ],
    ids=["jpeg", "lying", "upside down", "long header", "png", "bmp"],
)
def test_a_header_tells_the_size_of_the_upright_picture(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    assert picture_hw(path) == read_picture(path).shape[:2]


def test_what_lies_behind_the_header_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(JPEG[: len(JPEG) // 2])
    assert picture_hw(path) == (48, 64)
    with pytest.raises(PictureError, match="damaged"):
        read_picture(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"text", JPEG[:3], JPEG[:20], b"\xff\xd8\xff\xda" + bytes(20), b"\x89PNG\r\n\x1a\nrest"],
)
def test_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "none.jpg"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"cannot read picture .*none\.jpg"):
        picture_hw(path)


def test_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    png = bytearray(encoded("png"))
    png[16:24] = struct.pack(">II", MAX_PIXELS, 2)
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(PictureError, match="more than 100 megapixels"):
        picture_hw(tmp_path / "a.png")
    with pytest.raises(PictureError, match="no such file"):
        picture_hw(tmp_path / "b.png")
