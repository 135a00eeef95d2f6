"""Read a folder of pictures as a camera: those that are there, and with ``follow`` those to come.

With ``start`` or ``fps`` the pictures stand on a grid: start + number / fps, thinned to the
detection rate. Without, each has the time at which it was taken (EXIF, else the file's own) and
all of them are searched. Nothing is dropped: the files wait.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from engines.errors import PictureError
from engines.pictures import read_picture
from engines.values import Frame
from streamer.address import OPEN_TIMEOUT_S, is_file, local_path
from streamer.clock import FILE
from streamer.container import SourceInfo
from streamer.errors import Cause, SourceUnavailableError
from streamer.folder import pictures_in, taken_ms
from streamer.settings import CameraSettings
from streamer.source import UNDECODABLE, Picture, Reader

LOOK_S = 1.0
"""Between two looks for new pictures; one is read when two looks saw it with the same size."""


class FolderReader(Reader):
    """Pictures of one folder; see ``Reader``."""

    def __init__(
        self, settings: CameraSettings, *, open_s: float = 0.0, read_s: float | None = None
    ) -> None:
        super().__init__(settings)
        self._folder = local_path(settings.url)
        self._rate = settings.fps or (settings.detect_fps if settings.start else None)
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._known: dict[str, tuple[int, int]] = {}
        self._read: dict[str, tuple[int, int]] = {}
        self._bad: dict[str, str] = {}
        """Why pictures could not be read, by name."""

    def open(self) -> SourceInfo:
        """Return what the folder holds.

        Raises:
            SourceUnavailableError: it is not there, or holds no picture and is not followed.
        """
        if not self._folder.is_dir():
            raise SourceUnavailableError(self.url, "no such folder", Cause.NOT_FOUND)
        paths = pictures_in(self._folder)
        if not paths and not self._settings.follow:
            raise SourceUnavailableError(self.url, "no picture in it", Cause.NOT_FOUND)
        first = next(filter(None, (self._pixels_of(path) for path in paths[:1])), None)
        height, width = first[1].shape[:2] if first else (0, 0)
        duration_s = len(paths) / self._rate if self._rate and not self._settings.follow else None
        self._bad.clear()
        self.info = SourceInfo(
            live=False,
            format="pictures",
            codec=paths[0].suffix[1:].lower() if paths else "",
            width=width,
            height=height,
            nominal_fps=self._rate,
            duration_s=duration_s,
            frames=len(paths),
        )
        return self.info

    def close(self) -> None:
        """Nothing is held open."""

    def frames(self) -> Iterator[Frame | None]:
        """Yield a Frame for each picture that is to be searched, None for each that is not."""
        for picture in self.pictures():
            wanted = self._rate is None or self._gate.passes(picture.pts_s)
            yield self._frame(picture) if wanted else None

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture that could be read, in order."""
        for number, path in enumerate(self._paths()):
            found = self._pixels_of(path)
            if found is not None:
                self.decoded += 1
                yield self._placed(number, *found)
        if self._bad:
            name, reason = next(iter(self._bad.items()))
            self.fault = f"{len(self._bad)} pictures could not be read: {name}: {reason}"

    def _paths(self) -> Iterator[Path]:
        """Yield files to read; with ``follow`` until somebody says stop."""
        if not self._settings.follow:
            yield from pictures_in(self._folder)
            return
        while not self._stopped():
            yield from self._fresh()
            self._wait(LOOK_S)

    def _fresh(self) -> list[Path]:
        """Return files not read yet that did not change since the last look."""
        before, self._known = self._known, {}
        fresh: list[Path] = []
        for path in pictures_in(self._folder):
            try:
                state = path.stat()
            except OSError:
                continue
            look = self._known[path.name] = (state.st_size, state.st_mtime_ns)
            if before.get(path.name) == look and not self._done(path.name, look):
                fresh.append(path)
                self._read[path.name] = look
        self._read = {name: self._read[name] for name in self._read if name in self._known}
        return fresh

    def _done(self, name: str, look: tuple[int, int]) -> bool:
        """Tell whether a file was read; one that was broken then counts anew when it changed."""
        return name in self._read and (name not in self._bad or self._read[name] == look)

    def _pixels_of(self, path: Path) -> tuple[int, NDArray[np.uint8]] | None:
        """Return when a picture was taken and its RGB, upright; None (counted) if it is broken."""
        try:
            pixels = read_picture(path)
            data = path.read_bytes() if path.suffix.lower() != ".png" else b""
            own_ms = taken_ms(data) or round(path.stat().st_mtime * 1000)
        except (PictureError, OSError) as error:
            self.lost[UNDECODABLE] += self.info is not None
            self._bad[path.name] = getattr(error, "reason", None) or str(error)
            return None
        self._bad.pop(path.name, None)
        self.bytes_read += len(data) or path.stat().st_size
        return own_ms, pixels

    def _placed(self, number: int, own_ms: int, pixels: NDArray[np.uint8]) -> Picture:
        """Return the picture with its times; a later one never gets an earlier or equal time."""
        if self._first_ms is None:
            start = self._settings.start
            self._first_ms = own_ms if start is None else round(start.timestamp() * 1000)
            self._start_ms = self._first_ms
        grid_ms = self._first_ms + round(1000 * number / self._rate) if self._rate else own_ms
        at_ms = grid_ms if self._last_ms is None else max(grid_ms, self._last_ms + 1)
        self._last_ms = at_ms
        image = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        pts_s = (at_ms - self._first_ms) / 1000
        return Picture(image, pts_s, at_ms, FILE, time.monotonic())

    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def _wait(self, seconds: float) -> None:
        if self.stop is None:
            time.sleep(seconds)
        else:
            self.stop.wait(seconds)


def reader_for(
    settings: CameraSettings, *, open_s: float | None = None, read_s: float | None = None
) -> Reader:
    """Return the reader of a camera: of a folder of pictures, or of everything that is video."""
    kind = FolderReader if is_file(settings.url) and local_path(settings.url).is_dir() else Reader
    return kind(settings, open_s=open_s or OPEN_TIMEOUT_S, read_s=read_s)
