"""The plans of this machine: list them, delete them."""

from typing import Any

from cli.enginebuild import plan_document
from cli.errors import CliError
from cli.options import plan_cache
from cli.output import plain, show, show_json, show_line, size_text, table
from engines.backends import BACKENDS
from engines.errors import BackendUnavailableError
from engines.plans.cache import Plan, PlanCache
from engines.plans.machine import machine_text, runtime_text
from engines.verdicts import Verdict, of_plan


def run_plans(*, as_json: bool) -> None:
    """Print every plan."""
    cache = plan_cache()
    found = [(plan, of_plan(cache, plan), unfit_here(plan)) for plan in cache.plans()]
    if as_json:
        documents = [_document(*one) for one in found]
        show_json(plain({"folder": str(cache.folder), "plans": documents}, 6))
        return
    if not found:
        show_line(f"no plans in {cache.folder}; sightline engine build makes one")
        return
    columns = ["plan", "backend", "precision", ">size", "made", "verified", "used here"]
    listed = table(columns, [_row(*one) for one in found])
    listed.columns[0].no_wrap = True  # names are there to be copied
    show(listed)
    show_line(f"in {cache.folder}")


def unfit_here(plan: Plan) -> str:
    """Return why a plan is never used on this machine as it is; "" = it may be."""
    key = plan.key
    if key.backend not in BACKENDS:
        return f"no backend {key.backend}"
    try:
        runtime, machine = runtime_text(key.backend), machine_text(key.backend)
    except BackendUnavailableError as error:
        return str(error)
    if key.runtime != runtime:
        return f"made for {key.runtime}, here is {runtime}"
    return "" if key.machine == machine else f"made for {key.machine}"


def _row(plan: Plan, verdict: Verdict | None, unfit: str) -> tuple[object, ...]:
    made = str(plan.made.get("when", "unknown")).replace("T", " ")[:16]
    return (
        plan.key.name, plan.key.backend, plan.key.precision, size_text(plan.size), made,
        _verified(verdict), f"no: {unfit}" if unfit else "yes",
    )  # fmt: skip


def _verified(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no"
    refused = verdict.refused()
    return f"{verdict.ratio:.1f}x, {'allowed' if refused is None else f'refused: {refused}'}"


def _document(plan: Plan, verdict: Verdict | None, unfit: str) -> dict[str, Any]:
    return {
        **plan_document(plan),
        "verified": None if verdict is None else verdict.verified_at,
        "refused": None if verdict is None else verdict.refused(),
        "unfit": unfit or None,
    }


def run_forget(name: str | None, *, everything: bool, as_json: bool) -> None:
    """Delete what is named.

    Raises:
        CliError: nothing, or no such plan, is named.
    """
    if (name is None) != everything:
        raise CliError("name a plan, or give --all, not both (sightline engine plans lists them)")
    cache = plan_cache()
    plans = [plan for plan in cache.plans() if everything or plan.key.name == name]
    if not plans and not everything:
        raise CliError(f"no plan {name} in {cache.folder} (sightline engine plans lists them)")
    for plan in plans:
        cache.remove(plan)
    if everything:
        cache.remove_leftovers()
    _tell(cache, plans, as_json)


def _tell(cache: PlanCache, gone: list[Plan], as_json: bool) -> None:
    freed = sum(plan.size for plan in gone)
    if as_json:
        names = [plan.key.name for plan in gone]
        show_json({"folder": str(cache.folder), "deleted": names, "bytes": freed})
        return
    show(*(f"deleted {plan.key.name}" for plan in gone), f"{size_text(freed)} freed")
