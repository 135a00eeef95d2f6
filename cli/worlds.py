"""Render synthetic worlds."""

from pathlib import Path

from cli.errors import CliError
from cli.output import facts, show, show_json
from cli.progress import counter
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
