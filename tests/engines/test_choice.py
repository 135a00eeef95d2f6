"""What ``auto`` takes: the fastest that was verified and may be a default; else the reference."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.bundle import Bundle, open_bundle
from engines.choice import choose
from engines.engine import open_engine
from engines.errors import BackendUnavailableError, PlanError
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.plans.build import build_plan, plan_key
from engines.plans.cache import Plan, PlanCache
from engines.plans.makers import Job, Product
from engines.values import Precision
from engines.verdicts import Verdict, save


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "cache")


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


def as_they_are(job: Job) -> Product:
    graphs = {SEARCH_GRAPH: job.bundle.search_graph(), QUERY_GRAPH: job.bundle.query_graph()}
    return Product(graphs)


@pytest.fixture
def plan(bundle: Bundle, cache: PlanCache) -> Plan:
    """Give a plan that says int8 and is exact."""
    frame = np.zeros((32, 48, 3), np.uint8)
    return build_plan(bundle, "onnxruntime", "int8", frames=[frame], cache=cache, maker=as_they_are)


@pytest.fixture
def verify(bundle: Bundle, cache: PlanCache) -> Callable[..., None]:
    """Give a function that keeps a verdict on a backend and precision."""

    def keep(
        backend: str,
        precision: Precision,
        ratio: float,
        *,
        loss: float = 0.0,
        plan: Plan | None = None,
    ) -> None:
        fields: dict[str, Any] = {
            "key": plan_key(bundle, backend, precision) if plan is None else plan.key,
            "plan_sha256": {} if plan is None else {n: plan.sha256(n) for n in plan.files},
            "frames": 40, "persons": 80, "matched": 1.0, "box_px_p99": 0.1, "cosine_p01": 1.0,
            "cosine_median": 1.0, "query_cosine_p01": 1.0, "queries": 40,
            "map_reference": 0.8, "map_here": 0.8 - loss, "map_low": -0.01, "map_high": 0.01,
            "ap_reference": 0.8, "ap_here": 0.8, "data": "world", "reference": "onnxruntime fp32",
            "frames_per_s": 10 * ratio, "ratio": ratio, "verified_at": "2026-03-02T14:00:00+00:00",
        }  # fmt: skip
        save(cache, Verdict(**fields))

    return keep


def test_without_verdicts_it_is_onnxruntime_and_says_what_to_run(
    bundle: Bundle, cache: PlanCache
) -> None:
    taken = choose(bundle, cache)
    assert (taken.backend, taken.precision, taken.plan) == ("onnxruntime", "fp32", None)
    assert taken.reason == (
        "onnxruntime fp32: the default; nothing was verified on this machine, run: "
        f"sightline engine verify {bundle.path} --data DIR"
    )
    assert not cache.folder.exists(), "choosing leaves nothing behind"


def test_the_fastest_that_was_verified_is_taken(
    bundle: Bundle, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    verify("onnxruntime", "fp32", 1.0)
    assert choose(bundle, cache).reason.startswith("onnxruntime fp32: the fastest that was")
    verify("onnxruntime", "int8", 1.8, plan=plan, loss=0.004)
    taken = choose(bundle, cache)
    assert (taken.backend, taken.precision, taken.plan) == ("onnxruntime", "int8", plan)
    assert taken.reason == (
        "onnxruntime int8: the fastest that was verified here, 1.8 times the speed of onnxruntime "
        "fp32, search mAP 79.6% (fp32 80.0%)"
    )


def test_a_precision_that_costs_too_much_is_passed_over_and_told(
    bundle: Bundle, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    verify("onnxruntime", "int8", 1.8, plan=plan, loss=0.02)
    taken = choose(bundle, cache)
    assert (taken.backend, taken.precision) == ("onnxruntime", "fp32")
    assert taken.reason == (
        "onnxruntime fp32: the default; passed over: onnxruntime int8 (1.8 times the speed) costs "
        "2 points of search mAP, more than 0.5"
    )
    verify("onnxruntime", "fp32", 1.0)
    taken = choose(bundle, cache)
    assert taken.reason.startswith("onnxruntime fp32: the fastest that was verified here, 1.0")
    assert "; passed over: onnxruntime int8 (1.8 times the speed) costs 2 points" in taken.reason


def test_a_plan_that_was_made_anew_must_be_verified_anew(
    bundle: Bundle, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    verify("onnxruntime", "int8", 1.8, plan=plan)
    cache.store(plan.key, {SEARCH_GRAPH: b"other"}, plan.made)
    assert choose(bundle, cache).precision == "fp32"


def test_a_plan_that_is_damaged_is_not_taken(
    bundle: Bundle, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    verify("onnxruntime", "int8", 1.8, plan=plan)
    (plan.path / SEARCH_GRAPH).write_bytes(b"damaged")
    taken = choose(bundle, cache)
    assert taken.precision == "fp32"
    assert "onnxruntime int8 (1.8 times the speed) its plan is gone" in taken.reason


def test_a_runtime_that_is_gone_is_not_taken(
    bundle: Bundle,
    cache: PlanCache,
    verify: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    verify("openvino", "fp32", 2.0)
    assert choose(bundle, cache).backend == "openvino"
    monkeypatch.setattr("engines.verdicts.runtime_text", lambda _: "openvino 2031.1")
    assert choose(bundle, cache).backend == "onnxruntime", "verified with another version"


def test_the_torch_reference_never_serves(
    bundle: Bundle, cache: PlanCache, verify: Callable[..., None]
) -> None:
    pytest.importorskip("torch")
    verify("reference", "fp32", 9.0)
    assert choose(bundle, cache).backend == "onnxruntime"


def test_a_precision_that_is_named_is_taken_unverified(
    bundle: Bundle, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    taken = choose(bundle, cache, precision="int8")
    assert (taken.backend, taken.precision, taken.plan) == ("onnxruntime", "int8", None)
    assert taken.reason.startswith("onnxruntime int8: the first that runs int8; nothing was")
    verify("onnxruntime", "fp32", 9.0)
    verify("onnxruntime", "int8", 1.8, plan=plan)
    assert choose(bundle, cache, precision="int8").plan == plan


def test_auto_opens_what_it_chose_and_says_why(
    tiny_bundle: Path, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    with open_engine(tiny_bundle, threads=1, cache=cache) as engine:
        assert (engine.info.backend, engine.info.precision) == ("onnxruntime", "fp32")
        assert "nothing was verified" in engine.info.reason
    verify("onnxruntime", "int8", 1.8, plan=plan)
    with open_engine(tiny_bundle, threads=1, cache=cache) as engine:
        assert (engine.info.backend, engine.info.precision) == ("onnxruntime", "int8")
        assert "the fastest that was verified here" in engine.info.reason
    shutil.rmtree(plan.path)
    with open_engine(tiny_bundle, threads=1, cache=cache) as engine:
        assert engine.info.precision == "fp32"


def test_what_is_named_is_taken_as_named(
    tiny_bundle: Path, cache: PlanCache, plan: Plan, verify: Callable[..., None]
) -> None:
    verify("onnxruntime", "int8", 1.8, plan=plan)
    with open_engine(tiny_bundle, backend="onnxruntime", cache=cache) as engine:
        assert engine.info.precision == "fp32", "a name means that, not the fastest"
        assert engine.info.reason == "onnxruntime fp32: as asked for"
    with open_engine(tiny_bundle, backend="onnxruntime", precision="int8", cache=cache) as engine:
        assert engine.info.precision == "int8"


def test_a_missing_plan_names_the_command_that_makes_it(
    tiny_bundle: Path, cache: PlanCache
) -> None:
    said = (
        r"no plan of onnxruntime int8 was made yet; run: sightline engine build \S+ "
        r"--backend onnxruntime --precision int8 --data DIR$"
    )
    with pytest.raises(PlanError, match=said):
        open_engine(tiny_bundle, backend="onnxruntime", precision="int8", cache=cache)
    with pytest.raises(BackendUnavailableError, match="onnxruntime does not run bf16, it runs"):
        open_engine(tiny_bundle, backend="onnxruntime", precision="bf16", cache=cache)


def test_a_cache_that_cannot_be_used_stops_only_what_needs_it(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(folder))
    with open_engine(tiny_bundle, threads=1) as engine:
        assert engine.info.reason.startswith("onnxruntime fp32: no other can be taken, cannot use")
        assert "others may write to it (mode 0777)" in engine.info.reason
    with pytest.raises(PlanError, match="others may write to it"):
        open_engine(tiny_bundle, backend="onnxruntime", precision="int8")
    with pytest.raises(BackendUnavailableError, match="'abacus'; there is auto, onnxruntime"):
        open_engine(tiny_bundle, backend="abacus")
