"""The spool: nothing that it took is lost, it stays within its bounds, one process has it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gallery.disk import DiskGuard
from streamer.delivery.entry import Entry
from streamer.delivery.spool import Spool
from streamer.errors import SpoolError, SpoolFullError

ROOT = Path(__file__).parents[3]


def entry(number: int, size: int = 10) -> Entry:
    return Entry("sighting", "m", f"{number}".encode(), b"vector", b"j" * size)


def fill(spool: Spool) -> None:
    """Append until it refuses."""
    while True:
        spool.append([entry(1, 60_000)], 0)


@pytest.fixture
def spool(tmp_path: Path):
    with_file = Spool(tmp_path / "sub" / "spool.sqlite")
    yield with_file
    with_file.close()


def test_entries_come_out_in_order_and_whole(spool: Spool) -> None:
    assert spool.append([entry(1), entry(2)], 1000) == 2
    assert spool.append([entry(3, 99)], 2000) == spool.last_seq == 3
    assert [item.entry for item in spool.after(0)] == [entry(1), entry(2), entry(3, 99)]
    assert [item.seq for item in spool.after(1)] == [2, 3]
    assert (spool.count, spool.oldest_ms(), spool.oldest_ms(2)) == (3, 1000, 2000)
    spool.remove(2)
    assert [item.seq for item in spool.after(0)] == [3]
    assert (spool.count, spool.bytes, spool.waiting(0)) == (1, entry(3, 99).size, 1)
    spool.remove(3)
    assert (spool.count, spool.bytes, spool.oldest_ms(), spool.after(0)) == (0, 0, None, [])
    assert spool.append([entry(4)], 3000) == 4


def test_batches_are_bounded_but_never_empty(spool: Spool) -> None:
    spool.append([entry(n, 1000) for n in range(10)], 0)
    assert len(spool.after(0, most=4)) == 4
    assert len(spool.after(0, most_bytes=3500)) == 3
    assert len(spool.after(0, most_bytes=10)) == 1


def test_it_is_all_there_after_it_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    first = Spool(path)
    first.append([entry(1), entry(2)], 5)
    first.remove(1)
    first.close()
    again = Spool(path)
    assert [item.seq for item in again.after(0)] == [2]
    assert (again.count, again.bytes, again.last_seq) == (1, entry(2).size, 2)
    again.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_commit_is_synced_to_the_disk(spool: Spool) -> None:
    """SQLite: 2 is FULL; a power cut cannot be made here."""
    assert spool._rows("PRAGMA synchronous") == [(2,)]
    assert spool._rows("PRAGMA journal_mode") == [("wal",)]


def test_over_its_limit_it_takes_nothing_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", most_bytes=2500)
    spool.append([entry(1, 1000)], 0)
    with pytest.raises(SpoolFullError, match=r"s\.sqlite is full: 1 entries"):
        spool.append([entry(2, 800), entry(3, 800)], 0)
    assert spool.count == 1
    spool.remove(1)
    spool.append([entry(2, 800), entry(3, 800)], 0)
    spool.close()


def test_the_guard_keeps_the_disk_from_filling(tmp_path: Path) -> None:
    free = [2**20]
    guard = DiskGuard(tmp_path, free=lambda path: free[0], least=2**19)
    spool = Spool(tmp_path / "s.sqlite", guard=guard)
    spool.append([entry(1)], 0)
    free[0] = 2**19
    with pytest.raises(SpoolFullError, match="the disk under it is nearly full"):
        spool.append([entry(2)], 0)
    spool.remove(1)
    spool.close()


@pytest.mark.services
def test_a_disk_that_is_full_loses_nothing(small_disk, tmp_path: Path) -> None:
    folder = small_disk(3)
    spool = Spool(folder / "s.sqlite", guard=DiskGuard(folder, least=0))
    with pytest.raises(SpoolFullError, match=r"full"):
        fill(spool)
    kept = spool.count
    assert 10 < kept < 60
    found = [item.seq for item in spool.after(0, most=100, most_bytes=2**30)]
    assert found == list(range(1, kept + 1))
    spool.close()
    again = Spool(folder / "s.sqlite", guard=DiskGuard(folder, least=0))
    assert again.count == kept
    again.close()


def test_a_removed_backlog_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    spool = Spool(path)
    for _ in range(20):
        last = spool.append([entry(1, 50_000) for _ in range(10)], 0)
    spool.remove(last)
    spool.close()
    assert path.stat().st_size < 2**20


def test_what_is_refused_is_set_aside(spool: Spool) -> None:
    spool.append([entry(1), entry(2)], 0)
    spool.refuse(1, "no good")
    spool.remove(2)
    assert (spool.count, spool.refused) == (0, 1)


def test_another_process_is_told(spool: Spool) -> None:
    script = (
        "import sys; from pathlib import Path; from streamer.delivery.spool import Spool\n"
        "from streamer.errors import SpoolError\n"
        "try: Spool(Path(sys.argv[1]))\n"
        "except SpoolError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(spool.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is in use by another process" in done.stdout


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(SpoolError, match=r"cannot open spool .*s\.sqlite"):
        Spool(tmp_path / "s.sqlite")


def test_threads_share_it(spool: Spool) -> None:
    def fill() -> None:
        for number in range(50):
            spool.append([entry(number)], 0)

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spool.count == spool.last_seq == 200
    assert [item.seq for item in spool.after(0, most=500)] == list(range(1, 201))


KILLED = """
import sys
from pathlib import Path
from streamer.delivery.entry import Entry
from streamer.delivery.spool import Spool
spool = Spool(Path(sys.argv[1]))
number = 0
while True:
    number = spool.append([Entry("sighting", "m", b"b", b"e", b"j" * 3000)] * 3, 0)
    print(number, flush=True)
"""


def test_killed_it_has_all_that_it_took(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    out, _ = process.communicate()
    told += [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
    spool = Spool(path)
    assert spool.last_seq >= told[-1]
    assert spool.count == spool.last_seq
    assert spool.count % 3 == 0
    spool.close()
