"""A folder that nobody but this user can write, and files in it that are whole.

A plan is a program: who can change it can run code here. So the folder and every file in it must
belong to this user and be writable by nobody else, and no symbolic link is followed.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from engines.errors import PlanError

OTHERS_WRITE = 0o022


def check_folder(path: Path) -> None:
    """Make sure that a folder is ours alone to write.

    Raises:
        PlanError: it is no folder, a symbolic link, another user's, or others may write to it.
    """
    try:
        state = path.lstat()
    except OSError as error:
        raise PlanError(path, error.strerror or str(error)) from error
    if stat.S_ISLNK(state.st_mode):
        raise PlanError(path, "it is a symbolic link; name the folder that it leads to")
    if not stat.S_ISDIR(state.st_mode):
        raise PlanError(path, "it is not a folder")
    _check_owner(path, state)


def _check_owner(path: Path, state: os.stat_result) -> None:
    if state.st_uid != os.geteuid():
        raise PlanError(path, f"it belongs to user {state.st_uid}, not to {os.geteuid()}")
    if state.st_mode & OTHERS_WRITE:
        mode = stat.S_IMODE(state.st_mode)
        raise PlanError(path, f"others may write to it (mode {mode:04o}); run: chmod go-w {path}")


def make_folder(path: Path) -> Path:
    """Make a folder with mode 0700 where there is none, check it, and return it.

    Raises:
        PlanError: it cannot be made, or is not ours alone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    except OSError as error:
        raise PlanError(path, f"cannot make it: {error.strerror or error}") from error
    check_folder(path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PlanError(path, "this process may not write to it")
    return path


def read_file(path: Path, limit: int) -> bytes:
    """Return a whole file of at most ``limit`` bytes.

    Raises:
        PlanError: not there, a symbolic link, no plain file, not ours alone, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise PlanError(path, "it is not a file")
            _check_owner(path, state)
            if state.st_size > limit:
                raise PlanError(path, f"it has {state.st_size} bytes, at most {limit} are read")
            return file.read(limit)
    except OSError as error:
        raise PlanError(path, error.strerror or str(error)) from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 whole or not at all, in a folder that was checked.

    Raises:
        PlanError: the folder or the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        write_durably(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise PlanError(path, f"cannot write it: {error.strerror or error}") from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600 and bring it to disk (OSError)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to disk (OSError)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
