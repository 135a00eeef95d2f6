"""Clips, an engine, a sink and servers for the streamer's tests: small, but the real thing.

People are coloured rectangles on grey: the clips are real H.264, and ColourEngine really finds
the rectangles in what was decoded and tells them apart by their colour.
"""

import http.server
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.codec.context import CodecContext
from numpy.typing import NDArray
from scipy import ndimage

from engines.engine import EngineInfo
from engines.errors import InferenceError
from engines.values import EMBEDDING_DIM, Detections
from gallery.values import CoverageSpan, Link, Sighting

Pixels = NDArray[np.uint8]

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (40, 40, 230)
YELLOW, MAGENTA = (220, 210, 20), (210, 30, 200)


@dataclass(frozen=True)
class Walker:
    """A rectangle that walks: colour, left edge and top (px), size (w, h), speed (px/s)."""

    colour: tuple[int, int, int]
    x: float
    y: float
    speed: float = 0.0
    size: tuple[int, int] = (24, 64)
    enter_s: float = 0.0
    leave_s: float = 1e9


def scene(
    walkers: Sequence[Walker], *, seconds: float, fps: float = 10, wh: tuple[int, int] = (320, 240)
) -> Iterator[Pixels]:
    """Yield RGB pictures (H, W, 3) of the walkers over a textured grey ground."""
    rng = np.random.default_rng(1)
    grain = rng.integers(90, 150, (wh[1] // 8, wh[0] // 8), np.uint8).repeat(8, 0).repeat(8, 1)
    ground = np.repeat(grain[..., None], 3, axis=2)
    for i in range(round(seconds * fps)):
        picture = ground.copy()
        for walker in walkers:
            _draw(picture, walker, i / fps)
        yield picture


def _draw(picture: Pixels, walker: Walker, now_s: float) -> None:
    if not walker.enter_s <= now_s < walker.leave_s:
        return
    height, width = picture.shape[:2]
    x = round(walker.x + walker.speed * (now_s - walker.enter_s))
    y = round(walker.y)
    x1, x2 = max(0, x), min(width, x + walker.size[0])
    y1, y2 = max(0, y), min(height, y + walker.size[1])
    if x1 < x2 and y1 < y2:
        picture[y1:y2, x1:x2] = walker.colour
        picture[y1 : y1 + 6, x1:x2] = [c // 2 + 20 for c in walker.colour]


def encode(
    path: Path,
    pictures: Iterable[Pixels],
    *,
    fps: float = 10,
    gop: int = 10,
    options: Mapping[str, str] | None = None,
    creation_time: str = "",
    rotation: int = 0,
) -> Path:
    """Write an H.264 clip; the container follows from the name."""
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w", options=dict(options or {})) as container:
        if creation_time:
            container.metadata["creation_time"] = creation_time
        stream = container.add_stream("libx264", rate=rate)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        stream.thread_count = 1
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def access_units(path: Path, pictures: Iterable[Pixels], *, fps: int = 10, gop: int = 10) -> Path:
    """Write H.264 access units, each after its length (big-endian u32), for an RTSP server."""
    encoder = CodecContext.create("libx264", "w")
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, fps)
    encoder.gop_size = gop
    encoder.options = {"preset": "ultrafast"}
    encoder.thread_count = 1  # one slice a picture, as cameras send
    units: list[bytes] = []
    for i, picture in enumerate(pictures):
        if i == 0:
            encoder.height, encoder.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, fps)
        units += [bytes(packet) for packet in encoder.encode(frame)]
    units += [bytes(packet) for packet in encoder.encode(None)]
    path.write_bytes(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))
    return path


