"""From a backend's name, or none, to an open engine with its reason."""

from functools import partial
from pathlib import Path

from engines.backends import BACKENDS, DEFAULT, Backend, Opening, backend_named, gpu_number
from engines.bundle import Bundle
from engines.choice import Choice, choose, plan_missing
from engines.engine import Engine
from engines.errors import PlanError
from engines.plans.background import make_in_background
from engines.plans.build import find_plan, plan_key
from engines.plans.cache import PlanCache
from engines.switching import SwitchingEngine
from engines.values import Precision

AUTO = "auto"


def open_on(
    bundle: Bundle,
    *,
    backend: str = AUTO,
    precision: Precision | None = None,
    threads: int | None = None,
    cache: PlanCache | Path | None = None,
    device: str | int | None = None,
) -> Engine:
    """Open a checked bundle (see :func:`engines.engine.open_engine`)."""
    try:
        plans = cache if isinstance(cache, PlanCache) else PlanCache(cache)
    except PlanError as error:
        return _without_plans(bundle, backend, precision, threads, device, error)
    if backend == AUTO:
        choice = choose(bundle, plans, precision=precision)
    else:
        choice = _as_named(backend_named(backend), precision or "fp32")
    return _open(bundle, choice, plans, threads, device)


def _as_named(backend: Backend, precision: Precision) -> Choice:
    backend.check(precision)
    return Choice(backend.name, precision, None, f"{backend.name} {precision}: as asked for")


def _without_plans(
    bundle: Bundle,
    backend: str,
    precision: Precision | None,
    threads: int | None,
    device: str | int | None,
    error: PlanError,
) -> Engine:
    """Open what runs from the bundle itself; the folder of the plans cannot be used."""
    taken = precision or "fp32"
    known = backend_named(DEFAULT if backend == AUTO else backend)
    known.check(taken)
    if taken in known.planned:
        raise error
    engine = known.open(Opening(bundle, taken, None, threads, device))
    engine.explain(f"{known.name} {taken}: no other can be taken, {error}")
    return engine


def _open(
    bundle: Bundle,
    choice: Choice,
    plans: PlanCache,
    threads: int | None,
    device: str | int | None,
) -> Engine:
    known = BACKENDS[choice.backend]
    number = gpu_number(device) if known.on_gpu else 0
    plan = choice.plan
    if plan is None and choice.precision in known.planned:
        key = plan_key(bundle, known.name, choice.precision, device=number)
        plan = find_plan(plans, key)
        if plan is None and known.on_gpu and choice.precision != "int8":
            return _switching(bundle, choice, plans, threads, number)
        if plan is None:
            raise plan_missing(bundle, choice, plans)
    engine = known.open(Opening(bundle, choice.precision, plan, threads, device))
    engine.explain(choice.reason)
    return engine


def _switching(
    bundle: Bundle, choice: Choice, plans: PlanCache, threads: int | None, device: int
) -> SwitchingEngine:
    """Serve with the default backend until the plan is made."""
    make = partial(
        make_in_background, bundle, choice.backend, choice.precision, plans, device=device
    )
    serving = BACKENDS[DEFAULT].open(Opening(bundle, "fp32", None, threads))
    return SwitchingEngine(serving, make, what=f"{choice.backend} {choice.precision}")
