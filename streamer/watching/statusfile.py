"""The status file of an ingest: ``run/ingest.json`` in its gallery's folder or its spool's.

The file is replaced whole, once a second. Beside it lies ``ingest.lock``: while an ingest lives
it holds that lock, and the kernel takes it back the moment the process dies, however it dies and
in whichever container. So a reader tells at once whether anybody is behind the file.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from streamer.errors import StatusFileError
from streamer.watching.snapshot import FORMAT, LOOP_LIMIT_S, Phase, Snapshot

FOLDER = "run"
FILE = "ingest.json"
LOCK = "ingest.lock"
STALE_S = 4.0
"""The file is written every second; a living ingest that has not for so long is stopped."""
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.02


class Liveness(StrEnum):
    """What stands behind a status file."""

    RUNNING = "running"
    STUCK = "stuck"
    """It writes, but its loop does not pass."""
    STALE = "stale"
    """It lives, but writes nothing: it is stopped, or the disk is full."""
    DIED = "died"
    ENDED = "ended"
    FAILED = "failed"
    NONE = "none"
    """No ingest ever ran here."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader found."""

    liveness: Liveness
    snapshot: Snapshot | None

    @property
    def alive(self) -> bool:
        """An ingest is there, and does its work."""
        return self.liveness is Liveness.RUNNING


class StatusFile:
    """The writer's side; one thread uses it.

    Raises:
        StatusFileError: the folder cannot be made, or another ingest writes there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FOLDER / FILE
        self._temporary = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(self.path.with_name(LOCK), flags, 0o600)
        except OSError as error:
            raise StatusFileError(f"cannot make {self.path.parent}: {error.strerror}") from error
        if not _locked(self._lock):
            os.close(self._lock)
            raise StatusFileError(f"{self.path} belongs to another ingest that runs now")

    def write(self, snapshot: Snapshot) -> None:
        """Replace the content, whole or not at all.

        Raises:
            StatusFileError: it cannot be written.
        """
        text = snapshot.model_dump_json(indent=1)
        try:
            handle = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            self._temporary.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                self._temporary.unlink()
            raise StatusFileError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Say that this process writes no more; the last content stays."""
        os.close(self._lock)


def _locked(handle: int) -> bool:
    """Take the lock; readers hold it for a moment, so try for a while."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False


def look(folder: Path, now_s: float) -> Found:
    """Return what runs, or ran, in a gallery's or a spool's folder, at a monotonic time.

    Raises:
        StatusFileError: the file is damaged, of another version, or may not be read.
    """
    path = folder / FOLDER / FILE
    # The lock first: an ingest that ends in between has written before it let go.
    held = _is_held(path.with_name(LOCK))
    snapshot = _read(path)
    return Found(_liveness(snapshot, held, now_s), snapshot)


def _liveness(snapshot: Snapshot | None, held: bool, now_s: float) -> Liveness:
    if snapshot is None:
        return Liveness.NONE
    if snapshot.phase in (Phase.ENDED, Phase.FAILED):
        return Liveness(snapshot.phase.value)
    if not held:
        return Liveness.DIED
    if abs(now_s - snapshot.heartbeat_s) > STALE_S:
        return Liveness.STALE
    loops = snapshot.phase is not Phase.STOPPING
    stuck = loops and snapshot.loop_age_s(now_s) > LOOP_LIMIT_S
    return Liveness.STUCK if stuck else Liveness.RUNNING


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StatusFileError(f"cannot read {lock}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _read(path: Path) -> Snapshot | None:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StatusFileError(f"cannot read {path}: {error}") from error
    try:
        document = json.loads(text)
        written = document.get("format") if isinstance(document, dict) else None
        if written != FORMAT:
            raise StatusFileError(
                f"{path} has format {written}, this Sightline knows {FORMAT}: "
                "the ingest is of another version"
            )
        return Snapshot.model_validate(document)
    except json.JSONDecodeError as error:
        raise StatusFileError(f"{path} is damaged: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StatusFileError(f"{path} is damaged: {where}: {first['msg']}") from error
