"""One reader for every source: a file, RTSP, HLS, HTTP or a camera at this machine.

The reader always drains the stream; the rate gate stands on stream time and before the
conversion to RGB. A recording's pictures are stamped start + stream time, a live stream's by
``streamer.clock``. Privacy masks are painted here, so that nothing later sees what they hide.
A reader belongs to one thread: never close it from another.
"""

import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import av
import numpy as np
from av.container.input import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engines.values import Frame
from streamer.address import OPEN_TIMEOUT_S, read_timeout_s
from streamer.clock import FILE, LiveClock, RateGate, Settling
from streamer.container import SourceInfo, describe, open_container, recording_start_ms
from streamer.errors import Cause, SourceUnavailableError
from streamer.hardware import accelerator, decoder_of
from streamer.libav import reading, reason_of
from streamer.regions import PrivacyMask
from streamer.settings import CameraSettings

UNDECODABLE, DAMAGED, UNTIMED = "undecodable", "damaged", "untimed"
SKIPPED = "skipped"
"""Causes for which the reader itself loses a frame; skipped: only key frames were decoded."""

_MAX_READ_ERRORS = 20
_UNTIMED_FORMATS = frozenset({"mpjpeg", "mjpeg"})
"""Formats whose time stamps are invented from a nominal rate: arrival is all there is."""


_Arrival = tuple["Packet[VideoStream]", float]
"""A packet and when it came (monotonic seconds)."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, still in the camera's own pixel format, and its times."""

    image: VideoFrame
    pts_s: float
    captured_at_ms: int
    time_source: str
    arrived_s: float

    @property
    def key(self) -> bool:
        """Tell whether it was decoded without help of others."""
        return bool(self.image.key_frame)


