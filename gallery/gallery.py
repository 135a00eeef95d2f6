"""A gallery: a folder of sightings, their crops, and the record of what was watched.

```
gallery.json      format, model id, links between cameras
sightings.db/     vectors keyed by camera and time (Milvus Lite)
crops/<camera>/<YYYYMMDD>/<id>.jpg
coverage.sqlite   when each camera was watched
```
One process at a time opens it; in that process any thread may use it. It holds the vectors of
one model; others are refused.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from gallery.checks import check_sightings
from gallery.coverage import Coverage, coverage_of
from gallery.coverage_log import CoverageLog
from gallery.disk import DiskGuard, mapped_errors, tree_bytes, write_atomic
from gallery.errors import (
    GalleryError,
    GalleryNotFoundError,
    InvalidQueryError,
    InvalidSightingError,
    ModelMismatchError,
)
from gallery.limits import SIGHTING_ID, TRACKLET, Limits, check_interval, match_cameras
from gallery.manifest import FILE, GalleryManifest, entries, read_manifest, write_manifest
from gallery.search import Hit, SearchAnswer, SearchQuery, best_hits
from gallery.store import FlushPolicy, VectorStore
from gallery.values import CAMERA_NAME, LAST_MS, CoverageSpan, Link, Sighting, day_of

STORE = "sightings.db"
CROPS = "crops"
COVERAGE = "coverage.sqlite"
SHORT = 12
"""So many characters of a model id mostly tell models apart in a message."""
HARMLESS = ("lost+found",)
"""What an empty folder may hold, beside hidden files."""


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """What a gallery holds. ``days`` maps UTC days, ``YYYYMMDD``, to sightings."""

    path: Path
    model: str
    created: datetime
    sightings: int
    days: tuple[tuple[str, int], ...]
    cameras: tuple[str, ...]
    links: tuple[Link, ...]
    recorded_since_ms: int | None
    recorded_until_ms: int | None
    store_bytes: int
    crop_bytes: int


class Gallery:
    """An open gallery; make it with ``Gallery.open``."""

    path: Path
    model: str

    def __init__(
        self,
        path: Path,
        manifest: GalleryManifest,
        *,
        guard: DiskGuard | None = None,
        flush: FlushPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.model = manifest.model
        self._manifest = manifest
        self._guard = guard or DiskGuard(path)
        self._empty = True
        self._store = VectorStore(path / STORE, guard=self._guard, flush=flush, clock=clock)
        try:
            self._log = CoverageLog(path / COVERAGE)
        except GalleryError:
            self._store.close()
            raise

    @classmethod
    def open(cls, path: Path, *, model: str | None = None, create: bool = False) -> "Gallery":
        """Open a gallery, or make one for a model.

        Raises:
            GalleryNotFoundError: there is none, and none shall be made.
            ModelMismatchError: it holds another model's vectors.
            GalleryLockedError: another process has it open.
            GalleryError: it is damaged, or may not be made there.
        """
        return cls(path, find_or_make(path, model=model, create=create))

    @property
    def links(self) -> tuple[Link, ...]:
        """How people walk between the cameras, as far as it was declared."""
        return self._manifest.values()

    @property
    def cameras(self) -> tuple[str, ...]:
        """All cameras that ever wrote or recorded."""
        return self._log.cameras

    @property
    def broken(self) -> str:
        """What failed while writing, so that the gallery must be opened again; "" = sound."""
        return self._store.broken

    def set_links(self, links: Sequence[Link]) -> None:
        """Keep the links between cameras with the gallery.

        Raises:
            GalleryError: a link cannot be.
        """
        manifest = self._manifest.model_copy(update={"links": entries(links)})
        write_manifest(self.path, manifest)
        self._manifest = manifest

    def write(self, sightings: Sequence[Sighting]) -> None:
        """Store sightings; returns when the store has them. Writing one again changes nothing.

        Raises:
            InvalidSightingError: one may not be stored; then none of them is.
            StorageFullError: the disk has too little room.
            StoreError: the store failed.
        """
        check_sightings(sightings, self.model)
        if sightings:
            self._log.know(sighting.camera for sighting in sightings)
            self._store.upsert(sightings)

    def put_crop(self, sighting: str, camera: str, captured_at_ms: int, jpeg: bytes) -> str:
        """Keep the crop of a sighting, given its id; returns its path inside the gallery.

        Raises:
            InvalidSightingError: the id, camera or time cannot be.
            StorageFullError: the disk has too little room.
            StoreError: it cannot be written.
        """
        if not SIGHTING_ID.fullmatch(sighting) or not CAMERA_NAME.fullmatch(camera):
            raise InvalidSightingError(f"no crop can be kept for {sighting!r} of {camera!r}")
        if not 0 <= captured_at_ms < LAST_MS:
            raise InvalidSightingError(f"crop of {sighting}: {captured_at_ms} ms is no time")
        self._guard.require(len(jpeg))
        relative = f"{CROPS}/{camera}/{day_of(captured_at_ms)}/{sighting}.jpg"
        write_atomic(self.path / relative, jpeg, durable=False)
        return relative

    def crop(self, sighting: Sighting) -> bytes | None:
        """Return the JPEG of a sighting's crop; None when there is none.

        Raises:
            StoreError: it is there and cannot be read.
        """
        path = (self.path / sighting.crop).resolve()
        inside = path.is_relative_to((self.path / CROPS).resolve())
        if not sighting.crop or not inside or not path.is_file():
            return None
        with mapped_errors("read", path):
            return path.read_bytes()

    def flush(self) -> None:
        """Move what was written from the store's log to its files.

        Raises:
            StorageFullError, StoreError
        """
        self._store.flush()

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings in the order of their ids; ids that are not there are left out.

        Raises:
            StoreError
        """
        asked = list(dict.fromkeys(name for name in ids if SIGHTING_ID.fullmatch(name)))
        found = self._store.get(asked)
        return [found[name] for name in asked if name in found]

    def tracklet(self, tracklet: str) -> list[Sighting]:
        """Return the shots of a tracklet, oldest first.

        Raises:
            StoreError
        """
        return self.tracklets([tracklet])

    def tracklets(self, names: Sequence[str], query: SearchQuery | None = None) -> list[Sighting]:
        """Return all shots of some tracklets, oldest first, within a query's limits.

        Raises:
            StoreError
        """
        asked = [name for name in names if TRACKLET.fullmatch(name)]
        limits = Limits() if query is None else self.limits(query)
        return self._store.query(limits, tracklets=asked) if asked else []

    def sightings(
        self,
        *,
        cameras: Sequence[str] = (),
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> list[Sighting]:
        """Return all sightings of some cameras (globs) in an interval, oldest first.

        Raises:
            InvalidQueryError: no camera matches, or the interval is empty.
            StoreError
        """
        chosen = match_cameras(cameras, self.cameras)
        return self._store.query(Limits(chosen, since_ms, until_ms))

    def limits(self, query: SearchQuery) -> Limits:
        """Return the limits of a query with its globs resolved to known cameras.

        Raises:
            InvalidQueryError: a glob matches no camera.
        """
        cameras = match_cameras(query.cameras, self.cameras)
        return Limits(cameras, query.since_ms, query.until_ms)

    def search(self, query: SearchQuery) -> SearchAnswer:
        """Return the sightings most like the query within its limits, exactly, best first.

        Raises:
            InvalidQueryError: no camera matches, or the gallery holds no sightings.
            StoreError
        """
        self.require_sightings()
        results = self.hits(query)
        return SearchAnswer(results, self.coverage_for(query), True, _note(query, len(results)))

    def hits(self, query: SearchQuery) -> tuple[Hit, ...]:
        """Return only the results of a search.

        Raises:
            InvalidQueryError: no camera matches.
            StoreError
        """
        return best_hits(self._store, query, self.limits(query))

    def require_sightings(self) -> None:
        """Refuse to be asked while empty: an empty answer would read as "nowhere".

        Raises:
            InvalidQueryError: the gallery holds no sightings.
        """
        self._empty = self._empty and self._store.empty()
        if self._empty:
            raise InvalidQueryError(f"gallery {self.path} holds no sightings")

    def record(self, span: CoverageSpan) -> None:
        """Keep what a camera did for a while; called again with a later end as time goes on.

        Raises:
            InvalidSightingError: no such span can be.
            StorageFullError, StoreError
        """
        self._log.record(span)

    def coverage(
        self,
        *,
        cameras: Sequence[str] = (),
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Coverage:
        """Return what some cameras (globs) covered; an open end is that of the whole record.

        Raises:
            InvalidQueryError: no camera matches, or the interval is empty.
            StoreError
        """
        check_interval(since_ms, until_ms)
        first, last = self._log.extent() or (0, 0)
        since = first if since_ms is None else since_ms
        until = last if until_ms is None else until_ms
        known = self.cameras
        chosen = match_cameras(cameras, known)
        names = known if chosen is None else chosen
        return coverage_of(self._log.spans(since, until, names), names, since, max(since, until))

    def coverage_for(self, query: SearchQuery) -> Coverage:
        """Return what was covered of the cameras and the time that a query asks about."""
        return self.coverage(
            cameras=query.cameras, since_ms=query.since_ms, until_ms=query.until_ms
        )

    def info(self) -> GalleryInfo:
        """Return what the gallery holds.

        Raises:
            StoreError
        """
        days = tuple((name[1:], count) for name, count in self._store.counts().items() if count)
        since, until = self._log.extent() or (None, None)
        return GalleryInfo(
            path=self.path,
            model=self.model,
            created=self._manifest.created,
            sightings=sum(count for _, count in days),
            days=days,
            cameras=self.cameras,
            links=self.links,
            recorded_since_ms=since,
            recorded_until_ms=until,
            store_bytes=tree_bytes(self.path / STORE),
            crop_bytes=tree_bytes(self.path / CROPS),
        )

    def close(self) -> None:
        """Flush and close.

        Raises:
            StorageFullError, StoreError: the last flush failed; nothing acknowledged is lost.
        """
        try:
            self._store.close()
        finally:
            self._log.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def find_or_make(path: Path, *, model: str | None, create: bool) -> GalleryManifest:
    """Return the manifest of a gallery, made now if there is none and one shall be made.

    Raises:
        GalleryNotFoundError, ModelMismatchError, GalleryError
    """
    if path.exists() and not path.is_dir():
        raise GalleryNotFoundError(f"{path} is a file; a gallery is a folder")
    if not (path / FILE).is_file():
        if not create:
            raise GalleryNotFoundError(
                f"{path} is not a gallery: it has no {FILE}"
                if path.is_dir()
                else f"no gallery lies at {path}"
            )
        return _make(path, model)
    manifest = read_manifest(path)
    if model is not None and model != manifest.model:
        short = SHORT if model[:SHORT] != manifest.model[:SHORT] else None
        raise ModelMismatchError(
            f"gallery {path} holds vectors of model {manifest.model[:short]}, the engine is "
            f"{model[:short]}: vectors of two models cannot be compared"
        )
    return manifest


def _make(path: Path, model: str | None) -> GalleryManifest:
    if not model:
        raise GalleryError(f"cannot make gallery {path}: which model's vectors shall it hold?")
    with mapped_errors("make gallery", path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        strangers = sorted(
            one.name for one in path.iterdir() if one.name not in HARMLESS and one.name[0] != "."
        )
    if strangers:
        raise GalleryError(
            f"cannot make a gallery in {path}: the folder is not empty ({strangers[0]!r})"
        )
    manifest = GalleryManifest(format=1, model=model, created=datetime.now(UTC))
    try:
        write_manifest(path, manifest, exclusive=True)
    except FileExistsError:
        return find_or_make(path, model=model, create=False)
    return manifest


def _note(query: SearchQuery, found: int) -> str:
    compared = "every stored sighting within the limits was compared"
    if found < query.top:
        return f"{compared}; there are no more than {found}"
    return f"{compared}; the best {found} are given"
