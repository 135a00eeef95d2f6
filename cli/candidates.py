"""Which backends can run a bundle on this machine, and at which precisions."""

from engines.backends import BACKENDS, REFERENCE, backend_named
from engines.bench.measure import Contender
from engines.bundle import Bundle
from engines.errors import BackendUnavailableError
from engines.plans.build import find_plan, plan_key
from engines.plans.cache import PlanCache
from engines.values import Precision
from engines.verify import Candidate


def runnable(bundle: Bundle, cache: PlanCache) -> list[Candidate]:
    """Return what runs as it is: every installed backend, and the plans that were built."""
    return [
        Candidate(name, precision)
        for name, backend in BACKENDS.items()
        if backend.installed
        for precision in backend.precisions
        if precision not in backend.planned or _is_built(bundle, cache, name, precision)
    ]


def _is_built(bundle: Bundle, cache: PlanCache, backend: str, precision: Precision) -> bool:
    try:
        return find_plan(cache, plan_key(bundle, backend, precision)) is not None
    except BackendUnavailableError:
        return False


def parse_candidates(backends: str | None, precisions: str | None) -> list[Candidate]:
    """Return what is to be verified: every installed runtime at every precision by default.

    ``backends`` names them with commas between, ``backend:precision`` one of them; the reference
    is left out unless it is named. ``precisions`` leaves only those.

    Raises:
        BackendUnavailableError: there is no such backend or precision.
    """
    named = [Contender.parse(part) for part in _parts(backends)] or [
        Contender(name) for name, known in BACKENDS.items() if known.installed and name != REFERENCE
    ]
    kept = {Contender.parse(f"any:{part}").precision for part in _parts(precisions)}
    every = [
        Candidate(one.backend, precision)
        for one in named
        for precision in _precisions(one)
        if not kept or precision in kept
    ]
    return list(dict.fromkeys(every))


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _precisions(one: Contender) -> tuple[Precision, ...]:
    backend = backend_named(one.backend)
    if one.precision is None:
        return backend.precisions
    backend.check(one.precision)
    return (one.precision,)
