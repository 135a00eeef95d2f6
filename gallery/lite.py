"""Milvus Lite in this process, behind a private socket.

Lite is a server in pure Python. We start it ourselves instead of through pymilvus' ``.db``
addresses: theirs listens on a TCP port that every user of the machine can read, hides why it
could not start, and flushes at exit. That last flush loses acknowledged rows when an earlier one
failed on a full disk; a server that failed must be dropped without flushing, so that the next
start replays its log. ``abandon`` does that, and for it reaches into Lite's database object; the
version is pinned to 3.2 for that reason.
"""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from gallery.errors import GalleryError, GalleryLockedError, StoreError
from gallery.milvus import store_errors

LONGEST_SOCKET_FOLDER = 90
"""A socket's whole path may have 107 bytes."""
GRACE_S = 5.0
"""How long a stopping server lets requests finish."""


class LiteServer:
    """The one owner of a Milvus Lite folder; ``uri`` is where clients reach it.

    ``replayed`` are the ids of rows that the last owner left in its log, having been killed.
    When it was killed between moving rows to a file and dropping its log, Lite replays rows that
    the file holds too, under equal numbers, and returns each twice until it compacts; writing
    them once more makes them one.

    Raises:
        GalleryLockedError: another process, or another object of this one, owns the folder.
        StorageFullError: the disk is full.
        StoreError: the folder cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with store_errors("open", folder):
            self._sockets = _private_folder()
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._sockets, ignore_errors=True)
        self.replayed = logged_ids(folder)
        try:
            self._server, self._database = self._start()
        except GalleryError:
            self._finalizer()
            raise
        self.uri = f"unix:{self._sockets / 's'}:1"

    def close(self) -> None:
        """Flush, stop and give the folder free."""
        self._stop()
        self._database.close()

    def abandon(self) -> None:
        """Stop and give the folder free as it is: the next owner replays the log."""
        self._stop()
        for collection in self._database._collections.values():
            collection._bg_closed = True
            collection._bg_executor.shutdown(wait=True, cancel_futures=True)
            _let_go(collection._wal)
        self._database._release_lock()
        self._database._closed = True

    def _start(self) -> tuple[Any, Any]:
        with store_errors("open", self._folder):
            from milvus_lite.adapter.grpc.server import start_server_in_thread
            from milvus_lite.exceptions import DataDirLockedError

            try:
                server, database, _ = start_server_in_thread(
                    str(self._folder), host=f"unix:{self._sockets / 's'}", port=1
                )
            except DataDirLockedError as error:
                raise GalleryLockedError(locked(self._folder)) from error
            except RuntimeError as error:
                raise StoreError(f"cannot open {self._folder}: {error}") from error
        return server, database

    def _stop(self) -> None:
        self._server.stop(grace=GRACE_S).wait()
        self._finalizer()


def _private_folder() -> Path:
    """Make a folder that only we can enter, with a name short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="sightline-"))
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="sightline-", dir="/tmp"))


def logged_ids(folder: Path) -> tuple[str, ...]:
    """Return the ids of the rows in the log of a store that nobody has open.

    A log that was cut short holds what comes before the cut, as it does for Lite.
    """
    import pyarrow as pa

    ids: dict[str, None] = {}
    for log in sorted(folder.glob("collections/*/wal/wal_data_*.arrow")):
        try:
            with pa.OSFile(str(log), "rb") as source:
                for batch in pa.ipc.open_stream(source):
                    ids.update(dict.fromkeys(batch.column("id").to_pylist()))
        except (pa.ArrowInvalid, OSError):
            continue
    return tuple(ids)


def _let_go(log: Any) -> None:
    """Close the log's files without writing what is left in their buffers."""
    for sink in (log._data_sink, log._delta_sink):
        if sink is not None:
            sink.raw.close()


def locked(folder: Path) -> str:
    """Return what to tell somebody who opens a store that is open already."""
    return (
        f"gallery {folder.parent} is in use by another process; only one at a time may open it: "
        "wait until that one ends, or stop it"
    )
