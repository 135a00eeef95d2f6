"""What the demo found, for people and as one JSON document."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cli.answers import coverage_document, coverage_lines, visit_document
from cli.demo_truth import Person
from cli.output import clock, iso, plain, show, show_line, table
from gallery.journey import JourneyAnswer, Visit
from gallery.journey_scores import JourneyScores, TruthVisit
from gallery.values import Sighting
from streamer.status import IngestReport
from train.evaluation.engine import EvalReport


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make, and where."""

    out: Path
    people: int
    seconds: int
    seed: int
    engine: Path


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """One person: who, asked by which sighting, what came back, and how right it was."""

    person: Person
    sighting: Sighting | None
    answer: JourneyAnswer | None
    scores: JourneyScores


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Everything the demo found; ``chosen`` is one of ``everybody``."""

    plan: Plan
    ingested: IngestReport
    chosen: Followed
    everybody: tuple[Followed, ...]
    scores: EvalReport
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[Followed, ...]:
        """Those who were sighted, so that they could be asked for."""
        return tuple(one for one in self.everybody if one.sighting is not None)


def mean_scores(outcome: Outcome) -> tuple[float, float]:
    """Return mean precision over all who were asked for, and mean recall over everybody."""
    asked = outcome.asked
    precision = sum(one.scores.precision for one in asked) / max(1, len(asked))
    recall = sum(one.scores.recall for one in outcome.everybody) / len(outcome.everybody)
    return precision, recall


def demo_document(outcome: Outcome) -> dict[str, object]:
    """Return the result as one JSON document."""
    plan, chosen = outcome.plan, outcome.chosen
    assert chosen.answer is not None
    assert chosen.sighting is not None
    precision, recall = mean_scores(outcome)
    scores = outcome.scores.as_json()
    document: dict[str, object] = plain({
        "demo": 1,
        "out": str(plan.out),
        "report": str(plan.out / "report.html"),
        "gallery": str(plan.out / "gallery"),
        "world": str(plan.out / "world"),
        "people": plan.people,
        "seconds": plan.seconds,
        "seed": plan.seed,
        "model": outcome.scores.model,
        "person": chosen.person.number,
        "sighting": chosen.sighting.id,
        "truth": [_truth_document(visit, found)
            for visit, found in zip(chosen.person.visits, chosen.scores.found, strict=True)
        ],
        "journey": [
            {**visit_document(plan.out / "gallery", visit), "right": right}
            for visit, right in zip(chosen.answer.journey, chosen.scores.right, strict=True)
        ],
        "coverage": coverage_document(chosen.answer.coverage),
        "scores": {
            "journey": {"precision": chosen.scores.precision, "recall": chosen.scores.recall},
            "journeys": {
                "people": len(outcome.everybody),
                "asked": len(outcome.asked),
                "precision": precision,
                "recall": recall,
            },
            "search": scores["search"],
            "detection": scores["detection"],
            "frames_per_s": outcome.ingested.frames_per_s,
        },
        "took_s": outcome.seconds,
        "next": next_commands(outcome),
    })  # fmt: skip
    return document


def _truth_document(visit: TruthVisit, found: bool) -> dict[str, object]:
    return {
        "camera": visit.camera,
        "enter": iso(visit.enter_ms),
        "leave": iso(visit.leave_ms),
        "found": found,
    }


def print_outcome(outcome: Outcome) -> None:
    """Print the result for people."""
    chosen = outcome.chosen
    assert chosen.answer is not None
    assert chosen.sighting is not None
    one = chosen.sighting
    show(
        f"\nPerson {chosen.person.number} was in {chosen.person.cameras} cameras. Asked for by "
        f"one sighting: {one.camera}, {clock(one.captured_at_ms)} UTC.",
        beside_truth(chosen.person.visits, chosen.answer, chosen.scores),
        table(["score", ">value", "over"], figures_of(outcome)),
        *coverage_lines(chosen.answer.coverage),
        f"\nTook {sum(outcome.seconds.values()):.0f} s. The report:",
    )
    show_line(f"  {shown_path(outcome.plan.out / 'report.html')}")
    show("Ask more:")
    for command in next_commands(outcome):
        show_line(f"  {command}")


def beside_truth(
    truth: Sequence[TruthVisit], answer: JourneyAnswer, scores: JourneyScores
) -> Table:
    """Return the journey beside the truth: one row a true visit, one a wrong one."""
    rows: list[tuple[int, tuple[object, ...]]] = []
    right = [one for one, ok in zip(answer.journey, scores.right, strict=True) if ok]
    wrong = [one for one, ok in zip(answer.journey, scores.right, strict=True) if not ok]
    for visit, found in zip(truth, scores.found, strict=True):
        match = next((one for one in right if _overlap(one, visit)), None) if found else None
        mark = Text("found", "green") if match else Text("missed", "bold red")
        rows.append((visit.enter_ms, (visit.camera, _span(visit), *_found(match), mark)))
    for one in wrong:
        rows.append((one.enter_ms, (one.camera, "-", *_found(one), Text("wrong", "bold red"))))
    ordered = [row for _, row in sorted(rows, key=lambda entry: entry[0])]
    return table(["camera", "truly there (UTC)", "answer (UTC)", ">score", ""], ordered)


def _overlap(one: Visit, visit: TruthVisit) -> bool:
    apart = one.leave_ms < visit.enter_ms - 500 or one.enter_ms > visit.leave_ms + 500
    return one.camera == visit.camera and not apart


def _found(visit: Visit | None) -> tuple[object, object]:
    return ("-", "-") if visit is None else (_span(visit), f"{visit.score:.2f}")


def _span(visit: Visit | TruthVisit) -> str:
    start, end = (clock(ms, dated=False) for ms in (visit.enter_ms, visit.leave_ms))
    return f"{start} - {end}"


def figures_of(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return the scores: name, value, and what they were taken over."""
    precision, recall = mean_scores(outcome)
    scores, chosen = outcome.scores, outcome.chosen.scores
    search, detection = scores.search, scores.detection
    queries = f"{len(search.queries)} queries, looked for in the other cameras"
    return [
        ("journey precision", f"{chosen.precision:.0%}", "the person followed"),
        ("journey recall", f"{chosen.recall:.0%}", "the person followed"),
        ("mean precision", f"{precision:.0%}", f"the {len(outcome.asked)} people sighted"),
        ("mean recall", f"{recall:.0%}", f"all {len(outcome.everybody)} people"),
        ("search mAP", f"{search.mean_ap:.1%}", queries),
        *((f"search top-{rank}", f"{share:.1%}", queries) for rank, share in search.top.items()),
        ("detection AP", f"{detection.ap:.1%}", f"{detection.persons} persons"),
        ("detection recall", f"{detection.recall:.1%}", f"{scores.frames} frames"),
        ("frames a second", f"{outcome.ingested.frames_per_s:.1f}", "ingest, all cameras together"),
    ]


def next_commands(outcome: Outcome) -> list[str]:
    """Return commands that go on from here and can be pasted."""
    assert outcome.chosen.sighting is not None
    program, gallery = program_name(), shown_path(outcome.plan.out / "gallery")
    asked = f"--gallery {shlex.quote(gallery)} --sighting {outcome.chosen.sighting.id}"
    return [
        f"{program} search {asked} --top 5",
        f"{program} track {asked}",
        f"{program} gallery info {shlex.quote(gallery)}",
    ]


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed from the working folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def program_name() -> str:
    """Return how this program can be called from the working folder."""
    called = Path(sys.argv[0])
    if called.name != "sightline":
        return f"{shlex.quote(sys.executable)} -m cli.main"
    found = shutil.which("sightline")
    if found is not None and Path(found).resolve() == called.resolve():
        return "sightline"
    return shlex.quote(shown_path(called.absolute()))