class Reader:
    """Pictures of one camera from one connection; a context manager."""

    def __init__(
        self,
        settings: CameraSettings,
        *,
        open_s: float = OPEN_TIMEOUT_S,
        read_s: float | None = None,
    ) -> None:
        self.url = settings.url
        self._settings = settings
        self._timeouts_s = (open_s, read_s or read_timeout_s(settings.url))
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._gate = RateGate(settings.detect_fps)
        self._skip_gate = RateGate(settings.detect_fps)
        self._mask = PrivacyMask(settings.masks)
        self._reformatter = VideoReformatter()
        self._start_ms = 0
        self._origin_s: float | None = None
        self._end_s = 0.0
        self._packets_seen = 0
        self.info: SourceInfo | None = None
        self.decoder = ""
        """What decodes: software, or a kind of device; and why not another."""
        self.stop: threading.Event | None = None
        """Set by somebody else when a reader that only waits shall end."""
        self.key_frames_only = False
        """Decode nothing else; when it is taken back, all pictures come from the next key on."""
        self.key_interval_s: float | None = None
        self._last_key_s: float | None = None
        self._thinned = False
        self.clock = LiveClock()
        self.decoded = 0
        self.bytes_read = 0
        self.lost: Counter[str] = Counter({UNDECODABLE: 0, DAMAGED: 0, UNTIMED: 0, SKIPPED: 0})
        self.fault = ""
        """What is wrong with a recording that could be read in part; "" = nothing."""

    def __enter__(self) -> "Reader":
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> SourceInfo:
        """Connect and return what the source is.

        Raises:
            SourceUnavailableError: it is not there, refuses, or holds no video.
        """
        settings = self._settings
        device, note = accelerator(settings.hwaccel)
        container, stream = open_container(self.url, settings.transport, self._timeouts_s, device)
        self._container, self._stream = container, stream
        self.decoder = decoder_of(stream, device, note)
        self.info = describe(self.url, container, stream)
        now_ms = round(time.time() * 1000)
        self._start_ms = recording_start_ms(self.url, container, settings.start, now_ms)
        return self.info

    def close(self) -> None:
        """Hang up; harmless if nothing is open."""
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            with suppress(av.FFmpegError):
                container.close()

    @property
    def promised_end_ms(self) -> int | None:
        """When a recording that has a fault should have ended, UTC ms."""
        return self.planned_end_ms if self.fault else None

    @property
    def planned_end_ms(self) -> int | None:
        """When a recording ends, UTC ms; None where it does not say how long it is."""
        if self.info is None or not self.info.duration_s:
            return None
        return self._start_ms + round(self.info.duration_s * 1000)

    def frames(self) -> Iterator[Frame | None]:
        """Yield a Frame for each picture that is to be searched, None for each that is not.

        Raises:
            SourceUnavailableError: a live stream failed. A recording ends instead, and ``fault``
                tells what was wrong with it.
        """
        for picture in self.pictures():
            yield self._frame(picture) if self._gate.passes(picture.pts_s) else None

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture that could be decoded whole; see ``frames`` for the end."""
        assert self.info is not None
        for packet, arrived_s in self._live_packets() if self.info.live else self._file_packets():
            arrived_ms = (time.time() - time.monotonic() + arrived_s) * 1000.0
            self.bytes_read += packet.size
            if self._skips(packet):
                continue
            for image in self._decode(packet):
                self.decoded += 1
                picture = self._picture(image, arrived_ms, arrived_s)
                if picture is not None:
                    yield picture
        if not self.info.live:
            self._note_cut_off(self.info)

    def _live_packets(self) -> Iterator[_Arrival]:
        """Packets and when they came, until the stream ends: then a live camera is lost."""
        settling = None if self._untimed else Settling()
        held: list[_Arrival] = []
        with reading(self.url):
            for packet in self._demux():
                if not packet.size:
                    continue
                now_s = time.monotonic()
                self._note_camera_clock(packet)
                held.append((packet, now_s))
                if settling is not None and settling.done(_seconds(packet), now_s):
                    held = [_came_by(one, settling.least_s) for one in held]
                    settling = None
                if settling is None:
                    yield from held
                    held.clear()
        yield from held
        raise SourceUnavailableError(self.url, "the stream ended", Cause.ENDED)

    def _file_packets(self) -> Iterator[_Arrival]:
        """Packets to the end of a recording; reading goes on after a fault where it can."""
        for _ in range(_MAX_READ_ERRORS):
            try:
                for packet in self._demux():
                    self._packets_seen += bool(packet.size)
                    yield packet, time.monotonic()
                return
            except av.FFmpegError as error:
                self.fault = f"damaged at {self._end_s:.1f} s: {reason_of(error)}"

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        assert self._container is not None
        assert self._stream is not None
        return self._container.demux(self._stream)

    @property
    def _untimed(self) -> bool:
        """The stream's time stamps mean nothing."""
        return self.info is not None and self.info.live and self.info.format in _UNTIMED_FORMATS

    def _skips(self, packet: "Packet[VideoStream]") -> bool:
        """Tell whether a packet is left out because only key frames are wanted.

        All pictures between two key frames need each other, so it ends at a key frame.
        """
        if not packet.size:
            return False
        key, pts_s = packet.is_keyframe, _seconds(packet)
        if key:
            gap_s = None if self._last_key_s is None else pts_s - self._last_key_s
            self.key_interval_s = gap_s if gap_s and gap_s > 0 else self.key_interval_s
            self._last_key_s = pts_s
        self._thinned = self.key_frames_only or (self._thinned and not key)
        if self._thinned and self._skip_gate.passes(pts_s) and not key:
            self.lost[SKIPPED] += 1
        return self._thinned and not key

    def _decode(self, packet: "Packet[VideoStream]") -> list[VideoFrame]:
        try:
            images = packet.decode()
            if self._thinned and packet.size and not images and self._stream is not None:
                # The decoder waits for pictures to put in order before it: none will come.
                images = self._stream.codec_context.decode(None)
                self._stream.codec_context.flush_buffers()
            return images
        except av.FFmpegError:
            self.lost[UNDECODABLE] += bool(packet.size)
            return []

    def _picture(self, image: VideoFrame, arrived_ms: float, arrived_s: float) -> Picture | None:
        """Return the picture with its times, or None (counted) where it cannot be used."""
        pts_s = self._pts_s(image, arrived_s)
        if pts_s is None:
            self.lost[UNTIMED] += 1
            return None
        captured_ms, time_source = self._captured(image, pts_s, arrived_ms)
        if image.is_corrupt:
            self.lost[DAMAGED] += 1
            return None
        return Picture(image, pts_s, captured_ms, time_source, arrived_s)

    def _pts_s(self, image: VideoFrame, arrived_s: float) -> float | None:
        """Return stream time in seconds, or None where the stream gives none."""
        if self._untimed:
            return arrived_s
        if image.pts is None or image.time_base is None:
            return None
        return float(image.pts * image.time_base)

    def _captured(self, image: VideoFrame, pts_s: float, arrived_ms: float) -> tuple[int, str]:
        """Return UTC ms of capture and where that time comes from."""
        assert self.info is not None
        if self.info.live:
            return self.clock.stamp(pts_s, arrived_ms)
        if self._origin_s is None:
            self._origin_s = self._first_pts_s(pts_s)
        since_start_s = pts_s - self._origin_s
        self._end_s = since_start_s + float((image.duration or 0) * (image.time_base or 0))
        return self._start_ms + round(since_start_s * 1000), FILE

    def _first_pts_s(self, pts_s: float) -> float:
        """Return the stream time at which the recording began, given that of a first picture.

        Where pictures are missing before it, the container knows when the first one was due.
        """
        stream, info = self._stream, self.info
        if stream is None or info is None or stream.start_time is None or not stream.time_base:
            return pts_s
        start_s = float(stream.start_time * stream.time_base)
        frame_s = 1.0 / info.nominal_fps if info.nominal_fps else 0.0
        return start_s if pts_s - start_s > 1.5 * frame_s else pts_s

    def _frame(self, picture: Picture) -> Frame | None:
        pixels = self._pixels(picture.image)
        if pixels is None:
            self.lost[UNDECODABLE] += 1
            return None
        return Frame(
            camera=self._settings.name,
            index=self.decoded - 1,
            pixels=pixels,
            captured_at_ms=picture.captured_at_ms,
            arrived_s=picture.arrived_s,
            time_source=picture.time_source,
        )

    def _pixels(self, image: VideoFrame) -> NDArray[np.uint8] | None:
        """Return RGB (H, W, 3), upright and masked, or None where it cannot be converted."""
        try:
            rgb = self._reformatter.reformat(image, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError):
            return None
        pixels = rgb.astype(np.uint8, copy=False)
        quarter_turns = round(image.rotation / 90) % 4
        if quarter_turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
        self._mask.apply(pixels)
        return pixels

    def _note_camera_clock(self, packet: "Packet[VideoStream]") -> None:
        """Take the sender's wall clock where FFmpeg has worked it out from RTCP."""
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        data = bytes(packet.get_sidedata("prft"))
        if len(data) >= 8:
            wall_us = struct.unpack_from("<q", data)[0]
            self.clock.note_reference(_seconds(packet), wall_us)

    def _note_cut_off(self, info: SourceInfo) -> None:
        """Tell by the container's own promises whether the end of a recording is missing."""
        promised_s = info.duration_s or 0.0
        missing_s = promised_s - self._end_s
        frame_s = 1.0 / info.nominal_fps if info.nominal_fps else 0.0
        fewer_packets = 0 < self._packets_seen < info.frames and missing_s > 1.5 * frame_s
        if fewer_packets or missing_s > max(1.0, 0.02 * promised_s):
            self.fault = f"cut off: ends at {self._end_s:.1f} s of {promised_s:.1f} s"


def _seconds(packet: "Packet[VideoStream]") -> float:
    """Return a packet's stream time; 0 where it has none (the first one of RTSP)."""
    return float((packet.pts or 0) * packet.time_base)


def _came_by(arrival: _Arrival, least_s: float) -> _Arrival:
    """Return the packet with the time by which it had come, were it not held back.

    ``least_s`` is the least (arrival - stream time) seen; packets of a burst came that early.
    """
    packet, arrived_s = arrival
    if packet.pts is None:
        return arrival
    return packet, min(arrived_s, _seconds(packet) + least_s)
