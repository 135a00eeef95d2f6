"""Read and write single pictures as RGB uint8 ``(H, W, 3)``, by FFmpeg through PyAV.

Pictures are returned upright: the orientation that a phone or camera noted in the file is
applied. Only still-picture formats are opened: a playlist or a video that poses as a picture
is refused before FFmpeg follows it anywhere.
"""

import io
import secrets
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from engines.errors import PictureError
from engines.orientation import jpeg_orientation, rotate, upright

FORMATS = ("jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "ppm_pipe", "gif")
"""FFmpeg's names of the formats that are read."""

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
"""Larger pictures are refused: decoding one would take 300 MB and more."""

_LIMITS = {"max_pixels": str(MAX_PIXELS)}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the upright picture in a file (JPEG, PNG, WebP, BMP, TIFF, PPM, GIF).

    Raises:
        PictureError: no such file, not a picture, cut short, or too large.
    """
    data = _read_bytes(path)
    try:
        # Opening decodes the first picture already, so the limit stands here too.
        options = {"format_whitelist": ",".join(FORMATS), **_LIMITS}
        with av.open(io.BytesIO(data), "r", options=options) as file:
            return _decode(data, file)
    except (av.FFmpegError, StopIteration) as error:
        reason = f"not a picture, damaged, or of more than {MAX_PIXELS // 10**6} megapixels"
        raise PictureError(path, reason) from error


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise PictureError(path, "no such file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PictureError(path, f"larger than {MAX_BYTES >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(path, error.strerror or str(error)) from error


def _decode(data: bytes, container: InputContainer) -> NDArray[np.uint8]:
    stream = container.streams.video[0]
    is_jpeg = container.format.name == "jpeg_pipe"
    # Left alone, FFmpeg fills the lost half of a cut JPEG with grey and says nothing.
    strict = {"err_detect": "explode"} if is_jpeg else {}
    stream.codec_context.options = {**_LIMITS, **strict}
    frame = next(container.decode(stream))
    rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    return upright(rgb, jpeg_orientation(data)) if is_jpeg else rotate(rgb, frame.rotation)


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return the JPEG of an RGB picture, colours at full resolution.

    ``quality`` 1..100 maps to FFmpeg's qscale 31..2 (values outside are clamped).
    """
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.pix_fmt = "yuvj444p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    scale = str(round(31 - (max(1, min(100, quality)) - 1) * 29 / 99))
    encoder.options = {"qmin": scale, "qmax": scale}
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    frame.pts = 0
    packets = encoder.encode(frame.reformat(format="yuvj444p")) + encoder.encode(None)
    return b"".join(bytes(packet) for packet in packets)


def write_picture(path: Path, rgb: NDArray[np.uint8], quality: int = 90) -> None:
    """Write a JPEG whole or not at all.

    Raises:
        PictureError: the folder or the disk refuses.
    """
    data = encode_jpeg(rgb, quality)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PictureError(path, error.strerror or str(error), action="write") from error
