"""Make worlds and score engines; neither needs torch."""

from pathlib import Path

from rich.table import Table

from cli.errors import CliError
from cli.options import engine_path
from cli.output import facts, plain, show, show_json, table
from cli.progress import counter
from engines.engine import open_engine
from train.evaluation.engine import EvalProgress, EvalReport, evaluate_engine
from train.synthetic import WorldFiles, WorldSpec, write_world


def run_synth(
    out: Path, spec_fields: dict[str, object], *, annotate_every_s: float, as_json: bool
) -> None:
    """Render a world and say where everything lies."""
    try:
        spec = WorldSpec(**spec_fields)  # type: ignore[arg-type]
    except ValueError as error:
        raise CliError(f"this world cannot be made: {error}") from error
    with counter("rendering", "frames") as tick:
        files = write_world(out, spec, progress=tick, annotate_every_s=annotate_every_s)
    if as_json:
        show_json(_world_document(spec, files))
        return
    show(
        facts([
            ("world", files.root),
            ("videos", f"{len(files.videos)}, {spec.seconds:g} s at {spec.fps:g} frames a second"),
            ("people", f"{spec.people}, {spec.anonymous} of them without identity"),
            ("truth", files.journeys.parent),
        ]),
        f"next: sightline ingest {files.site}",
    )  # fmt: skip


def _world_document(spec: WorldSpec, files: WorldFiles) -> dict[str, object]:
    return {
        "world": str(files.root),
        "site": str(files.site),
        "videos": {name: str(path) for name, path in files.videos.items()},
        "journeys": str(files.journeys),
        "people": spec.people,
        "without_identity": spec.anonymous,
        "seconds": spec.seconds,
        "fps": spec.fps,
        "seed": spec.seed,
        "difficulty": spec.difficulty,
        "split": spec.split,
    }


def run_eval(data: Path, *, engine: Path | None, protocol: str, as_json: bool) -> None:
    """Score an engine on a data set in PRW's layout."""
    with open_engine(engine_path(engine)) as opened, counter("scoring", "frames") as tick:

        def progress(now: EvalProgress) -> None:
            tick(now.done, now.total)

        report = evaluate_engine(data, opened, gallery=protocol, progress=progress)
    if as_json:
        show_json(plain(report.as_json(), digits=6))
        return
    show(_scores(report), facts(_circumstances(report)))


def _scores(report: EvalReport) -> Table:
    search, detection = report.search, report.detection
    top = [(f"search top-{k}", f"{share:.1%}") for k, share in search.top.items()]
    return table(
        ["score", ">value"],
        [
            ("detection AP", f"{detection.ap:.1%}"),
            ("detection recall", f"{detection.recall:.1%}"),
            ("search mAP", f"{search.mean_ap:.1%}"),
            *top,
        ],
    )


def _circumstances(report: EvalReport) -> list[tuple[str, object]]:
    search, detection = report.search, report.detection
    return [
        ("data", report.data),
        ("frames", f"{report.frames} with {detection.persons} persons"),
        ("queries", f"{len(search.queries)}, gallery: {search.protocol.gallery.name}"),
        ("speed", f"{report.frames / max(report.seconds, 1e-9):.1f} frames a second"),
    ]
