"""Video files and JPEG pictures by PyAV: H.264 out, decoded frames back, JPEG out."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from train.synthetic.imaging import Image

JPEG_QSCALE = 2


def iso_ms(moment: datetime) -> str:
    """Format a moment as ISO 8601 in UTC with milliseconds."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def write_video(path: Path, frames: Iterable[Image], fps: float, crf: int, start: datetime) -> None:
    """Encode RGB frames (H, W, 3) as H.264 at a constant rate.

    One thread and no macroblock tree: with it, x264 gives other bytes from run to run.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["creation_time"] = iso_ms(start)
        stream = container.add_stream("libx264", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": str(crf), "x264-params": "mbtree=0"}
        stream.codec_context.gop_size = max(1, round(4 * fps))
        stream.codec_context.thread_count = 1
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def read_video(path: Path) -> Iterator[av.VideoFrame]:
    """Decode all frames in order."""
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def jpeg_bytes(frame: av.VideoFrame) -> bytes:
    """Encode one frame as a JPEG of high quality (about 94)."""
    full = frame.reformat(format="yuvj420p", src_color_range="MPEG", dst_color_range="JPEG")
    full.pts, full.time_base = 0, Fraction(1, 25)
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = full.width, full.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.qmin = encoder.qmax = JPEG_QSCALE
    packets = [*encoder.encode(full), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
