"""The demo: from nothing to one person followed across cameras, with honest scores.

Everything is made in a folder with a temporary name that gets its own at the very end; an older
demo is replaced only then.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cli.demo_page import write_demo_page
from cli.demo_result import Followed, Outcome, Plan, demo_document, print_outcome
from cli.demo_truth import Person, choose, first_sighting, load_people
from cli.errors import CliError
from cli.options import EngineChoice
from cli.output import show, show_json
from cli.progress import Tick, counter
from engines.bundle import open_bundle
from engines.engine import Engine
from gallery.gallery import Gallery
from gallery.journey import track
from gallery.journey_scores import score_journey
from gallery.search import SearchQuery
from gallery.values import Sighting
from streamer.ingest import ingest
from streamer.site import Site, load_site
from streamer.status import IngestReport, IngestStatus
from train.evaluation.engine import EvalProgress, EvalReport, evaluate_engine
from train.synthetic import WorldSpec, write_world

FPS = 5.0
CAMERAS = 4
ANNOTATE_EVERY_S = 1.0
SHOWN = 12
"""Sightings on the page, best first."""
RESULT = "demo.json"
"""Marks a folder as a demo's, so that the next one may replace it."""


@dataclass(slots=True)
class Steps:
    """Tells each step with the time it took; ``quiet`` keeps stdout for the result."""

    quiet: bool
    taken: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, things: str = "") -> Iterator[Tick]:
        """Time a step; call what is given with things done and in total."""
        began = time.perf_counter()
        with counter(name, things) as tick:
            yield tick
        self.taken[name] = time.perf_counter() - began

    def tell(self, name: str, text: str) -> None:
        """Print what a finished step did."""
        if not self.quiet:
            show(f"{self.taken[name]:6.1f} s  {name:<8}  {text}")


def run_demo(
    out: Path, *, people: int, seconds: int, seed: int, engine: EngineChoice, as_json: bool
) -> None:
    """Run the demo into a folder and print what came of it."""
    plan = Plan(out.absolute(), people, seconds, seed, engine.path)
    check_target(plan.out)
    open_bundle(plan.engine)
    with made_whole(plan.out) as folder:
        outcome = _run(plan, engine, folder, Steps(quiet=as_json))
        document = demo_document(outcome)
        (folder / RESULT).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if as_json:
        show_json(document)
    else:
        print_outcome(outcome)


def check_target(out: Path) -> None:
    """Refuse a folder that holds anything but an older demo.

    Raises:
        CliError: it does.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise CliError(f"--out: {out} is a file")
    if any(out.iterdir()) and not (out / RESULT).is_file():
        raise CliError(f"--out: {out} holds things that no demo made; name another folder")


@contextmanager
def made_whole(out: Path) -> Iterator[Path]:
    """Give a folder that becomes ``out`` when the block ends well, and vanishes otherwise."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise CliError(f"--out: cannot write to {out.parent}: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)
        _put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, out: Path) -> None:
    """Give a finished folder its name; an older one there stays until that is done."""
    old = folder.with_suffix(".old")
    if out.exists():
        out.replace(old)
    try:
        folder.replace(out)
    except BaseException:
        if old.exists():
            old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _run(plan: Plan, chosen: EngineChoice, folder: Path, steps: Steps) -> Outcome:
    spec = WorldSpec(
        cameras=CAMERAS, people=plan.people, seconds=plan.seconds, fps=FPS, seed=plan.seed
    )
    with steps.step("render", "frames") as tick:
        world = write_world(
            folder / "world", spec, progress=tick, annotate_every_s=ANNOTATE_EVERY_S
        )
    steps.tell("render", f"{CAMERAS} cameras, {plan.people} people, {plan.seconds} s of video")
    people = choose(load_people(world.root, spec.start, spec.fps))
    with (
        chosen.open() as engine,
        Gallery.open(folder / "gallery", model=engine.info.model, create=True) as gallery,
    ):
        ingested = _ingest(load_site(world.site), engine, gallery, spec.frames * CAMERAS, steps)
        everybody = _follow_all(gallery, people, steps)
        followed = _first_sighted(everybody)
        scores = _score(world.root, engine, steps)
        outcome = Outcome(plan, ingested, followed, everybody, scores, steps.taken)
        with steps.step("report"):
            _write_page(folder / "report.html", gallery, outcome)
        steps.tell("report", "one page that needs nothing else")
    return outcome


def _write_page(path: Path, gallery: Gallery, outcome: Outcome) -> None:
    asked = outcome.chosen.sighting
    assert asked is not None
    query = SearchQuery(asked.embedding[None], top=SHOWN, exclude=frozenset({asked.id}))
    write_demo_page(path, gallery, outcome, gallery.search(query), datetime.now(UTC))


def _ingest(site: Site, engine: Engine, gallery: Gallery, total: int, steps: Steps) -> IngestReport:
    with steps.step("ingest", "frames") as tick:

        def progress(status: IngestStatus) -> None:
            tick(status.searched, total)

        report = ingest(site, engine, gallery, progress=progress)
    steps.tell(
        "ingest",
        f"{report.searched} frames of {len(report.cameras)} cameras at once, "
        f"{report.frames_per_s:.1f} frames a second, {report.sightings} sightings",
    )
    return report


def _follow_all(gallery: Gallery, people: list[Person], steps: Steps) -> tuple[Followed, ...]:
    """Ask for everybody by their first sighting, as an operator would for one of them."""
    sightings = gallery.sightings()
    with steps.step("track", "people") as tick:
        found = []
        for person in people:
            found.append(follow(gallery, person, first_sighting(person, sightings)))
            tick(len(found), len(people))
    steps.tell("track", f"{len(people)} people, each asked for by one sighting")
    return tuple(found)


def follow(gallery: Gallery, person: Person, sighting: Sighting | None) -> Followed:
    """Build the journey from one sighting and score it; never sighted means nothing found.

    The visit that the sighting comes from is no finding: the scores leave it out.
    """
    if sighting is None:
        return Followed(person, None, None, score_journey((), person.visits))
    answer = track(gallery, SearchQuery(sighting.embedding[None]))
    scores = score_journey(answer.journey, person.visits, given=sighting.id)
    return Followed(person, sighting, answer, scores)


def _first_sighted(everybody: tuple[Followed, ...]) -> Followed:
    """Return the first person of the order who was sighted at all."""
    for one in everybody:
        if one.sighting is not None:
            return one
    raise CliError("the engine sighted nobody at this site; try another --seed or more --people")


def _score(world: Path, engine: Engine, steps: Steps) -> EvalReport:
    with steps.step("score", "frames") as tick:

        def progress(now: EvalProgress) -> None:
            tick(now.done, now.total)

        report = evaluate_engine(world, engine, progress=progress)
    steps.tell("score", f"{len(report.search.queries)} queries over {report.frames} frames")
    return report
