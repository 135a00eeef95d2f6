"""Open a source with PyAV and say what it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import av
from av.codec.context import ThreadType
from av.codec.hwaccel import HWAccel
from av.container.input import InputContainer
from av.video.stream import VideoStream

from streamer.address import (
    input_format,
    input_options,
    is_device,
    is_file,
    local_path,
    may_be_finite,
)
from streamer.errors import Cause, SourceUnavailableError
from streamer.libav import reading

_EPOCH_OF_REAL_CLOCKS = datetime(1990, 1, 1, tzinfo=UTC)
"""Creation times before this come from clocks that were never set."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source is, as far as opening it tells."""

    live: bool
    format: str
    codec: str
    width: int
    height: int
    nominal_fps: float | None
    duration_s: float | None
    frames: int
    """Frames that the container promises; 0 = it does not say."""


def open_container(
    url: str,
    transport: str,
    timeouts_s: tuple[float, float],
    device: HWAccel | None = None,
) -> tuple[InputContainer, VideoStream]:
    """Return an open source and its video stream, decoded by the calling thread alone.

    With a ``device`` that decodes where it can; FFmpeg goes back to software where it cannot.
    Both of FFmpeg's and PyAV's timeouts are set: each misses hangs that the other sees.

    Raises:
        SourceUnavailableError: it is not there, refuses, or holds no video.
    """
    target = str(local_path(url)) if is_file(url) else url
    with _in_time(url, timeouts_s[0]), reading(url):
        container = av.open(
            target,
            format=input_format(url),
            timeout=timeouts_s,
            options=input_options(url, transport, timeouts_s[1]),
            hwaccel=device,
        )
        stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        container.close()
        raise SourceUnavailableError(url, "there is no video in it", Cause.NOT_VIDEO)
    stream.thread_type = ThreadType.NONE
    stream.thread_count = 1
    return container, stream


@contextmanager
def _in_time(url: str, limit_s: float) -> Iterator[None]:
    """Call a failure that took as long as the time limit what it is; FFmpeg calls it bad data."""
    began_s = time.monotonic()
    try:
        yield
    except SourceUnavailableError as error:
        if is_file(url) or time.monotonic() - began_s < 0.95 * limit_s:
            raise
        raise SourceUnavailableError(
            url, f"no answer in time ({limit_s:g} s)", Cause.TIMEOUT
        ) from error


def describe(url: str, container: InputContainer, stream: VideoStream) -> SourceInfo:
    """Return what the source says of itself; width and height may still be 0."""
    endless = may_be_finite(url) and not container.duration
    rate = stream.average_rate
    return SourceInfo(
        live=is_device(url) or endless or not (is_file(url) or may_be_finite(url)),
        format=container.format.name,
        codec=stream.codec_context.name,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        nominal_fps=float(rate) if rate else None,
        duration_s=_duration_s(container, stream),
        frames=stream.frames,
    )


def recording_start_ms(
    url: str, container: InputContainer, stated: datetime | None, now_ms: int
) -> int:
    """Return when a recording began, UTC ms: as stated, as its container says, or its file's time.

    A recording that gives none of these begins now.
    """
    start = stated or _creation_time(container)
    if start is not None:
        return round(start.timestamp() * 1000)
    if is_file(url):
        with suppress(OSError):
            return round(local_path(url).stat().st_mtime * 1000)
    return now_ms


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _creation_time(container: InputContainer) -> datetime | None:
    try:
        made = datetime.fromisoformat(container.metadata.get("creation_time", ""))
    except ValueError:
        return None
    made = made if made.tzinfo else made.replace(tzinfo=UTC)
    return made if made > _EPOCH_OF_REAL_CLOCKS else None
