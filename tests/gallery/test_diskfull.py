"""A disk that fills: nothing acknowledged is lost, and the guard stops before it is full."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.disk import LEAST_FREE, MIB, DiskGuard
from gallery.errors import StorageFullError, StoreError
from gallery.gallery import Gallery
from gallery.limits import Limits
from gallery.store import FlushPolicy, VectorStore
from gallery.values import CameraState, CoverageSpan, Sighting

Make = Callable[..., Sighting]
Vectors = Callable[[np.random.Generator, int], NDArray[np.float32]]
Batches = Iterator[list[Sighting]]

# A flush that fails leaves Lite's frozen log open: its own file, closed by the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*wal_data:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many MiB in memory."""
    mounted: list[Path] = []

    def mount(size_mib: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
        if shutil.which("mount") is None:
            pytest.skip("no mount command: a small disk cannot be made")
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {run.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def batches(make_sighting: Make, make_vectors: Vectors, morning_ms: int) -> Batches:
    def endless() -> Batches:
        rng = np.random.default_rng(3)
        at_ms = morning_ms
        while True:
            rows = make_vectors(rng, 250)
            yield [make_sighting("cam1", at_ms + index, row) for index, row in enumerate(rows)]
            at_ms += len(rows)

    return endless()


def fill(store: VectorStore, batches: Batches) -> tuple[set[str], StorageFullError]:
    """Write until the disk is full; returns the ids acknowledged, and the error."""
    acknowledged: set[str] = set()
    for batch in batches:
        try:
            store.upsert(batch)
        except StorageFullError as error:
            return acknowledged, error
        acknowledged |= {one.id for one in batch}
    raise AssertionError("the batches ended")


@contextmanager
def opened(folder: Path, **options: object) -> Iterator[VectorStore]:
    store = VectorStore(folder, **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


@pytest.mark.parametrize("flush_rows", [500, 10**9], ids=["flushing", "log only"])
def test_full_disk_loses_nothing_that_was_acknowledged(
    small_disk: Callable[[int], Path], batches: Batches, flush_rows: int
) -> None:
    disk = small_disk(14)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(9 * MIB))
    policy = FlushPolicy(rows=flush_rows, seconds=1e9)
    with opened(disk / "s.db", flush=policy) as store:
        acknowledged, error = fill(store, batches)
        assert "No space left on device" in str(error)
        assert acknowledged
        with pytest.raises(StoreError, match="must be opened again"):
            store.upsert(next(batches))
    ballast.unlink()
    with opened(disk / "s.db", flush=policy) as store:
        found = [one.id for one in store.query(Limits())]
        assert acknowledged <= set(found)
        assert len(found) == len(set(found))
        more = next(batches)
        store.upsert(more)
        acknowledged |= {one.id for one in more}
        store.flush()
    with opened(disk / "s.db") as store:
        assert acknowledged <= {one.id for one in store.query(Limits())}


def test_guard_stops_before_the_disk_is_full(
    small_disk: Callable[[int], Path], batches: Batches
) -> None:
    disk = small_disk(80)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(6 * MIB))
    with opened(disk / "s.db", guard=DiskGuard(disk)) as store:
        acknowledged, error = fill(store, batches)
        assert "must stay free; nothing was written" in str(error)
        assert shutil.disk_usage(disk).free >= LEAST_FREE
        assert store.broken == ""
        assert {one.id for one in store.query(Limits())} == acknowledged
        ballast.unlink()
        store.upsert(next(batches))


def test_gallery_on_a_full_disk_takes_neither_crop_nor_sighting(
    small_disk: Callable[[int], Path], batches: Batches, model: str, morning_ms: int
) -> None:
    disk = small_disk(80)
    with Gallery.open(disk / "g", model=model, create=True) as gallery:
        one = next(batches)[0]
        gallery.write([one])
        (disk / "ballast").write_bytes(bytes(20 * MIB))
        with pytest.raises(StorageFullError, match=r"gallery .*/g: \d+ MiB of disk are left"):
            gallery.put_crop(one.id, "cam1", morning_ms, b"jpeg")
        with pytest.raises(StorageFullError, match="nothing was written"):
            gallery.write(next(batches))
        assert not (gallery.path / "crops").exists()
        gallery.record(CoverageSpan("cam1", CameraState.WATCHED, morning_ms, morning_ms + 5))
        assert [found.id for found in gallery.sightings()] == [one.id]


def test_gallery_that_cannot_be_made_on_a_full_disk(
    small_disk: Callable[[int], Path], model: str
) -> None:
    disk = small_disk(1)
    with pytest.raises(OSError, match="No space left"):
        (disk / "ballast").write_bytes(bytes(2 * MIB))
    with pytest.raises(StorageFullError, match=r"cannot .*No space left on device"):
        Gallery.open(disk / "g", model=model, create=True)
