"""The vector store: rows in, rows out, exact within limits of camera and time.

One partition a UTC day, so that a search touches only the days asked for and retention drops
whole days. Milvus Lite walks every row in scope whether it has an index or not, so it gets none:
the search is exact and as fast, half the disk, and no index file that a crash can tear. A server
gets a FLAT index.

Everything passes one lock: Lite loses sight of rows while it flushes beside a search, and its
writes must not overlap. After an error while writing, Lite may hold less than it acknowledged
until it is opened again; so the store then refuses everything, and closing it flushes nothing.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gallery.disk import DiskGuard
from gallery.errors import GalleryError, StoreError
from gallery.limits import Limits, is_day, partition_of, quoted
from gallery.lite import LiteServer
from gallery.milvus import client_library, store_errors
from gallery.rows import FIELDS, ROW_BYTES, VECTOR, schema, to_row, to_sighting
from gallery.values import Sighting

Row = TypeVar("Row")
COLLECTION = "sightings_v1"
OPEN_S = 10.0
READ_S = 120.0
"""A million rows take about two seconds; a machine under load may take far longer."""
WRITE_S = 120.0
"""Lite stalls writers for up to 18 s while it compacts."""
BATCH_ROWS = 1_000
MOST_HITS = 16_384
"""What a server returns at most for one vector."""
NO_PINGS_MS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When Lite moves rows from its log to files: searching the log is 20 times slower."""

    rows: int = 2_000
    seconds: float = 5.0


