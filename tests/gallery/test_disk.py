import errno
import os
from pathlib import Path

import pytest

from gallery.disk import (
    LEAST_FREE,
    MIB,
    MOST_COMPACTION,
    DiskGuard,
    mapped_errors,
    tree_bytes,
    write_atomic,
)
from gallery.errors import StorageFullError, StoreError


def test_file_is_replaced_whole_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.json"
    write_atomic(target, b"one")
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert [one.name for one in target.parent.iterdir()] == ["b.json"]


def test_exclusive_write_keeps_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "b.json"
    write_atomic(target, b"one", exclusive=True)
    with pytest.raises(FileExistsError, match=r"b\.json"):
        write_atomic(target, b"two", exclusive=True)
    assert target.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["b.json"]


def test_exclusive_write_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "b.json"
    write_atomic(target, b"one", exclusive=True)
    with pytest.raises(FileExistsError, match=r"b\.json"):
        write_atomic(target, b"two", exclusive=True)
    assert target.read_bytes() == b"one"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_has_its_own_error(code: int) -> None:
    with (
        pytest.raises(StorageFullError, match=r"cannot write /g/x"),
        mapped_errors("write", Path("/g/x")),
    ):
        raise OSError(code, os.strerror(code))


def test_other_errors_name_file_and_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot .* .*/file.*(exists|directory)"):
        write_atomic(tmp_path / "file" / "b.json", b"")


def test_guard_lets_pass_what_leaves_the_reserve(tmp_path: Path) -> None:
    free = LEAST_FREE + 1000
    guard = DiskGuard(tmp_path, free=lambda _: free)
    guard.require(1000)
    with pytest.raises(StorageFullError, match=r"64 MiB must stay free; nothing was written"):
        guard.require(1001)


def test_reserve_grows_with_the_store_up_to_a_compaction(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, free=lambda _: 0)
    store = tmp_path / "store"
    store.mkdir()
    with (store / "one").open("wb") as file:
        file.truncate(5 * MIB)
    guard.measure(store)
    assert guard.reserve == LEAST_FREE + 5 * MIB
    with (store / "two").open("wb") as file:
        file.truncate(2 * MOST_COMPACTION)
    guard.measure(store)
    assert guard.reserve == LEAST_FREE + MOST_COMPACTION


def test_guard_asks_the_real_disk(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, least=0)
    guard.require(1)
    with pytest.raises(StorageFullError, match="0 MiB must stay free"):
        guard.require(2**62)


def test_tree_bytes_counts_files_of_all_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"4567")
    assert tree_bytes(tmp_path) == 7
    assert tree_bytes(tmp_path / "missing") == 0
