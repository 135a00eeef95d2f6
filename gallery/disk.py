"""Files of a gallery: written whole or not at all, and never on a disk about to be full.

The vector store loses rows that it has acknowledged when its disk fills while it goes on
writing. So writing stops while there is still room for all that the store may yet do with what
it has taken: append to its log, flush, and compact.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gallery.errors import StorageFullError, StoreError

MIB = 2**20
LEAST_FREE = 64 * MIB
"""Room for the store's log, a flush of every pending row, and the coverage record."""
MOST_COMPACTION = 192 * MIB
"""A compaction writes the new file before it deletes the old: 100,000 rows at most, 1.3 KB each,
and half as much again for the file of deletions and for other files on the disk."""

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""How file systems without hard links answer."""


def free_bytes(path: Path) -> int:
    """Return the bytes that may still be written on the disk under ``path``."""
    return shutil.disk_usage(path).free


class DiskGuard:
    """Refuses writes that would leave less free space than the store needs to stay whole.

    The reserve is 64 MiB, and as much more as the store occupies, up to 192 MiB: a small store
    compacts little. ``free`` is asked before every write.
    """

    def __init__(
        self,
        folder: Path,
        *,
        free: Callable[[Path], int] = free_bytes,
        least: int = LEAST_FREE,
    ) -> None:
        self._folder = folder
        self._free = free
        self._least = least
        self._store_bytes = 0

    def measure(self, store: Path) -> None:
        """Take note of how much the store occupies now."""
        self._store_bytes = tree_bytes(store)

    @property
    def reserve(self) -> int:
        """Bytes that must stay free after a write."""
        return self._least + (min(self._store_bytes, MOST_COMPACTION) if self._least else 0)

    def roomy(self, size: int) -> bool:
        """Tell whether a write of ``size`` bytes may pass."""
        try:
            self.require(size)
        except StorageFullError:
            return False
        return True

    def require(self, size: int) -> None:
        """Let a write of ``size`` bytes pass.

        Raises:
            StorageFullError: the write would eat into the reserve.
        """
        with mapped_errors("measure the disk under", self._folder):
            free = self._free(self._folder)
        if free - size < self.reserve:
            raise StorageFullError(
                f"gallery {self._folder}: {free // MIB} MiB of disk are left and "
                f"{self.reserve // MIB} MiB must stay free; nothing was written"
            )


@contextmanager
def mapped_errors(action: str, path: Path) -> Iterator[None]:
    """Turn the errors of the operating system into ours, naming the file.

    Raises:
        StorageFullError: the disk or the quota is full.
        StoreError: anything else.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        kind = StorageFullError if error.errno in FULL else StoreError
        raise kind(f"cannot {action} {path}: {reason}") from error


def write_atomic(path: Path, data: bytes, *, exclusive: bool = False, durable: bool = True) -> None:
    """Write a file so that it is there whole or not at all; ``durable``: also after a power cut.

    Raises:
        StorageFullError: the disk is full.
        StoreError: it cannot be written.
        FileExistsError: ``exclusive``, and somebody else made it first.
    """
    with mapped_errors("make folder", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    taken = False
    with mapped_errors("write", path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            taken = not _put(Path(name), path, exclusive)
        finally:
            Path(name).unlink(missing_ok=True)
        if durable:
            _sync_folder(path.parent)
    if taken:
        raise FileExistsError(errno.EEXIST, "made by somebody else meanwhile", str(path))


def tree_bytes(folder: Path) -> int:
    """Return the bytes of all files under a folder; files that vanish meanwhile count 0."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _put(temporary: Path, path: Path, exclusive: bool) -> bool:
    """Give a file its name; False when the name was to be new and is taken."""
    if not exclusive:
        temporary.replace(path)
        return True
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            return False
        temporary.replace(path)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
