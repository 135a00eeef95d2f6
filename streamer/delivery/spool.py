"""The spool: entries in the order in which they came, in one SQLite file, until they are delivered.

An entry counts as acknowledged when ``append`` has returned: it was committed and synced to the
disk, so neither ``kill -9`` nor a power cut loses it. One process at a time has the file; any
thread of it may call. The spool refuses to grow over its limit, and to fill the disk.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from gallery.disk import MIB, DiskGuard
from gallery.errors import StorageFullError, StoreError
from streamer.delivery.entry import Entry, Kind
from streamer.errors import SpoolError, SpoolFullError

FORMAT = 1
MOST_BYTES = 2048 * MIB
LEAST_FREE = 32 * MIB
"""What the spool leaves free on its disk: less than a gallery does, so that entries can still
wait here when a gallery on the same disk takes no more."""
_ROW = "kind, model, body, embedding, jpeg"
_TABLES = f"""
CREATE TABLE entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL, body BLOB NOT NULL,
    embedding BLOB NOT NULL, jpeg BLOB NOT NULL);
CREATE TABLE refused (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL, reason TEXT NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL,
    body BLOB NOT NULL, embedding BLOB NOT NULL, jpeg BLOB NOT NULL);
PRAGMA user_version = {FORMAT};
"""
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "journal_size_limit = 16777216",
)
_BATCH = f"SELECT seq, {_ROW}, bytes FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
_REFUSE = f"""
INSERT OR REPLACE INTO refused (seq, at_ms, {_ROW}, bytes, reason)
SELECT seq, at_ms, {_ROW}, bytes, ? FROM entry WHERE seq = ?
"""
_FREED_PAGES = 4096
"""Returned to the disk after a removal, at most: 16 MiB."""


class Spooled(NamedTuple):
    """An entry and its number in the spool."""

    seq: int
    entry: Entry


class Spool:
    """Entries that wait on disk; ``path`` is the SQLite file, made with its folder if missing.

    Raises:
        SpoolError: it cannot be opened, is damaged, or another process has it.
        SpoolFullError: the disk is full.
    """

    def __init__(
        self, path: Path, *, most_bytes: int = MOST_BYTES, guard: DiskGuard | None = None
    ) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"cannot make {path.parent}: {error.strerror}") from error
        self._guard = guard or DiskGuard(path.parent, least=LEAST_FREE)
        with self._errors("open"):
            self._connection = sqlite3.connect(
                path, timeout=0.5, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors("open"):
                self._prepare()
                path.chmod(0o600)
                last = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'entry'")
                self._last_seq = int(last[0][0]) if last else 0
                self._count, self._bytes = self._totals(self._last_seq)
        except SpoolError:
            self._connection.close()
            raise

    @property
    def count(self) -> int:
        """Entries in the spool, those already sent and not yet removed included."""
        return self._count

    @property
    def bytes(self) -> int:
        """Bytes of these entries."""
        return self._bytes

    @property
    def last_seq(self) -> int:
        """Number of the newest entry that ever was in the spool; 0 at the beginning."""
        return self._last_seq

    @property
    def refused(self) -> int:
        """Entries that the other side refused for good; they stay in the file."""
        with self._lock, self._errors("read"):
            ((count,),) = self._rows("SELECT count(*) FROM refused")
        return int(count)

    def append(self, entries: Sequence[Entry], now_ms: int) -> int:
        """Keep entries, all or none; on return they are on the disk. Returns the last number.

        Raises:
            SpoolFullError: over the limit, or the disk is too full; none was kept.
            SpoolError: the file cannot be written.
        """
        size = sum(entry.size for entry in entries)
        self._require(size)
        rows = [(now_ms, *_columns(entry), entry.size) for entry in entries]
        insert = f"INSERT INTO entry (at_ms, {_ROW}, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"
        with self._lock, self._errors("write to"), self._transaction():
            self._connection.executemany(insert, rows)
            ((last,),) = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'entry'")
        with self._lock:
            self._last_seq = int(last)
            self._count += len(entries)
            self._bytes += size
        return int(last)

    def after(self, seq: int, *, most: int = 64, most_bytes: int = 4 * MIB) -> list[Spooled]:
        """Return the oldest entries with numbers above ``seq``; at least one if there is any.

        Raises:
            SpoolError: the file cannot be read.
        """
        found: list[Spooled] = []
        taken = 0
        with self._lock, self._errors("read"):
            for number, kind, *columns, size in self._connection.execute(_BATCH, (seq, most)):
                taken += size
                if found and taken > most_bytes:
                    break
                found.append(Spooled(number, Entry(_kind(kind), *columns)))
        return found

    def oldest_ms(self, after: int = 0) -> int | None:
        """Return when the oldest entry with a number above ``after`` came; None: there is none.

        Raises:
            SpoolError: the file cannot be read.
        """
        query = "SELECT at_ms FROM entry WHERE seq > ? ORDER BY seq LIMIT 1"
        with self._lock, self._errors("read"):
            rows = self._rows(query, (after,))
        return int(rows[0][0]) if rows else None

    def waiting(self, after: int) -> int:
        """Return how many entries have numbers above ``after``."""
        return min(self._count, self._last_seq - after)

    def remove(self, until: int) -> None:
        """Forget all entries up to a number, and give room back to the disk.

        Raises:
            SpoolError: the file cannot be written.
        """
        with self._lock, self._errors("write to"):
            with self._transaction():
                count, size = self._totals(until)
                self._connection.execute("DELETE FROM entry WHERE seq <= ?", (until,))
            self._count -= count
            self._bytes -= size
            # Through execute() this frees one page a call.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES});")

    def refuse(self, seq: int, reason: str) -> None:
        """Set an entry aside for good, with the reason; it is not sent again.

        Raises:
            SpoolError: the file cannot be written.
        """
        with self._lock, self._errors("write to"), self._transaction():
            self._connection.execute(_REFUSE, (reason, seq))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _require(self, size: int) -> None:
        if self._bytes + size > self._most_bytes:
            raise SpoolFullError(
                f"spool {self.path} is full: {self._count} entries of {self._bytes // MIB} MiB "
                f"wait to be delivered, the limit is {self._most_bytes // MIB} MiB"
            )
        try:
            self._guard.require(size)
        except StoreError as error:
            raise SpoolError(f"spool {self.path}: {error}") from error
        except StorageFullError as error:
            raise SpoolFullError(
                f"spool {self.path} takes no more: the disk under it is nearly full "
                f"({self._count} entries of {self._bytes // MIB} MiB wait to be delivered)"
            ) from error

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        ((version,),) = self._rows("PRAGMA user_version")
        if version == 0:
            self._connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
        elif version != FORMAT:
            raise SpoolError(
                f"spool {self.path} has format {version}, this Sightline reads {FORMAT}: "
                "it was made by a newer one"
            )

    def _totals(self, until: int) -> tuple[int, int]:
        """Return how many entries have numbers up to ``until``, and their bytes."""
        query = "SELECT count(*), coalesce(sum(bytes), 0) FROM entry WHERE seq <= ?"
        ((count, size),) = self._rows(query, (until,))
        return int(count), int(size)

    def _rows(self, text: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(text, values).fetchall()
        return rows

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise SpoolError(f"spool {self.path} is in use by another process") from error
            full = code == sqlite3.SQLITE_FULL
            kind = SpoolFullError if full else SpoolError
            raise kind(f"cannot {action} spool {self.path}: {error}") from error


def _columns(entry: Entry) -> tuple[str, str, bytes, bytes, bytes]:
    return entry.kind, entry.model, entry.body, entry.embedding, entry.jpeg


def _kind(text: str) -> Kind:
    found = next((kind for kind in get_args(Kind) if kind == text), None)
    if found is None:
        raise SpoolError(f"the spool holds an entry of kind {text!r}")
    kind: Kind = found
    return kind
