"""Make a plan, once, and keep it: the one way in which plans come into the cache.

A plan that is there and fits what was asked is returned as it is. Otherwise it is made under a
lock, so that of several processes one builds and the others wait for its result; compared with
the fp32 graph on a few frames; and stored whole or not at all.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from engines.backends import Backend, Opening, backend_named
from engines.bundle import Bundle
from engines.errors import BuildError
from engines.letterbox import Letterbox
from engines.plans.cache import Plan, PlanCache
from engines.plans.keys import JSON, PlanKey
from engines.plans.machine import machine_text, runtime_text
from engines.plans.makers import INT8_SCHEMES, Job, Maker, maker_of
from engines.plans.parity import check_parity
from engines.values import Precision

RECIPE = 1
"""Raised whenever the same bundle would now be lowered in another way: older plans are left."""

Pixels = NDArray[np.uint8]
Batch = tuple[int, int, int]
BATCH: Batch = (1, 4, 8)
WORKSPACE_BYTES = 4 << 30


def plan_key(
    bundle: Bundle,
    backend: str,
    precision: Precision,
    *,
    batch: Batch = BATCH,
    device: int = 0,
) -> PlanKey:
    """Return the key of a plan on this machine; also of a precision that needs no plan.

    ``batch`` is the smallest, usual and largest batch of a compiled plan; graphs take any.

    Raises:
        BackendUnavailableError: the runtime or its GPU is not here, or knows no such precision.
        BuildError: ``batch`` is not in order.
    """
    known = backend_named(backend)
    known.check(precision)
    manifest = bundle.manifest
    return PlanKey(
        model=manifest.model,
        search_sha256=manifest.files.search.sha256,
        query_sha256=manifest.files.query.sha256,
        backend=backend,
        runtime=runtime_text(backend),
        machine=machine_text(backend, device),
        precision=precision,
        settings=_settings(known, precision, manifest.input_hw, batch),
    )


def _settings(
    backend: Backend, precision: Precision, input_hw: tuple[int, int], batch: Batch
) -> dict[str, JSON]:
    settings: dict[str, JSON] = {"input_hw": list(input_hw)}
    if precision in backend.planned:
        settings["recipe"] = RECIPE
    if precision == "int8":
        settings["scheme"] = INT8_SCHEMES[backend.name]
    if backend.on_gpu:
        _check_batch(batch)
        settings |= {"batch": list(batch), "tf32": False}
    return settings


def _check_batch(batch: Batch) -> None:
    least, usual, most = batch
    if not 1 <= least <= usual <= most:
        raise BuildError(f"batch must be MIN <= OPT <= MAX, MIN at least 1, got {batch}")


def find_plan(cache: PlanCache, wanted: PlanKey) -> Plan | None:
    """Return the plan of a key, else the newest that differs in its batch profile alone."""
    exact = cache.find(wanted)
    if exact is not None:
        return exact
    for plan in cache.plans():
        if _but_batch(plan.key) == _but_batch(wanted) and (found := cache.find(plan.key)):
            return found
    return None


def _but_batch(key: PlanKey) -> dict[str, object]:
    settings = {name: value for name, value in key.settings.items() if name != "batch"}
    return {**key.fields(), "settings": settings}


def _silent(line: str) -> None:
    """Take a progress line and say nothing."""


def build_plan(
    bundle: Bundle,
    backend: str,
    precision: Precision,
    *,
    frames: Sequence[Pixels] = (),
    batch: Batch = BATCH,
    workspace_bytes: int = WORKSPACE_BYTES,
    cache: PlanCache | None = None,
    exclude: Sequence[str] = (),
    progress: Callable[[str], None] = _silent,
    force: bool = False,
    device: int = 0,
    maker: Maker | None = None,
) -> Plan:
    """Return the plan of a bundle for a backend and precision; make it if it is not there.

    ``frames`` are RGB uint8 (H, W, 3) of any sizes, typical of what the cameras see: int8 is
    calibrated on them. ``exclude`` names layers that stay in float. A plan that is there is made
    again if ``frames`` or ``exclude`` are given and differ from its own, or with ``force``.
    ``device`` is the number of the GPU that TensorRT compiles for. ``maker`` replaces what turns
    the graphs into the files of the plan.

    Raises:
        BackendUnavailableError: the runtime is not here, or does not know the precision.
        BuildError: this precision needs no plan, no frames to calibrate on, or it cannot be made.
        PlanError: the cache cannot be used.
    """
    key = plan_key(bundle, backend, precision, batch=batch, device=device)
    if precision not in backend_named(backend).planned:
        raise BuildError(f"{backend} runs {precision} from the bundle itself: nothing to build")
    store = cache or PlanCache()
    fitted = _fitted(bundle, frames) if precision == "int8" else ()
    digest = _digest(fitted)

    def there() -> Plan | None:
        plan = None if force else store.find(key)
        return plan if plan is not None and _fits(plan, digest, exclude) else None

    if found := there():
        return found
    if precision == "int8" and not len(frames):
        raise BuildError(
            f"cannot make int8 of {bundle.path} for {backend} without frames to calibrate on; "
            "pass frames of your cameras (sightline engine build --data DIR or VIDEO)"
        )
    with store.lock(key, _Waiting(progress)):
        if found := there():
            return found
        job = Job(
            bundle, backend, precision, fitted, batch, workspace_bytes, tuple(exclude),
            store.timing(key.runtime, key.machine), progress, device,
        )  # fmt: skip
        return _make(store, key, job, maker or maker_of(backend), frames)


class _Waiting:
    """Says once that another process is at it."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._told = False

    def __call__(self) -> None:
        if not self._told:
            self._told = True
            self._progress("another process is making this plan; waiting for it")


def _fitted(bundle: Bundle, frames: Sequence[Pixels]) -> tuple[Pixels, ...]:
    """Return frames as the graphs take them, uint8 (3, H, W)."""
    input_hw = bundle.manifest.input_hw
    return tuple(Letterbox((f.shape[0], f.shape[1]), input_hw).fit(f) for f in frames)


def _digest(frames: Sequence[Pixels]) -> str:
    """Return the hash of fitted frames; "" for none."""
    if not frames:
        return ""
    seen = hashlib.sha256()
    for frame in frames:
        seen.update(np.ascontiguousarray(frame).tobytes())
    return seen.hexdigest()


def _fits(plan: Plan, digest: str, exclude: Sequence[str]) -> bool:
    """Tell whether a plan is what is asked for; what is not asked for may be anything."""
    same_frames = not digest or plan.made.get("frames_sha256") == digest
    return same_frames and (not exclude or plan.made.get("exclude") == list(exclude))


def _make(
    store: PlanCache,
    key: PlanKey,
    job: Job,
    maker: Maker,
    frames: Sequence[Pixels],
) -> Plan:
    """Make, compare and store a plan; the lock is held."""
    store.prepare("plans")  # a folder that cannot be written is told before minutes of work
    began = time.monotonic()
    product = maker(job)
    made: dict[str, JSON] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "frames": len(job.frames),
        "frames_sha256": _digest(job.frames),
        "exclude": list(job.exclude),
        **product.facts,
    }
    if product.timing:
        store.keep_timing(key.runtime, key.machine, product.timing)
    draft = PlanCache(store.prepare("building") / key.digest[:32])
    try:
        job.progress("comparing it with the fp32 graph")
        plan = draft.store(key, product.files, made)
        opening = Opening(job.bundle, job.precision, plan, device=job.device or None)
        made["parity"] = check_parity(opening, backend_named(job.backend), frames)
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)
    return store.store(key, product.files, made)
