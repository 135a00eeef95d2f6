"""What a verification found: in words for people, and as a document for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cli.output import facts, show, show_line, table
from engines.bundle import Bundle
from engines.choice import Choice
from engines.verdicts import MIN_QUERIES, Verdict
from engines.verify import ORDINARY, Candidate

SPEED_BATCH = 4


class Outcome(NamedTuple):
    """What became of a candidate: a verdict, or the reason why there is none."""

    candidate: Candidate
    verdict: Verdict | None
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification as a whole; ``missing`` tells which plans were never made, and how to."""

    bundle: Bundle
    labelled: bool
    data: str
    outcomes: Sequence[Outcome]
    missing: dict[Candidate, str]
    choice: Choice


def document(found: Verified) -> dict[str, Any]:
    """Return what was found as JSON values."""
    return {
        "bundle": str(found.bundle.path.absolute()),
        "model": found.bundle.manifest.model,
        "data": found.data,
        "labelled": found.labelled,
        "results": [_result(outcome) for outcome in found.outcomes],
        "not_built": [
            {"backend": one.backend, "precision": one.precision, "reason": reason}
            for one, reason in found.missing.items()
        ],
        "auto": {
            "backend": found.choice.backend,
            "precision": found.choice.precision,
            "reason": found.choice.reason,
        },
    }


def _result(outcome: Outcome) -> dict[str, Any]:
    candidate, verdict = outcome.candidate, outcome.verdict
    known = {"backend": candidate.backend, "precision": candidate.precision}
    if verdict is None:
        return {**known, "verified": False, "problem": outcome.problem}
    values = {name: value for name, value in verdict.fields().items() if name != "key"}
    return {
        **known,
        "verified": True,
        "refused": verdict.refused(),
        "map_loss": verdict.map_loss,
        "ap_loss": verdict.ap_loss,
        "in_noise": verdict.in_noise,
        "runtime": verdict.key.runtime,
        "machine": verdict.key.machine,
        **values,
    }


def show_verified(found: Verified) -> None:
    """Print what was found, for people."""
    verdicts = [outcome.verdict for outcome in found.outcomes if outcome.verdict]
    if verdicts:
        columns = ["backend", ">fps", ">x", ">matched", ">box px", ">cosine", ">mAP", ">AP"]
        show(table(columns, [_row(verdict) for verdict in verdicts]))
    show(facts(_lines(found)))
    for one, reason in found.missing.items():
        show_line(f"{one}: not verified: {reason}")


def _row(verdict: Verdict) -> tuple[object, ...]:
    return (
        _name(verdict),
        f"{verdict.frames_per_s:.1f}",
        f"{verdict.ratio:.2f}",
        f"{verdict.matched:.1%}",
        f"{verdict.box_px_p99:.2f}",
        f"{verdict.cosine_p01:.4f}",
        _percent(verdict.map_here),
        _percent(verdict.ap_here),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _name(verdict: Verdict) -> str:
    return f"{verdict.key.backend} {verdict.key.precision}"


def _lines(found: Verified) -> Iterator[tuple[str, object]]:
    for outcome in found.outcomes:
        yield str(outcome.candidate), sentence(outcome)
    verdict = next((outcome.verdict for outcome in found.outcomes if outcome.verdict), None)
    if verdict is not None:
        yield "reference", f"{verdict.reference}, on {verdict.persons} persons that it finds"
        labels = f"{verdict.queries} queries" if found.labelled else "no labels"
        yield "data", f"{found.data}: {verdict.frames} frames, {labels}"
        speed = f"frames a second at batch {SPEED_BATCH}, and times as fast as {ORDINARY}"
        yield "fps, x", f"{speed} in the same run"
        yield "box px", "a box edge is off by this at the 99th percentile"
        yield "cosine", "of embeddings with the reference's, first percentile"
    if not found.labelled:
        yield "no labels", "a reduced precision needs data with identities to become the default"
    yield "auto", found.choice.reason


def sentence(outcome: Outcome) -> str:
    """Return in words what was found of a candidate, and whether it may be the default."""
    verdict = outcome.verdict
    if verdict is None:
        return f"not verified: {outcome.problem}"
    reason = verdict.refused()
    if reason is not None:
        return f"refused as a default: {reason}{_noise(verdict)}"
    if str(outcome.candidate) == verdict.reference:
        return "may be the default: it is the reference"
    if verdict.map_loss is None:
        return "may be the default: it agrees with the reference (mAP was not measured)"
    change = f"costs {_points(verdict.map_loss)}"
    if verdict.map_loss < 0:
        change = f"gains {_points(-verdict.map_loss)}"
    return f"may be the default: {change} points of search mAP{_noise(verdict)}"


def _points(share: float) -> str:
    return f"{round(100 * share, 2) + 0.0:.2f}"  # never -0.00


def _noise(verdict: Verdict) -> str:
    """Return how sure the difference of mAP is; the rule goes by what was measured."""
    if verdict.map_low is None or verdict.map_high is None:
        return ""
    low, high = _points(-verdict.map_high), _points(-verdict.map_low)
    if low == high:
        text = f"alike for each of {verdict.queries} queries"
    else:
        inside = ": inside the noise" if verdict.in_noise else ""
        text = f"mAP of {verdict.queries} queries drawn anew: costs {low} to {high} in 95 %{inside}"
    few = "; so few tell little, name more data" if verdict.queries < MIN_QUERIES else ""
    return f" ({text}{few})"
