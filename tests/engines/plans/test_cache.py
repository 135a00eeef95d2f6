"""The cache: whole or not at all, ours alone, and nothing foreign is ever taken."""

import hashlib
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import PlanError
from engines.manifest import seal_manifest
from engines.plans.cache import Plan, PlanCache, default_folder
from engines.plans.entry import MANIFEST, read_entry
from engines.plans.keys import PlanKey

FILES = {"search.onnx": b"find " * 100, "query.onnx": b"embed"}
MADE = {"when": "2026-03-02T14:00:00+00:00", "seconds": 1.5}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_plan_comes_back_whole(cache: PlanCache, key: PlanKey) -> None:
    assert cache.find(key) is None
    assert not cache.folder.exists(), "looking makes nothing"
    stored = cache.store(key, FILES, MADE)
    found = cache.find(key)
    assert found == stored
    assert found is not None
    assert {name: found.read(name) for name in FILES} == FILES
    assert found.sha256("query.onnx") == hashlib.sha256(b"embed").hexdigest()
    assert (found.made, found.size) == (MADE, 505)


def test_the_cache_is_ours_alone(cache: PlanCache, key: PlanKey) -> None:
    plan = cache.store(key, FILES, MADE)
    for folder in (cache.folder, cache.folder / "plans", plan.path):
        assert mode(folder) == 0o700
    assert {mode(path) for path in plan.path.iterdir()} == {0o600}
    assert {path.name for path in plan.path.iterdir()} == {*FILES, MANIFEST}
    assert [path.name for path in (cache.folder / "plans").iterdir()] == [key.name]


def test_a_newer_plan_replaces_the_older(cache: PlanCache, key: PlanKey) -> None:
    old = cache.store(key, FILES, MADE)
    cache.store(key, {"search.onnx": b"new"}, {**MADE, "seconds": 2})
    found = cache.find(key)
    assert found is not None
    assert set(found.files) == {"search.onnx"}
    with pytest.raises(PlanError, match=r"search\.onnx has 3 bytes, not 500"):
        old.read("search.onnx")
    assert len(cache.plans()) == 1


def test_plans_are_listed_newest_first_and_can_be_removed(
    cache: PlanCache, key: PlanKey, other_key: Callable[..., PlanKey]
) -> None:
    assert cache.plans() == []
    cache.store(key, FILES, MADE)
    newer = cache.store(other_key(precision="fp16"), FILES, {"when": "2026-03-03T00:00:00+00:00"})
    assert [plan.key.precision for plan in cache.plans()] == ["fp16", "int8"]
    cache.remove(newer)
    assert [plan.key.precision for plan in cache.plans()] == ["int8"]
    with pytest.raises(PlanError, match="cannot delete it: No such file"):
        cache.remove(newer)
    with pytest.raises(PlanError, match="does not lie in"):
        cache.remove(replace(newer, path=Path("/tmp")))


def test_a_plan_of_another_runtime_or_machine_is_not_found(
    cache: PlanCache, key: PlanKey, other_key: Callable[..., PlanKey]
) -> None:
    cache.store(key, FILES, MADE)
    assert cache.find(other_key(runtime="onnxruntime 1.1")) is None
    assert cache.find(other_key(machine="slide rule")) is None
    assert cache.find(key) is not None


def truncate(plan: Plan) -> None:
    os.truncate(plan.path / "search.onnx", 100)


def flip(plan: Plan) -> None:
    data = bytearray((plan.path / "search.onnx").read_bytes())
    data[7] ^= 1
    (plan.path / "search.onnx").write_bytes(data)


def swap(plan: Plan) -> None:
    (plan.path / "search.onnx").rename(plan.path / "x")
    (plan.path / "query.onnx").rename(plan.path / "search.onnx")
    (plan.path / "x").rename(plan.path / "query.onnx")


def lose(plan: Plan) -> None:
    (plan.path / "query.onnx").unlink()


def add(plan: Plan) -> None:
    (plan.path / "more.plan").write_bytes(b"?")


def edit(plan: Plan) -> None:
    text = (plan.path / MANIFEST).read_text()
    (plan.path / MANIFEST).write_text(text.replace("abacus avx2", "abacus avx3"))


def cut(plan: Plan) -> None:
    os.truncate(plan.path / MANIFEST, 200)


def link(plan: Plan) -> None:
    path = plan.path / "search.onnx"
    shutil.copy(path, plan.path.parent.parent / "elsewhere")
    path.unlink()
    path.symlink_to(plan.path.parent.parent / "elsewhere")


def pipe(plan: Plan) -> None:
    (plan.path / "search.onnx").unlink()
    os.mkfifo(plan.path / "search.onnx")


def open_to_all(plan: Plan) -> None:
    (plan.path / "search.onnx").chmod(0o666)


def open_folder(plan: Plan) -> None:
    plan.path.chmod(0o770)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncate, r"search\.onnx has 100 bytes, not 500"),
        (flip, r"search\.onnx was changed"),
        (swap, r"query\.onnx has 500 bytes, not 5"),
        (lose, r"query\.onnx: No such file"),
        (add, r"more\.plan does not belong there"),
        (edit, r"plan\.json was changed"),
        (cut, r"plan\.json is damaged"),
        (link, r"search\.onnx: Too many levels of symbolic links"),
        (pipe, r"search\.onnx: it is not a file"),
        (open_to_all, r"others may write to it \(mode 0666\)"),
        (open_folder, r"others may write to it \(mode 0770\); run: chmod go-w"),
    ],
)
def test_a_damaged_plan_is_set_aside_and_told(
    cache: PlanCache,
    key: PlanKey,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Plan], None],
    said: str,
) -> None:
    harm(cache.store(key, FILES, MADE))
    with caplog.at_level(logging.WARNING):
        assert cache.find(key) is None
    (told,) = caplog.messages
    assert re.search(said, told)
    assert told.endswith("it is set aside and made again when it is needed")
    assert (cache.folder / "damaged" / key.name).is_dir()
    assert cache.find(key) is None
    cache.store(key, FILES, MADE)
    assert cache.find(key) is not None


