import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gallery.disk import DiskGuard
from gallery.errors import GalleryLockedError, StoreError
from gallery.limits import Limits
from gallery.lite import logged_ids
from gallery.search import SearchQuery, best_hits
from gallery.store import FlushPolicy, VectorStore
from gallery.values import Sighting

Make = Callable[..., Sighting]
DAY_MS = 86_400_000


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sightings.db"


@pytest.fixture
def store(folder: Path, clock: Clock) -> Iterator[VectorStore]:
    opened = VectorStore(folder, clock=clock)
    yield opened
    opened.close()


def logs(folder: Path) -> int:
    """Bytes in the store's log: rows that no flush has moved yet."""
    return sum(one.stat().st_size for one in folder.rglob("wal_data_*.arrow"))


def same(one: Sighting, other: Sighting) -> bool:
    fields = set(Sighting.__slots__) - {"embedding"}
    return all(getattr(one, name) == getattr(other, name) for name in fields) and np.array_equal(
        one.embedding, other.embedding
    )


def test_sighting_comes_back_exactly(store: VectorStore, make_sighting: Make) -> None:
    written = make_sighting(crop="crops/cam1/20260302/x.jpg")
    store.upsert([written])
    (read,) = store.query(Limits())
    assert same(read, written)
    assert read.embedding.dtype == np.float32
    ((found, score),) = store.search(written.embedding[None], Limits(), 5)[0]
    assert same(found, written)
    assert score == pytest.approx(1.0, abs=1e-6)
    assert same(store.get([written.id, "0" * 32])[written.id], written)


def test_writing_again_changes_nothing(
    store: VectorStore, folder: Path, make_sighting: Make, morning_ms: int
) -> None:
    batch = [make_sighting("cam1", morning_ms + step) for step in range(20)]
    store.upsert(batch)
    store.flush()
    store.upsert(batch + batch)
    assert store.counts() == {"d20260302": 20}
    store.flush()
    assert len(store.query(Limits())) == 20
    store.close()
    reopened = VectorStore(folder)
    assert reopened.counts() == {"d20260302": 20}
    reopened.close()


def test_rows_lie_in_the_partition_of_their_utc_day(
    store: VectorStore, make_sighting: Make, morning_ms: int
) -> None:
    assert store.empty()
    midnight = morning_ms - morning_ms % DAY_MS
    store.upsert(make_sighting("cam1", at) for at in (midnight - 1, midnight, midnight + DAY_MS))
    assert store.counts() == {"d20260301": 1, "d20260302": 1, "d20260303": 1}
    assert not store.empty()
    asked = [one.captured_at_ms for one in store.query(Limits(None, midnight, midnight + DAY_MS))]
    assert asked == [midnight]


def test_search_of_days_that_hold_nothing(store: VectorStore, make_sighting: Make) -> None:
    one = make_sighting()
    store.upsert([one])
    assert store.search(one.embedding[None], Limits(None, 0, 1000), 5) == [[]]
    assert store.search(one.embedding[None], Limits(("cam9",)), 5) == [[]]


def test_excluded_rows_do_not_take_a_place(
    store: VectorStore, make_sighting: Make, morning_ms: int
) -> None:
    batch = [make_sighting("cam1", morning_ms + step) for step in range(5)]
    store.upsert(batch)
    (hits,) = store.search(batch[0].embedding[None], Limits(), 4, exclude=[batch[0].id])
    assert {one.id for one, _ in hits} == {one.id for one in batch[1:]}


def test_rows_are_flushed_by_number(folder: Path, make_sighting: Make, clock: Clock) -> None:
    store = VectorStore(folder, flush=FlushPolicy(rows=10, seconds=1e9), clock=clock)
    store.upsert(make_sighting("cam1", step) for step in range(9))
    assert logs(folder) > 0
    store.upsert([make_sighting("cam1", 9)])
    assert logs(folder) == 0
    store.close()


def test_rows_are_flushed_by_age(
    store: VectorStore, folder: Path, make_sighting: Make, clock: Clock
) -> None:
    store.upsert([make_sighting("cam1", 1)])
    clock.now_s += 4.9
    store.upsert([make_sighting("cam1", 2)])
    assert logs(folder) > 0
    clock.now_s += 0.1
    store.upsert([make_sighting("cam1", 3)])
    assert logs(folder) == 0
    store.upsert([make_sighting("cam1", 4)])
    clock.now_s += 4.9
    store.upsert([make_sighting("cam1", 5)])
    assert logs(folder) > 0, "age counts from the first row after a flush"


def test_second_opener_is_told(store: VectorStore, folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gallery.store import VectorStore\n"
        "from gallery.errors import GalleryLockedError\n"
        "try: VectorStore(Path(sys.argv[1]))\n"
        "except GalleryLockedError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stdout == (
        f"gallery {folder.parent} is in use by another process; only one at a time may open it: "
        "wait until that one ends, or stop it\n"
    )
    assert run.stderr == ""
    with pytest.raises(GalleryLockedError, match="in use"):
        VectorStore(folder)
    assert store.empty()


