"""Verify the backends of an engine against its fp32 reference, and keep what was found."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from cli import errors
from cli.candidates import parse_candidates
from cli.engineexam import ExamData, exam_data
from cli.errors import CliError
from cli.options import engine_path, plan_cache
from cli.output import plain, show_json
from cli.progress import stages
from cli.verified import SPEED_BATCH, Outcome, Verified, document, show_verified
from engines.backends import BACKENDS, REFERENCE
from engines.bench.measure import Contender, Report, measure
from engines.bundle import Bundle, open_bundle
from engines.choice import choose
from engines.engine import Engine, open_engine
from engines.errors import EngineError
from engines.plans.build import build_plan, find_plan, plan_key
from engines.plans.cache import Plan, PlanCache
from engines.plans.keys import PlanKey
from engines.verdicts import Verdict, save
from engines.verify import ORDINARY, Candidate, Examined, examine, verdict_of


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is verified, and how; see the command's options."""

    data: Path | None
    backends: str | None
    precisions: str | None
    reference: str
    frames: int
    build: bool
    calibrate: Path | None
    seconds: float
    threads: int | None


def run_verify(given: Path | None, options: VerifyOptions, *, as_json: bool) -> None:
    """Verify and print what was found.

    Raises:
        Exit: what was asked for by name could not be verified (code 4).
    """
    bundle = open_bundle(engine_path(given))
    cache = plan_cache()
    candidates = _candidates(options)
    reference = _reference(options.reference)
    threshold = bundle.manifest.score_threshold
    with exam_data(
        options.data, options.calibrate, frames=options.frames, threshold=threshold
    ) as data:
        plans, missing = _plans(bundle, cache, candidates, data, options.build)
        ready = [candidate for candidate in candidates if candidate not in missing]
        outcomes = _verify(bundle, cache, ready, plans, data, reference, options)
    found = Verified(
        bundle, data.labelled, data.exam.name, outcomes, missing, choose(bundle, cache)
    )
    if as_json:
        show_json(plain(document(found), 6))
    else:
        show_verified(found)
    asked = [one for one in missing if _is_named(one, options)]
    if asked or any(outcome.verdict is None for outcome in outcomes):
        raise typer.Exit(errors.ENGINE)


def _candidates(options: VerifyOptions) -> list[Candidate]:
    wanted = parse_candidates(options.backends, options.precisions)
    if not wanted:
        raise CliError("--backends and --precisions leave nothing to verify")
    return wanted


def _is_named(one: Candidate, options: VerifyOptions) -> bool:
    """Tell whether a precision was asked for, not only found among those of a backend."""
    named = (options.backends or "").replace(" ", "").split(",")
    return bool(options.precisions) or f"{one.backend}:{one.precision}" in named


def _reference(name: str) -> Candidate:
    if name not in (ORDINARY.backend, REFERENCE):
        raise CliError(f"--reference: choose {ORDINARY.backend} or {REFERENCE} (got {name!r})")
    return Candidate(name, "fp32")


def _plans(
    bundle: Bundle,
    cache: PlanCache,
    candidates: Iterable[Candidate],
    data: ExamData,
    build: bool,
) -> tuple[dict[Candidate, Plan], dict[Candidate, str]]:
    """Return the plans of those that run from one, and what is to be said where there is none."""
    plans: dict[Candidate, Plan] = {}
    missing: dict[Candidate, str] = {}
    for one in candidates:
        if one.precision not in BACKENDS[one.backend].planned:
            continue
        try:
            plan = find_plan(cache, plan_key(bundle, *one))
            if plan is None and build:
                plan = _built(bundle, cache, one, data)
        except EngineError as error:
            missing[one] = str(error)
            continue
        if plan is None:
            missing[one] = f"no plan was made yet; add --build, or run: {_command(bundle, one)}"
        else:
            plans[one] = plan
    return plans, missing


def _command(bundle: Bundle, one: Candidate) -> str:
    data = " --data DIR" if one.precision == "int8" else ""
    return (
        f"sightline engine build {bundle.path} --backend {one.backend} "
        f"--precision {one.precision}{data}"
    )


def _built(bundle: Bundle, cache: PlanCache, one: Candidate, data: ExamData) -> Plan:
    frames = data.calibration() if one.precision == "int8" else ()
    if one.precision == "int8" and not frames:
        raise CliError(
            "every frame of the data is scored: name others to --calibrate on, or fewer --frames"
        )
    with stages(f"building {one}") as tick:
        return build_plan(
            bundle, *one, frames=frames, cache=cache, progress=lambda line: tick(line, 0, 0)
        )


def _verify(
    bundle: Bundle,
    cache: PlanCache,
    ready: Sequence[Candidate],
    plans: dict[Candidate, Plan],
    data: ExamData,
    reference: Candidate,
    options: VerifyOptions,
) -> list[Outcome]:
    def opener(one: Candidate) -> AbstractContextManager[Engine]:
        return open_engine(
            bundle.path, backend=one.backend, precision=one.precision, threads=options.threads,
            cache=cache,
        )  # fmt: skip

    with stages("verifying") as tick:
        examined = examine(data.exam, ready, opener, reference=reference, told=tick)
        timed = [one.candidate for one in examined if one.finding is not None]
        report = measure(
            bundle.path, [Contender(*one) for one in dict.fromkeys((ORDINARY, *timed))],
            data.sample, batches=[SPEED_BATCH], seconds=options.seconds, threads=options.threads,
            cache=cache.folder, progress=tick,
        )  # fmt: skip
    at = datetime.now(UTC)
    outcomes = []
    for one in examined:
        plan = plans.get(one.candidate)
        key = plan.key if plan else plan_key(bundle, *one.candidate)
        verdict = _verdict(one, key, plan, data, reference, report, at)
        if verdict is not None:
            save(cache, verdict)
        outcomes.append(Outcome(one.candidate, verdict, one.problem))
    return outcomes


def _verdict(
    one: Examined,
    key: PlanKey,
    plan: Plan | None,
    data: ExamData,
    reference: Candidate,
    report: Report,
    at: datetime,
) -> Verdict | None:
    speed = report.cell(*one.candidate, SPEED_BATCH)
    if one.finding is None or speed is None:
        return None
    ratio = report.ratio(speed, ORDINARY.backend)
    assert ratio is not None  # it runs in every report
    return verdict_of(
        one.finding, key=key, plan=plan, exam=data.exam, reference=reference, speed=speed,
        ratio=ratio, at=at,
    )  # fmt: skip