class VectorStore:
    """Sightings of one model, in a Milvus Lite folder or on a server.

    Raises:
        GalleryLockedError: another process owns the folder.
        StoreError: the store cannot be opened.
    """

    def __init__(
        self,
        where: Path | str,
        *,
        guard: DiskGuard | None = None,
        flush: FlushPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        open_s: float = OPEN_S,
    ) -> None:
        self._lite = LiteServer(where) if isinstance(where, Path) else None
        self._where = where
        self._guard = guard
        self._flush_policy = flush or FlushPolicy()
        self._clock = clock
        self._lock = threading.RLock()
        self._pending = 0
        self._pending_since_s = 0.0
        self._broken = ""
        self._closed = False
        try:
            self._client = self._connect(open_s)
            self._partitions = self._prepare()
            self._measure()
            self._heal()
        except GalleryError as error:
            self._broken = str(error)
            self._drop()
            raise

    @property
    def broken(self) -> str:
        """What failed while writing; "" while the store is sound."""
        return self._broken

    def upsert(self, sightings: Iterable[Sighting]) -> None:
        """Store sightings, each at most once by its id; returns when the store has them.

        Raises:
            StorageFullError: too little room; nothing was written, or the store is broken.
            StoreError: the store failed; what was written before stays.
        """
        days = _by_day(sightings)
        with self._lock:
            self._usable()
            if self._guard is not None:
                pending = self._pending + sum(len(rows) for rows in days.values())
                self._guard.require(3 * ROW_BYTES * pending)
            with self._writing("write to"):
                for partition, rows in days.items():
                    self._write_day(partition, rows)
            self._flush_if_due(self._clock())

    def flush(self) -> None:
        """Move pending rows to files now.

        Raises:
            StorageFullError, StoreError
        """
        with self._lock:
            self._usable()
            self._flush()

    def search(
        self,
        embeddings: NDArray[np.float32],
        limits: Limits,
        limit: int,
        *,
        exclude: Sequence[str] = (),
    ) -> list[list[tuple[Sighting, float]]]:
        """Return for each embedding (Q, 256) its ``limit`` best rows within the limits.

        Best first, with the cosine as the store computed it. Exact on Lite and with FLAT.

        Raises:
            StoreError
        """
        parts = [limits.filter(), f"id not in {quoted(exclude)}" if exclude else ""]
        with self._reading("search") as present:
            days = limits.partitions(present)
            if not days:
                return [[] for _ in embeddings]
            found = self._client.search(
                COLLECTION,
                data=list(embeddings),
                anns_field=VECTOR,
                filter=" and ".join(part for part in parts if part),
                limit=min(limit, MOST_HITS),
                output_fields=list(FIELDS),
                search_params={"metric_type": "COSINE"},
                partition_names=days,
                timeout=READ_S,
            )
        return [[_hit(hit) for hit in hits] for hits in found]

    def query(self, limits: Limits, *, tracklets: Sequence[str] = ()) -> list[Sighting]:
        """Return all sightings within limits, of some tracklets or of all, oldest first.

        Raises:
            StoreError
        """
        parts = [limits.filter(), f"tracklet in {quoted(tracklets)}" if tracklets else ""]
        text = " and ".join(part for part in parts if part)
        found: list[Sighting] = []
        with self._reading("read") as present:
            for day in limits.partitions(present):
                found += self._rows(text, [day])
        unique = {one.id: one for one in found}.values()
        return sorted(unique, key=lambda one: (one.captured_at_ms, one.camera, one.id))

    def get(self, ids: Sequence[str]) -> dict[str, Sighting]:
        """Return the sightings that have these ids, by id.

        Raises:
            StoreError
        """
        if not ids:
            return {}
        with self._reading("read"):
            rows = self._client.get(
                COLLECTION, ids=list(ids), output_fields=list(FIELDS), timeout=READ_S
            )
        return {row["id"]: to_sighting(row) for row in rows}

    def counts(self) -> dict[str, int]:
        """Return how many sightings each day partition holds, by its name.

        Raises:
            StoreError
        """
        with self._reading("count") as present:
            return {name: self._count(name) for name in sorted(present)}

    def empty(self) -> bool:
        """Tell whether the store holds no sighting.

        Raises:
            StoreError
        """
        with self._reading("count") as present:
            return not any(self._count(name) for name in sorted(present))

    def close(self) -> None:
        """Flush and close; a broken store is left as it is, for the next to replay its log.

        Raises:
            StorageFullError, StoreError: the last flush failed; nothing acknowledged is lost.
        """
        with self._lock:
            if self._closed:
                return
            try:
                if not self._broken:
                    self._flush()
            finally:
                self._drop()

    def _connect(self, open_s: float) -> Any:
        with store_errors("open", self._name):
            address = self._lite.uri if self._lite is not None else str(self._where)
            # A server of our own answers frequent pings of an idle client by hanging up.
            options = {"grpc.keepalive_time_ms": NO_PINGS_MS} if self._lite is not None else {}
            return client_library().MilvusClient(address, timeout=open_s, grpc_options=options)

    def _prepare(self) -> set[str]:
        """Make the collection if there is none, load it, and return its day partitions."""
        with store_errors("open", self._name):
            if not self._client.has_collection(COLLECTION, timeout=OPEN_S):
                self._create()
            self._client.load_collection(COLLECTION, timeout=READ_S)
            return self._days()

    def _create(self) -> None:
        index = None
        if self._lite is None:
            index = self._client.prepare_index_params()
            index.add_index(VECTOR, index_type="FLAT", metric_type="COSINE")
        self._client.create_collection(
            COLLECTION,
            schema=schema(client_library()),
            index_params=index,
            consistency_level="Strong",
            timeout=OPEN_S,
        )

    def _heal(self) -> None:
        """Make rows one that a killed owner left in its log and in a file: see ``LiteServer``.

        On a disk too full to write to they stay two; ``query`` and ``search`` see them as one.
        """
        for ids in batched(self._lite.replayed if self._lite is not None else (), BATCH_ROWS):
            with store_errors("read", self._name):
                rows = self._rows(f"id in {quoted(ids)} and ts >= 0", sorted(self._partitions))
            self._pending += len(rows)
            seen = Counter(row.id for row in rows)
            doubled = [row for row in rows if seen[row.id] > 1]
            if doubled and (self._guard is None or self._guard.roomy(ROW_BYTES * len(rows))):
                self.upsert(doubled)

    def _days(self) -> set[str]:
        names = self._client.list_partitions(COLLECTION, timeout=OPEN_S)
        return {name for name in names if is_day(name)}

    def _write_day(self, partition: str, rows: list[dict[str, object]]) -> None:
        if partition not in self._partitions:
            self._client.create_partition(COLLECTION, partition, timeout=WRITE_S)
            self._partitions.add(partition)
        for batch in batched(rows, BATCH_ROWS):
            self._client.upsert(COLLECTION, batch, partition_name=partition, timeout=WRITE_S)
            if not self._pending:
                self._pending_since_s = self._clock()
            self._pending += len(batch)

    def _flush_if_due(self, now_s: float) -> None:
        policy = self._flush_policy
        waited_s = now_s - self._pending_since_s
        if self._pending >= policy.rows or (self._pending and waited_s >= policy.seconds):
            self._flush()

    def _flush(self) -> None:
        """Lite only: a server flushes by itself, and limits how often it may be told to."""
        if self._lite is None or not self._pending:
            return
        with self._writing("flush"):
            self._client.flush(COLLECTION, timeout=WRITE_S)
        self._pending = 0
        self._measure()

    def _measure(self) -> None:
        if self._guard is not None and isinstance(self._where, Path):
            self._guard.measure(self._where)

    def _count(self, partition: str) -> int:
        """Lite counts a partition exactly; a server's statistics lag, so its rows are counted."""
        if self._lite is not None:
            stats = self._client.get_partition_stats(COLLECTION, partition, timeout=READ_S)
            return int(stats["row_count"])
        (row,) = self._client.query(
            COLLECTION,
            filter="",
            output_fields=["count(*)"],
            partition_names=[partition],
            timeout=READ_S,
        )
        return int(row["count(*)"])

    def _rows(self, text: str, partitions: list[str]) -> list[Sighting]:
        rows = self._client.query(
            COLLECTION,
            filter=text,
            output_fields=list(FIELDS),
            partition_names=partitions,
            timeout=READ_S,
        )
        return [to_sighting(row) for row in rows]

    @property
    def _name(self) -> Path | str:
        if isinstance(self._where, Path):
            return self._where
        scheme, _, rest = self._where.rpartition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    @contextmanager
    def _reading(self, action: str) -> Iterator[set[str]]:
        """Hold the store for a read; gives the day partitions that exist."""
        with self._lock:
            self._usable()
            with store_errors(action, self._name):
                yield self._partitions if self._lite is not None else self._days()

    @contextmanager
    def _writing(self, action: str) -> Iterator[None]:
        """Hold Lite to be broken after any error: see the module's text.

        Ctrl-C as well: the call goes on in the server, and nothing may be written beside it.
        """
        try:
            with store_errors(action, self._name):
                yield
        except BaseException as error:
            if self._lite is not None:
                self._broken = str(error) or "interrupted while writing"
            raise

    def _usable(self) -> None:
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        if self._broken:
            raise StoreError(
                f"{self._name} failed earlier and must be opened again ({self._broken})"
            )

    def _drop(self) -> None:
        self._closed = True
        client = getattr(self, "_client", None)
        if client is not None:
            with store_errors("close", self._name):
                client.close()
        if self._lite is None:
            return
        with store_errors("close", self._name):
            if self._broken or client is None:
                self._lite.abandon()
            else:
                self._lite.close()


def _hit(hit: Mapping[str, Any]) -> tuple[Sighting, float]:
    return to_sighting({**hit["entity"], "id": hit["id"]}), float(hit["distance"])


def batched(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Return rows in lists of at most ``size``."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def _by_day(sightings: Iterable[Sighting]) -> dict[str, list[dict[str, object]]]:
    """Sort rows by day partition; of two with one id the later given stays."""
    unique = {sighting.id: sighting for sighting in sightings}
    days: dict[str, list[dict[str, object]]] = defaultdict(list)
    for sighting in unique.values():
        days[partition_of(sighting.captured_at_ms)].append(to_row(sighting))
    return days