def test_process_that_ends_without_closing_loses_nothing(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from gallery.store import VectorStore; from gallery.values import Sighting\n"
        "store = VectorStore(Path(sys.argv[1]))\n"
        "vector = np.eye(1, 256, dtype=np.float32)[0]\n"
        "store.upsert([Sighting('0' * 32, 'c', 5, 't', (0, 0, 1, 1), 1, 1, vector, '', 'm')])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    store = VectorStore(folder)
    assert store.counts() == {"d19700101": 1}
    store.close()


def test_socket_is_private_and_goes_with_the_store(folder: Path) -> None:
    store = VectorStore(folder)
    assert store._lite is not None
    sockets = store._lite._sockets
    assert sockets.stat().st_mode & 0o077 == 0
    store.close()
    assert not sockets.exists()
    with pytest.raises(StoreError, match="is closed"):
        store.empty()
    store.close()


def test_long_name_of_the_temporary_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    store = VectorStore(folder)
    assert store.empty()
    store.close()
    assert list(deep.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match=r"cannot open .*sightings\.db: .*No such file"):
        VectorStore(folder)


def test_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sightings.db").write_text("not a store")
    with pytest.raises(StoreError, match=r"cannot open .*sightings\.db"):
        VectorStore(tmp_path / "sightings.db")


def test_error_while_writing_stops_everything_until_reopened(
    folder: Path, make_sighting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VectorStore(folder)
    store.upsert([make_sighting("cam1", 1)])

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store._client, "upsert", fail)
    with pytest.raises(StoreError, match=r"cannot write to .*Input/output error"):
        store.upsert([make_sighting("cam1", 2)])
    monkeypatch.undo()
    assert "Input/output error" in store.broken
    attempts: list[Callable[[], object]] = [
        lambda: store.upsert([make_sighting("cam1", 2)]),
        lambda: store.query(Limits()),
        store.flush,
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match="failed earlier and must be opened again"):
            attempt()
    store.close()
    reopened = VectorStore(folder)
    assert [one.captured_at_ms for one in reopened.query(Limits())] == [1]
    reopened.upsert([make_sighting("cam1", 2)])
    assert len(reopened.query(Limits())) == 2
    reopened.close()


def test_interrupted_write_ends_the_store_and_loses_nothing(
    folder: Path, make_sighting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VectorStore(folder)
    store.upsert([make_sighting("cam1", 1)])

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store._client, "upsert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.upsert([make_sighting("cam1", 2)])
    assert store.broken == "interrupted while writing"
    store.close()
    reopened = VectorStore(folder)
    assert [one.captured_at_ms for one in reopened.query(Limits())] == [1]
    reopened.close()


@pytest.mark.parametrize("room", [True, False], ids=["room to mend", "full disk"])
def test_owner_killed_between_file_and_log_leaves_no_twins(
    folder: Path, make_sighting: Make, morning_ms: int, room: bool
) -> None:
    store = VectorStore(folder, flush=FlushPolicy(rows=1000, seconds=1e9))
    batch = [make_sighting("cam1", morning_ms + step) for step in range(30)]
    store.upsert(batch)
    (log,) = folder.rglob("wal_data_*.arrow")
    kept = log.read_bytes()
    store.close()
    assert not log.exists()
    log.write_bytes(kept)

    guard = DiskGuard(folder.parent, free=lambda _: 2**40 if room else 0)
    reopened = VectorStore(folder, guard=guard)
    if room:
        assert reopened.counts() == {"d20260302": 30}
    assert len(reopened.query(Limits())) == 30
    query = SearchQuery(batch[0].embedding[None], top=25)
    hits = best_hits(reopened, query, Limits())
    assert len({hit.sighting.id for hit in hits}) == 25
    reopened.close()


def test_log_that_was_cut_short_gives_the_ids_before_the_cut(
    folder: Path, make_sighting: Make, morning_ms: int
) -> None:
    store = VectorStore(folder, flush=FlushPolicy(rows=1000, seconds=1e9))
    first, second = (make_sighting("cam1", morning_ms + step) for step in range(2))
    store.upsert([first])
    store.upsert([second])
    (log,) = folder.rglob("wal_data_*.arrow")
    assert logged_ids(folder) == (first.id, second.id)
    store.close()
    log.write_bytes(b"")
    assert logged_ids(folder) == ()


def test_server_that_is_not_there() -> None:
    with pytest.raises(StoreError, match=r"cannot open http://127\.0\.0\.1:1: ") as caught:
        VectorStore("http://user:secret@127.0.0.1:1", open_s=0.5)
    assert "secret" not in str(caught.value)
