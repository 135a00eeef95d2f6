"""Which backend and precision an engine runs on when nobody names them.

Only what was verified on this machine is taken: the fastest of the verdicts that hold for this
bundle, runtime, plan and hardware. Without one it is ONNX Runtime in fp32, the reference itself,
and the reason says what to run.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.backends import BACKENDS, DEFAULT, REFERENCE, Backend
from engines.bundle import Bundle
from engines.errors import PlanError
from engines.plans.cache import Plan, PlanCache
from engines.values import Precision

if TYPE_CHECKING:
    from engines.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Choice:
    """What to open: ``plan`` is None where the bundle's own graphs run."""

    backend: str
    precision: Precision
    plan: Plan | None
    reason: str


def choose(bundle: Bundle, cache: PlanCache, *, precision: Precision | None = None) -> Choice:
    """Return the fastest that was verified, of one precision if that is named.

    A named precision that was never verified is taken all the same; its plan may be missing.
    """
    from engines import verdicts

    passed_over: list[str] = []
    for verdict in verdicts.find(cache, bundle):
        key = verdict.key
        if precision not in (None, key.precision) or key.backend == REFERENCE:
            continue
        name = f"{key.backend} {key.precision}"
        if fault := verdict.refused() or _not_here(verdict, cache):
            passed_over.append(f"{name} ({verdict.ratio:.1f} times the speed) {fault}")
            continue
        reason = f"{name}: the fastest that was verified here, {_facts(verdict)}"
        reason += f"; passed over: {'; '.join(passed_over)}" if passed_over else ""
        return Choice(key.backend, key.precision, _plan(cache, verdict), reason)
    return _unverified(bundle, precision, passed_over)


def _facts(verdict: "Verdict") -> str:
    facts = f"{verdict.ratio:.1f} times the speed of {DEFAULT} fp32"
    if verdict.map_here is not None and verdict.map_reference is not None:
        facts += f", search mAP {verdict.map_here:.1%} (fp32 {verdict.map_reference:.1%})"
    return facts


def _unverified(bundle: Bundle, precision: Precision | None, passed_over: list[str]) -> Choice:
    taken = precision or "fp32"
    backend = _first_with(taken).name
    why = "the default" if precision is None else f"the first that runs {taken}"
    if passed_over:
        more = f"passed over: {'; '.join(passed_over)}"
    else:
        more = (
            "nothing was verified on this machine, "
            f"run: sightline engine verify {bundle.path} --data DIR"
        )
    return Choice(backend, taken, None, f"{backend} {taken}: {why}; {more}")


def _first_with(precision: Precision) -> Backend:
    """Return the first installed backend that knows a precision; the reference never."""
    usable = [b for b in BACKENDS.values() if precision in b.precisions and b.name != "reference"]
    return next((backend for backend in usable if backend.installed), usable[0])


def _not_here(verdict: "Verdict", cache: PlanCache) -> str:
    """Return why a verdict is of no use in this moment; "" = nothing."""
    backend = BACKENDS.get(verdict.key.backend)
    if backend is None or not backend.installed:
        return "it is not installed"
    if verdict.plan_sha256 and _plan(cache, verdict) is None:
        return "its plan is gone"
    return ""


def _plan(cache: PlanCache, verdict: "Verdict") -> Plan | None:
    """Return the very plan that was verified; None where there was none, or it has changed."""
    if not verdict.plan_sha256:
        return None
    plan = cache.find(verdict.key)
    if plan is None:
        return None
    here = {name: facts.sha256 for name, facts in plan.files.items()}
    return plan if here == dict(verdict.plan_sha256) else None


def plan_missing(bundle: Bundle, choice: Choice, cache: PlanCache) -> PlanError:
    """Return the error for a plan that was never made; it names the command that makes it."""
    command = (
        f"sightline engine build {bundle.path} --backend {choice.backend} "
        f"--precision {choice.precision}"
    )
    if choice.precision == "int8":
        command += " --data DIR"
    return PlanError(
        cache.folder, f"no plan of {choice.backend} {choice.precision} was made yet; run: {command}"
    )
