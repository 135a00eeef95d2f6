"""The record of what was watched: one SQLite file beside the vectors.

A span is known by its camera, start and state. Recording it again moves its end and counts on;
a shorter version of a span that is known, as a second ingest that was stopped early brings,
changes nothing. The file also keeps the names of all cameras that ever wrote.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gallery.errors import GalleryError, InvalidSightingError, StorageFullError, StoreError
from gallery.values import CAMERA_NAME, LAST_MS, CameraState, CoverageSpan

VERSION = 1
BUSY_S = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS camera (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS span (
    camera TEXT NOT NULL, start_ms INTEGER NOT NULL, state TEXT NOT NULL,
    end_ms INTEGER NOT NULL, frames INTEGER NOT NULL, searched INTEGER NOT NULL,
    dropped TEXT NOT NULL, reason TEXT NOT NULL, model TEXT NOT NULL,
    PRIMARY KEY (camera, start_ms, state)
) WITHOUT ROWID;
"""
_RECORD = """
INSERT INTO span (camera, start_ms, state, end_ms, frames, searched, dropped, reason, model)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (camera, start_ms, state) DO UPDATE SET
    end_ms = excluded.end_ms, frames = excluded.frames, searched = excluded.searched,
    dropped = excluded.dropped, reason = excluded.reason, model = excluded.model
WHERE excluded.end_ms >= span.end_ms
"""
_SPANS = """
SELECT camera, state, start_ms, end_ms, frames, searched, dropped, reason, model FROM span
WHERE start_ms < ? AND end_ms > ? ORDER BY camera, start_ms, state
"""


class CoverageLog:
    """The spans of a gallery, and the cameras it knows. Any thread may use it.

    Raises:
        StorageFullError: the disk is full.
        StoreError: the file cannot be opened, or is of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._errors("open"):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors("open"):
                self._prepare()
                self._cameras = {name for (name,) in self._rows("SELECT name FROM camera")}
        except GalleryError:
            self._connection.close()
            raise

    @property
    def cameras(self) -> tuple[str, ...]:
        """All cameras that ever recorded or wrote, by name."""
        with self._lock:
            return tuple(sorted(self._cameras))

    def know(self, cameras: Iterable[str]) -> None:
        """Take note of cameras.

        Raises:
            StorageFullError, StoreError
        """
        with self._lock:
            fresh = sorted(set(cameras) - self._cameras)
            if not fresh:
                return
            with self._errors("write to"):
                self._connection.executemany(
                    "INSERT OR IGNORE INTO camera VALUES (?)", [(name,) for name in fresh]
                )
            self._cameras.update(fresh)

    def record(self, span: CoverageSpan) -> None:
        """Keep a span, or the longer version of one that is kept.

        Raises:
            InvalidSightingError: no such span can be.
            StorageFullError, StoreError
        """
        _check(span)
        self.know([span.camera])
        values = (
            span.camera,
            span.start_ms,
            span.state.value,
            span.end_ms,
            span.frames,
            span.searched,
            json.dumps(dict(span.dropped)),
            span.reason,
            span.model,
        )
        with self._lock, self._errors("write to"):
            self._connection.execute(_RECORD, values)

    def spans(
        self, since_ms: int, until_ms: int, cameras: Sequence[str] | None = None
    ) -> list[CoverageSpan]:
        """Return the spans that reach into an interval, of some cameras or all.

        Raises:
            StoreError
        """
        with self._lock, self._errors("read"):
            rows = self._rows(_SPANS, (until_ms, since_ms))
        return [_span(row) for row in rows if cameras is None or row[0] in cameras]

    def extent(self) -> tuple[int, int] | None:
        """Return the first and the last moment on record over all cameras.

        Raises:
            StoreError
        """
        with self._lock, self._errors("read"):
            ((first, last),) = self._rows("SELECT min(start_ms), max(end_ms) FROM span")
        return None if first is None else (first, last)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        ((version,),) = self._rows("PRAGMA user_version")
        if version not in (0, VERSION):
            raise StoreError(
                f"{self._path} has version {version}, this Sightline knows {VERSION}: "
                "it was made by a newer one"
            )
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        if version == 0:
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            )

    def _rows(self, text: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(text, values).fetchall()
        return rows

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            kind = StorageFullError if full else StoreError
            raise kind(f"cannot {action} {self._path}: {error}") from error


def _check(span: CoverageSpan) -> None:
    if not CAMERA_NAME.fullmatch(span.camera):
        raise InvalidSightingError(f"coverage: no camera can be called {span.camera!r}")
    if not 0 <= span.start_ms <= span.end_ms < LAST_MS:
        raise InvalidSightingError(
            f"coverage of {span.camera}: from {span.start_ms} to {span.end_ms} ms is no interval"
        )


def _span(row: Sequence[Any]) -> CoverageSpan:
    camera, state, start_ms, end_ms, frames, searched, dropped, reason, model = row
    return CoverageSpan(
        camera=camera,
        state=CameraState(state),
        start_ms=start_ms,
        end_ms=end_ms,
        frames=frames,
        searched=searched,
        dropped=tuple(sorted(json.loads(dropped).items())),
        reason=reason,
        model=model,
    )
