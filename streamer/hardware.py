"""Decoding by hardware, as far as this build of FFmpeg and this machine can; and what was used.

PyAV reaches the decoders of a device that FFmpeg's own decoders know (CUDA). QSV stands apart as
decoders of other names, which PyAV does not choose, so it falls back and says so.
"""

from functools import lru_cache

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.stream import VideoStream

from streamer.settings import HwAccel

SOFTWARE = "software"
_KINDS = {"auto": ("cuda", "qsv"), "cuda": ("cuda",), "qsv": ("qsv",), "none": ()}


@lru_cache
def unusable(kind: str) -> str:
    """Return why a kind of device cannot decode H.264 on this machine; "" = it can."""
    try:
        HWAccel(kind).create(Codec("h264", "r"))
    except av.FFmpegError as error:
        return f"{kind}: {(error.strerror or str(error)).lower()}"
    except (NotImplementedError, ValueError, RuntimeError):
        return f"{kind}: this build of FFmpeg cannot use it"
    return ""


def accelerator(choice: HwAccel) -> tuple[HWAccel | None, str]:
    """Return the device to decode with, None for software; and why not another."""
    reasons = []
    for kind in _KINDS[choice]:
        reason = unusable(kind)
        if not reason:
            return HWAccel(kind, allow_software_fallback=True), kind
        reasons.append(reason)
    return None, "; ".join(reasons)


def decoder_of(stream: VideoStream, device: HWAccel | None, note: str) -> str:
    """Return what decodes a stream: a kind of device, or software and why."""
    if device is None:
        return f"{SOFTWARE} ({note})" if note else SOFTWARE
    context = stream.codec_context
    return note if context.is_hwaccel else f"{SOFTWARE} ({note}: not for {context.name})"