class ColourEngine:
    """Finds coloured rectangles and describes them by their colour; a whole small Engine."""

    def __init__(self, model: str = "colour-1", threshold: float = 0.5) -> None:
        self.info = EngineInfo(
            model=model,
            name="colour",
            backend="scipy",
            input_hw=(240, 320),
            max_persons=32,
            dim=EMBEDDING_DIM,
            score_threshold=threshold,
            query_boxes=8,
            path=Path(),
        )
        rng = np.random.default_rng(7)
        self._mix = rng.normal(0, 6.0, (3, EMBEDDING_DIM))
        self._phase = rng.uniform(0, 2 * np.pi, EMBEDDING_DIM)
        self.batches: list[int] = []

    def __enter__(self) -> "ColourEngine":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to free."""

    def detect(
        self, frames: Sequence[Pixels], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return the coloured rectangles of each frame, best first."""
        self.batches.append(len(frames))
        floor = self.info.score_threshold if min_score is None else min_score
        return [self._one(frame, floor) for frame in frames]

    def embed(
        self, frames: Sequence[Pixels], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return the embeddings of boxes (R, 4) of each frame."""
        return [
            np.stack([self._embedding(frame, box) for box in rows])
            if len(rows)
            else np.zeros((0, EMBEDDING_DIM), np.float32)
            for frame, rows in zip(frames, boxes, strict=True)
        ]

    def _one(self, frame: Pixels, floor: float) -> Detections:
        step = max(1, frame.shape[0] // 360)
        frame = frame[::step, ::step]
        spread = frame.max(axis=2).astype(np.int16) - frame.min(axis=2)
        middle = (
            frame.max(axis=2, keepdims=True).astype(np.int16) + frame.min(axis=2, keepdims=True)
        ) // 2
        colours = ((frame > middle) @ np.array([1, 2, 4])) * (spread > 60)
        found = []
        for colour in range(1, 7):
            labels, _ = ndimage.label(colours == colour)
            for rows, columns in ndimage.find_objects(labels):
                height, width = rows.stop - rows.start, columns.stop - columns.start
                if height >= 12 and width >= 5:
                    fill = float((colours[rows, columns] == colour).mean())
                    box = (columns.start, rows.start, columns.stop, rows.stop)
                    found.append((0.5 + 0.49 * fill, box))
        found = sorted((f for f in found if f[0] >= floor), reverse=True)[: self.info.max_persons]
        boxes = np.array([box for _, box in found], np.float32).reshape(-1, 4)
        vectors = [self._embedding(frame, box) for box in boxes]
        return Detections(
            boxes * step,
            np.array([score for score, _ in found], np.float32),
            np.array(vectors, np.float32).reshape(-1, EMBEDDING_DIM),
            full=len(found) == self.info.max_persons,
        )

    def _embedding(self, frame: Pixels, box: NDArray[np.float32]) -> NDArray[np.float32]:
        x1, y1, x2, y2 = (int(v) for v in box)
        colour = frame[y1:y2, x1:x2].reshape(-1, 3).mean(axis=0) / 255
        vector = np.cos(colour @ self._mix + self._phase)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class SlowEngine(ColourEngine):
    """Takes its time for every batch."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def detect(
        self, frames: Sequence[Pixels], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return detections, late."""
        time.sleep(self._seconds)
        return super().detect(frames, min_score=min_score)


class FailingEngine(ColourEngine):
    """Raises after some batches."""

    def __init__(self, after: int, error: BaseException | None = None) -> None:
        super().__init__()
        self._after = after
        self._error = error or InferenceError("the runtime fell over")

    def detect(
        self, frames: Sequence[Pixels], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return detections, or raise once enough batches were searched."""
        if len(self.batches) >= self._after:
            raise self._error
        return super().detect(frames, min_score=min_score)


class FolderSink:
    """Keeps sightings and coverage in memory and crops in a folder; idempotent by id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sightings: dict[str, Sighting] = {}
        self.spans: dict[tuple[str, int, str], CoverageSpan] = {}
        self.links: tuple[Link, ...] = ()
        self.writes = 0
        self.fail_after: int | None = None
        self.error: Exception = RuntimeError("not set")
        self.log: list[str] = []

    def put_crop(self, sighting: str, camera: str, captured_at_ms: int, jpeg: bytes) -> str:
        """Write a crop."""
        relative = f"crops/{camera}/{sighting}.jpg"
        (self.folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / relative).write_bytes(jpeg)
        return relative

    def write(self, sightings: Sequence[Sighting]) -> None:
        """Keep sightings, whose crops must be there."""
        if self.fail_after is not None and self.writes >= self.fail_after:
            raise self.error
        self.writes += 1
        self.log.append("write")
        for sighting in sightings:
            assert (self.folder / sighting.crop).is_file()
            self.sightings[sighting.id] = sighting

    def record(self, span: CoverageSpan) -> None:
        """Keep a span."""
        assert span.end_ms > span.start_ms
        self.log.append("record")
        self.spans[span.camera, span.start_ms, span.state] = span

    def set_links(self, links: Sequence[Link]) -> None:
        """Keep the links."""
        self.links = tuple(links)

    def flush(self) -> None:
        """Nothing to flush."""

    def of(self, camera: str) -> list[Sighting]:
        """Return a camera's sightings in the order of their times."""
        own = (s for s in self.sightings.values() if s.camera == camera)
        return sorted(own, key=lambda s: (s.captured_at_ms, s.id))

    def coverage(self, camera: str) -> list[CoverageSpan]:
        """Return a camera's spans in the order of their times."""
        own = (span for span in self.spans.values() if span.camera == camera)
        return sorted(own, key=lambda span: (span.start_ms, span.end_ms))


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP; yields the base address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Listen on loopback and give every request the same reply; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    done = threading.Event()

    def talk() -> None:
        while not done.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(1)
                _converse(peer, reply)

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        done.set()
        thread.join(5)
        listener.close()


def _converse(peer: socket.socket, reply: bytes) -> None:
    try:
        while request := peer.recv(65536):
            number = next(
                (line for line in request.split(b"\r\n") if line.lower().startswith(b"cseq")), b""
            )
            peer.sendall(reply.replace(b"CSEQ", number))
    except OSError:
        return


class RtspServer:
    """One GStreamer server process that plays access units in a loop for ever."""

    SCRIPT = Path(__file__).with_name("rtsp_camera.py")

    def __init__(self, units: Path, *, fps: int = 10, port: int = 0, login: str = "",
        certificate: Path | None = None,
    ) -> None:  # fmt: skip
        self._scheme = "rtsps" if certificate else "rtsp"
        self.port = port or free_port()
        self._command = ["/usr/bin/python3", str(self.SCRIPT), str(self.port), str(units), str(fps)]
        self._command += [login or "-", *([str(certificate)] if certificate else [])]
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The address without credentials."""
        return f"{self._scheme}://127.0.0.1:{self.port}/cam"

    def start(self) -> "RtspServer":
        """Start the process and wait until it listens."""
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line.strip() != "ready":
            _, problems = self.process.communicate(timeout=10)
            raise RuntimeError(f"no RTSP server: {line}{problems}")
        return self

    def kill(self) -> None:
        """kill -9, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate(timeout=10)
            self.process = None
