"""Verdicts: what allows a default, what is kept, and when it no longer holds."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.bundle import Bundle, open_bundle
from engines.choice import choose
from engines.errors import PlanError
from engines.manifest import seal_manifest
from engines.plans.build import plan_key
from engines.plans.cache import PlanCache
from engines.values import Precision
from engines.verdicts import Verdict, find, save


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "cache")


@pytest.fixture
def verdict(bundle: Bundle) -> Callable[..., Verdict]:
    """Return a verdict that allows a default, but for what is changed."""

    def make(precision: Precision = "fp32", **changes: Any) -> Verdict:
        good = Verdict(
            key=plan_key(bundle, "onnxruntime", precision),
            plan_sha256={},
            frames=20,
            persons=50,
            matched=0.998,
            box_px_p99=0.25,
            cosine_p01=0.9995,
            cosine_median=0.9999,
            query_cosine_p01=0.9995,
            queries=30,
            map_reference=0.8,
            map_here=0.799,
            map_low=-0.01,
            map_high=0.008,
            ap_reference=0.9,
            ap_here=0.901,
            data="a world",
            reference="onnxruntime fp32",
            frames_per_s=25.5,
            ratio=1.25,
            verified_at="2026-03-02T14:00:00+00:00",
        )
        return replace(good, **changes)

    return make


NOT_SCORED = {"map_reference": None, "map_here": None, "ap_reference": None, "ap_here": None}


@pytest.mark.parametrize(
    ("precision", "changes", "said"),
    [
        ("fp32", {}, None),
        ("fp32", NOT_SCORED, None),
        ("fp32", {"queries": 29}, None),
        ("int8", {"queries": 29}, "scored on 29 queries, fewer than 30: name more data"),
        ("fp32", {"matched": 0.995}, None),
        ("fp32", {"matched": 0.9949}, "matches 99.49% of the persons, less than 99.5%"),
        ("fp32", {"cosine_p01": 0.999}, None),
        ("fp32", {"cosine_p01": 0.9989}, "embeddings have a cosine of 0.99890, less than 0.999"),
        ("fp32", {"query_cosine_p01": 0.99}, "query embeddings have a cosine of 0.99000"),
        ("fp32", {"map_here": 0.79}, "costs 1 points of search mAP, more than 0.5"),
        ("int8", {}, None),
        ("int8", {"matched": 0.9, "cosine_p01": 0.5, "query_cosine_p01": 0.5}, None),
        ("int8", {"map_here": 0.795}, None),
        ("int8", {"map_here": 0.79499}, "costs 0.5 points of search mAP, more than 0.5"),
        ("int8", {"map_here": 0.78}, "costs 2 points of search mAP, more than 0.5"),
        ("int8", {"map_here": 0.9, "ap_here": 0.88}, "costs 2 points of detection AP"),
        ("int8", {"ap_here": 0.895}, None),
        ("int8", {"map_here": 0.79, "map_low": -0.2, "map_high": 0.2}, "costs 1 points"),
        ("int8", NOT_SCORED, "not scored: the data has no labelled persons"),
        ("fp16", NOT_SCORED, "not scored"),
    ],
)
def test_what_may_be_a_default(
    verdict: Callable[..., Verdict], precision: Precision, changes: Any, said: str | None
) -> None:
    reason = verdict(precision, **changes).refused()
    assert (reason is None) == (said is None), reason
    assert said is None or said in (reason or "")


@pytest.mark.parametrize(
    ("low", "high", "inside"),
    [(-0.01, 0.01, True), (0.0, 0.0, True), (-0.02, -0.01, False), (None, None, False)],
)
def test_noise(
    verdict: Callable[..., Verdict], low: float | None, high: float | None, inside: bool
) -> None:
    assert verdict(map_low=low, map_high=high).in_noise is inside


def test_what_was_kept_is_found_again(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict]
) -> None:
    kept = verdict()
    path = save(cache, kept)
    assert path.parent == cache.folder / "verdicts"
    assert path.stat().st_mode & 0o777 == 0o600
    assert find(cache, bundle) == [kept]
    save(cache, replace(kept, ratio=2.0, map_here=None))
    assert [one.ratio for one in find(cache, bundle)] == [2.0]


def test_the_fastest_comes_first(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict]
) -> None:
    ordinary = verdict(ratio=1.0)
    openvino = replace(
        ordinary, key=replace(ordinary.key, settings={"flag": 1}), ratio=3.0
    )  # another name
    save(cache, ordinary)
    save(cache, openvino)
    assert [one.ratio for one in find(cache, bundle)] == [3.0, 1.0]


def test_nothing_is_found_where_nothing_was_kept(cache: PlanCache, bundle: Bundle) -> None:
    assert find(cache, bundle) == []
    assert not cache.folder.exists(), "looking makes no folder"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "0" * 64},
        {"search_sha256": "0" * 64},
        {"query_sha256": "0" * 64},
        {"runtime": "onnxruntime 0.1"},
        {"machine": "another processor"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_verdict_on_something_else_is_left_out(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict], change: dict[str, str]
) -> None:
    good = verdict()
    save(cache, replace(good, key=replace(good.key, **change)))
    assert find(cache, bundle) == []
    assert find(cache, bundle, machine="another processor") == (
        [replace(good, key=replace(good.key, **change))] if "machine" in change else []
    )


def test_a_verdict_holds_for_the_plan_that_ran(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict]
) -> None:
    key = plan_key(bundle, "onnxruntime", "int8")
    plan = cache.store(key, {"search.onnx": b"one", "query.onnx": b"two"}, {})
    kept = verdict("int8", plan_sha256={name: plan.sha256(name) for name in plan.files})
    save(cache, kept)
    assert find(cache, bundle) == [kept]
    cache.store(key, {"search.onnx": b"another", "query.onnx": b"two"}, {})
    assert find(cache, bundle) == []
    cache.remove(cache.plans()[0])
    assert find(cache, bundle) == []


def test_a_verdict_without_a_plan_does_not_speak_for_one(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict]
) -> None:
    save(cache, verdict("int8"))
    cache.store(plan_key(bundle, "onnxruntime", "int8"), {"search.onnx": b"one"}, {})
    assert find(cache, bundle) == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def resealed(**changes: Any) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        fields = json.loads(data)
        fields["verdict"].update(changes)
        return seal_manifest({name: fields[name] for name in fields if name != "seal"})

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "invalid json"),
        (lambda _: b"", "invalid json"),
        (lambda _: b"[]", "should be an object"),
        (lambda _: b"[" * 10000, "invalid json|damaged"),
        (lambda _: b"\xff\xfe", "invalid json|damaged"),
        (lambda data: data.replace(b'"ratio": 1.25', b'"ratio": 9.25'), "was changed"),
        (lambda data: data.replace(b"\n}", b"\n }"), "was changed"),
        (resealed(ratio=0.0), r"verdict.ratio: .*greater than 0 .got 0.0."),
        (resealed(ratio="fast"), "verdict.ratio: input should be a valid number"),
        (resealed(frames=0), "verdict.frames"),
        (resealed(matched=1.5), "verdict.matched"),
        (resealed(map_here=True), "verdict.map_here"),
        (resealed(more=1), "verdict.more: extra inputs are not permitted"),
        (resealed(key={"backend": "onnxruntime"}), "model: field required"),
        (resealed(key={"backend": "../../x"}), "verdict.key.backend"),
        (resealed(plan_sha256={"search.onnx": "x"}), "verdict.plan_sha256.search.onnx"),
    ],
)  # fmt: skip
def test_a_damaged_verdict_is_told_and_ignored(
    cache: PlanCache,
    bundle: Bundle,
    verdict: Callable[..., Verdict],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    path = save(cache, verdict(ratio=1.25))
    other = verdict()
    save(cache, replace(other, key=replace(other.key, settings={"other": 1})))
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with caplog.at_level(logging.WARNING):
        found = find(cache, bundle)
    assert len(found) == 1, "the other one is still there"
    assert "the verdict is ignored" in caplog.text
    assert str(path) in caplog.text

    assert re.search(said, caplog.text), caplog.text


def test_others_may_not_write_verdicts(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict], tmp_path: Path
) -> None:
    path = save(cache, verdict())
    path.chmod(0o666)
    assert find(cache, bundle) == []
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert find(cache, bundle) == []
    path.parent.chmod(0o700)
    shutil.move(path, tmp_path / "v.json")
    path.symlink_to(tmp_path / "v.json")
    assert find(cache, bundle) == []


def test_a_folder_that_refuses_is_an_error(
    cache: PlanCache, verdict: Callable[..., Verdict]
) -> None:
    cache.prepare("verdicts").rmdir()
    (cache.folder / "verdicts").write_text("in the way")
    with pytest.raises(PlanError, match="not a folder"):
        save(cache, verdict())


def test_no_verdict_is_not_a_number(cache: PlanCache, verdict: Callable[..., Verdict]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        save(cache, verdict(cosine_p01=float("nan")))
    assert not (cache.folder / "verdicts").exists()


def test_auto_takes_what_was_verified(
    cache: PlanCache, bundle: Bundle, verdict: Callable[..., Verdict]
) -> None:
    key = plan_key(bundle, "onnxruntime", "int8")
    plan = cache.store(key, {"search.onnx": b"one", "query.onnx": b"two"}, {})
    hashes = {name: plan.sha256(name) for name in plan.files}
    save(cache, verdict(ratio=1.0))
    save(cache, verdict("int8", plan_sha256=hashes, ratio=2.0))
    choice = choose(bundle, cache)
    assert (choice.backend, choice.precision) == ("onnxruntime", "int8")
    save(cache, verdict("int8", plan_sha256=hashes, ratio=2.0, map_here=0.79))
    assert choose(bundle, cache).precision == "fp32"