def test_a_plan_under_a_foreign_name_is_never_taken(
    cache: PlanCache,
    key: PlanKey,
    other_key: Callable[..., PlanKey],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when somebody copies the plan of another machine over ours."""
    foreign = other_key(machine="slide rule")
    plan = cache.store(foreign, FILES, MADE)
    plan.path.rename(plan.path.with_name(key.name))
    assert cache.find(key) is None
    assert "it was made for another key than its name says" in caplog.text


def test_a_whole_manifest_with_a_wrong_field_is_told(cache: PlanCache, key: PlanKey) -> None:
    plan = cache.store(key, FILES, MADE)
    fields = json.loads((plan.path / MANIFEST).read_text())
    del fields["seal"]
    for name, value, said in (
        ("format", 2, "format: input should be 1"),
        ("files", {"../x": {"sha256": "0" * 64, "bytes": 1}}, r"files\.\.\./x"),
        ("key", {**fields["key"], "backend": 1}, "backend: input should be a valid string"),
    ):
        (plan.path / MANIFEST).write_bytes(seal_manifest({**fields, name: value}))
        with pytest.raises(PlanError, match=said):
            read_entry(plan.path)


def test_a_link_in_place_of_the_cache_is_refused(tmp_path: Path, cache: PlanCache) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(PlanError, match="it is a symbolic link; name the folder that it leads to"):
        PlanCache(tmp_path / "link")
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanError, match="it is not a folder"):
        PlanCache(tmp_path / "file")


def test_a_link_in_place_of_the_plans_is_not_followed(
    tmp_path: Path, cache: PlanCache, key: PlanKey
) -> None:
    cache.store(key, FILES, MADE)
    (cache.folder / "plans").rename(tmp_path / "moved")
    (cache.folder / "plans").symlink_to(tmp_path / "moved")
    assert cache.find(key) is None
    assert cache.plans() == []
    with pytest.raises(PlanError, match="symbolic link"):
        cache.store(key, FILES, MADE)


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(PlanError, match=rf"others may write to it \(mode 0{bits:o}\); run: chmod"):
        PlanCache(folder)
    folder.chmod(0o755)
    PlanCache(folder)


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    else:
        folder = Path("/usr")
    with pytest.raises(PlanError, match=r"it belongs to user \d+, not to \d+"):
        PlanCache(folder)


def test_what_cannot_be_written_leaves_nothing(cache: PlanCache, key: PlanKey) -> None:
    with pytest.raises(PlanError, match=r"plan\.json: .*not JSON serializable"):
        cache.store(key, FILES, {"when": object()})  # type: ignore[dict-item]
    with pytest.raises(PlanError, match=r"plan\.json: files"):
        cache.store(key, {"../escape": b"x"}, MADE)
    with pytest.raises(PlanError, match=r"plan\.json: .*Out of range float"):
        cache.store(key, FILES, {"seconds": float("nan")})
    assert not cache.folder.exists()


def test_too_large_a_file_is_neither_kept_nor_read(
    cache: PlanCache, key: PlanKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = cache.store(key, FILES, MADE)
    monkeypatch.setattr("engines.plans.cache.MAX_PLAN_BYTES", 400)
    with pytest.raises(PlanError, match=r"search\.onnx has 500 bytes, over 400"):
        cache.store(key, FILES, MADE)
    with pytest.raises(PlanError, match="it has 500 bytes, at most 400 are read"):
        plan.read("search.onnx")
    with pytest.raises(PlanError, match=r"it has no other\.onnx \(it has query\.onnx, search"):
        plan.read("other.onnx")


def test_a_plan_belongs_to_a_model_and_a_backend(cache: PlanCache, key: PlanKey) -> None:
    plan = cache.store(key, FILES, MADE)
    plan.check_for(key.model, "onnxruntime")
    with pytest.raises(PlanError, match=r"it was made for model abab\w+, not 00"):
        plan.check_for("00", "onnxruntime")
    with pytest.raises(PlanError, match="it was made for backend onnxruntime, not tensorrt"):
        plan.check_for(key.model, "tensorrt")


def test_where_plans_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert default_folder() == Path("/a")
    monkeypatch.delenv("SIGHTLINE_CACHE")
    assert default_folder() == Path("/b/sightline")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path("/c/.cache/sightline")


def test_measurements_are_kept_by_runtime_and_machine(cache: PlanCache) -> None:
    assert cache.timing("trt 11", "gpu") == b""
    cache.keep_timing("trt 11", "gpu", b"measured")
    assert cache.timing("trt 11", "gpu") == b"measured"
    assert cache.timing("trt 10", "gpu") == cache.timing("trt 11", "cpu") == b""
    (path,) = (cache.folder / "timing").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.timing("trt 11", "gpu") == b"", "what is damaged is not given to a compiler"
