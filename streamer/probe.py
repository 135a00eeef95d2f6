"""What a source delivers, measured for a few seconds, without running the network."""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from streamer.address import OPEN_TIMEOUT_S
from streamer.container import SourceInfo
from streamer.folder_reader import reader_for
from streamer.redact import redact
from streamer.settings import MAX_DETECT_FPS, CameraSettings
from streamer.source import Picture, Reader


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a source is and what it delivered; None where it did not tell or not long enough."""

    url: str
    """Without credentials."""
    live: bool
    format: str
    codec: str
    width: int
    height: int
    nominal_fps: float | None
    """What the source says of itself."""
    measured_fps: float | None
    """Pictures per second of stream time."""
    key_interval_s: float | None
    """Longest time between two key frames seen."""
    bit_rate_kbps: float | None
    duration_s: float | None
    time_source: str
    """Where times of capture come from: file, camera or arrival."""
    clock_offset_s: float | None
    """Camera clock minus ours, network delay included, where the camera tells its own."""
    first_captured_ms: int | None
    frames: int
    lost: dict[str, int]
    open_s: float
    """Time until the source was open and its first packet could be read."""
    watched_s: float
    """Stream time that was looked at."""
    fault: str = ""


class _Seen(NamedTuple):
    """What is kept of a picture: pictures themselves would fill the memory."""

    pts_s: float
    key: bool
    captured_at_ms: int
    time_source: str
    size_wh: tuple[int, int]


def probe(url: str, *, seconds: float = 2.0, timeout_s: float = OPEN_TIMEOUT_S) -> ProbeReport:
    """Read ``seconds`` of a source and report what came; no picture is converted.

    Raises:
        SourceUnavailableError: it cannot be opened, or a live stream broke off at once.
    """
    settings = CameraSettings(name="probe", url=url, detect_fps=MAX_DETECT_FPS)
    began_s = time.monotonic()
    with reader_for(settings, open_s=timeout_s, read_s=timeout_s) as reader:
        assert reader.info is not None
        open_s = time.monotonic() - began_s
        seen = _watch(reader, seconds, time.monotonic() + seconds + timeout_s)
        return _report(reader, reader.info, seen, round(open_s, 3))


def _watch(reader: Reader, seconds: float, deadline_s: float) -> list[_Seen]:
    """Return what was decoded in so much stream time, or until the deadline (monotonic)."""
    seen: list[_Seen] = []
    for picture in reader.pictures():
        seen.append(_seen(picture))
        if picture.pts_s - seen[0].pts_s >= seconds or time.monotonic() > deadline_s:
            break
    return seen


def _seen(picture: Picture) -> _Seen:
    size = (picture.image.width, picture.image.height)
    return _Seen(picture.pts_s, picture.key, picture.captured_at_ms, picture.time_source, size)


def _report(reader: Reader, info: SourceInfo, seen: list[_Seen], open_s: float) -> ProbeReport:
    watched_s = seen[-1].pts_s - seen[0].pts_s if seen else 0.0
    width, height = seen[-1].size_wh if seen else (info.width, info.height)
    return ProbeReport(
        url=redact(reader.url),
        live=info.live,
        format=info.format,
        codec=info.codec,
        width=width,
        height=height,
        nominal_fps=info.nominal_fps,
        measured_fps=round((len(seen) - 1) / watched_s, 2) if watched_s > 0 else None,
        key_interval_s=_key_interval_s(seen),
        bit_rate_kbps=round(reader.bytes_read * 8e-3 / watched_s, 1) if watched_s > 0 else None,
        duration_s=info.duration_s,
        time_source=seen[-1].time_source if seen else "",
        clock_offset_s=reader.clock.offset_s,
        first_captured_ms=seen[0].captured_at_ms if seen else None,
        frames=len(seen),
        lost={cause: n for cause, n in reader.lost.items() if n},
        open_s=open_s,
        watched_s=round(watched_s, 3),
        fault=redact(reader.fault, reader.url),
    )


def _key_interval_s(seen: list[_Seen]) -> float | None:
    keys = [one.pts_s for one in seen if one.key]
    gaps = [later - sooner for sooner, later in pairwise(keys)]
    return round(max(gaps), 3) if gaps else None
