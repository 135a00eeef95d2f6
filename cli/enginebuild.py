"""Make a plan from a bundle, with frames to calibrate on."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cli.errors import CliError
from cli.footage import Pixels, read_frames, spread
from cli.options import engine_path, plan_cache
from cli.output import facts, plain, show, show_json, show_line, size_text, watched
from cli.progress import counter, stages
from engines.backends import backend_named
from engines.bundle import open_bundle
from engines.plans.build import build_plan, plan_key
from engines.plans.cache import Plan
from engines.values import Precision
from train.data.sets import PEOPLE, load_set, set_layout
from train.errors import DatasetError
from train.evaluation.embed import read_frame
from train.synthetic import WorldSpec, write_world

COMPARED = 4
"""Frames that a plan is compared on when none are needed to calibrate."""
WORLD = WorldSpec(cameras=3, people=24, seconds=12, fps=1, seed=7302)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is to be made, and from what; see the command's options."""

    backend: str
    precision: Precision
    data: Path | None
    frames: int
    exclude: tuple[str, ...]
    batch: str
    workspace_gb: float
    force: bool


def run_build(given: Path | None, options: BuildOptions, *, as_json: bool) -> None:
    """Build a plan, or find it, and say what it is."""
    bundle = open_bundle(engine_path(given))
    batch = parse_batch(options.batch)
    backend_named(options.backend).check(options.precision)
    cache = plan_cache()
    key = plan_key(bundle, options.backend, options.precision, batch=batch)
    before = cache.find(key)
    asked = options.data is not None or options.exclude or options.force
    if before is not None and not asked:
        _tell(before, given, "", built=False, as_json=as_json)
        return
    frames, source = _frames(options)
    with _progress(options) as progress:
        plan = build_plan(
            bundle, options.backend, options.precision, frames=frames, batch=batch,
            workspace_bytes=int(options.workspace_gb * 2**30), cache=cache,
            exclude=options.exclude, progress=progress, force=options.force,
        )  # fmt: skip
    built = before is None or plan.made != before.made
    calibrated = source if options.precision == "int8" else ""
    _tell(plan, given, calibrated, built=built, as_json=as_json)


def parse_batch(text: str) -> tuple[int, int, int]:
    """Return the numbers of ``MIN,OPT,MAX``.

    Raises:
        CliError: not three whole numbers in order.
    """
    try:
        least, usual, most = (int(part) for part in text.split(","))
    except ValueError:
        raise CliError(f"--batch: want MIN,OPT,MAX, three whole numbers (got {text!r})") from None
    if not 1 <= least <= usual <= most:
        raise CliError(f"--batch: want 1 <= MIN <= OPT <= MAX (got {text!r})")
    return least, usual, most


def _frames(options: BuildOptions) -> tuple[list[Pixels], str]:
    """Return the frames, and where they are from in words."""
    most = options.frames if options.precision == "int8" else COMPARED
    if options.data is not None:
        frames = frames_of(options.data, most)
        return frames, f"{len(frames)} frames of {options.data.absolute()}"
    if options.precision != "int8":
        return [], ""
    with TemporaryDirectory(prefix="sightline-build-") as folder:
        frames = frames_of(_rendered(Path(folder) / "world"), most)
    return frames, (
        f"{len(frames)} frames of a world rendered for it; for your cameras: --data VIDEO"
    )


def _rendered(out: Path) -> Path:
    with counter("rendering a world", "frames") as tick:
        progress = tick if watched() else None
        write_world(out, WORLD, annotate_every_s=1 / WORLD.fps, progress=progress)
    return out


def frames_of(data: Path, most: int) -> list[Pixels]:
    """Return frames of a data set (to train on, else to test), of pictures, or of a video.

    Raises:
        CliError: there are none.
        DatasetError: the data set is damaged.
    """
    if not _is_set(data):
        return read_frames(data, most)
    try:
        images = list(load_set(data, "train").images)
    except DatasetError:
        images = []
    images = images or list(load_set(data, "test").images)
    return [read_frame(image.path) for image in spread(images, most)]


def _is_set(data: Path) -> bool:
    """Tell whether a path is a data set; a folder of mere pictures is none."""
    if not data.is_dir():
        return False
    try:
        return set_layout(data) != PEOPLE
    except DatasetError:
        return False


@contextmanager
def _progress(options: BuildOptions) -> Iterator[Any]:
    with stages(f"building {options.backend} {options.precision}") as tick:
        yield lambda line: tick(line, 0, 0)


def _tell(plan: Plan, given: Path | None, source: str, *, built: bool, as_json: bool) -> None:
    if as_json:
        show_json(plain({**plan_document(plan), "built": built, "calibrated_on": source}, 6))
        return
    show(facts(_rows(plan, source, built)))
    named = "" if given is None else f"{shlex.quote(str(given))} "
    what = f"{plan.key.backend}:{plan.key.precision}"
    show_line(f"next: sightline engine verify {named}--backends {what}")


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values."""
    return {
        "plan": plan.key.name,
        "path": str(plan.path),
        "bytes": plan.size,
        "key": plan.key.fields(),
        "files": {name: plan.sha256(name) for name in plan.files},
        "made": dict(plan.made),
    }


def _rows(plan: Plan, source: str, built: bool) -> Sequence[tuple[str, object]]:
    key, made = plan.key, plan.made
    rows: list[tuple[str, object]] = [
        ("plan", key.name),
        ("runs on", f"{key.backend} {key.precision}: {key.runtime}, {key.machine}"),
        ("made", f"{made.get('when')}, in {made.get('seconds')} s"
                 f"{'' if built else '; it was there already'}"),
    ]  # fmt: skip
    if source:
        rows.append(("calibrated", source))
    if made.get("exclude"):
        rows.append(("in float", ", ".join(map(str, _list(made["exclude"])))))
    rows += [("agrees", _agreement(made.get("parity"))), ("size", size_text(plan.size))]
    return [*rows, ("path", plan.path)]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _agreement(parity: object) -> str:
    """Return in words how far a plan agreed with fp32 when it was made."""
    if not isinstance(parity, dict):
        return "not compared: this machine cannot run it"
    return (
        f"with fp32 on {parity['frames']} frames: {parity['matched']:.1%} of "
        f"{parity['persons']} persons, embeddings of the same boxes to "
        f"{parity['query_cosine_min']:.4f}"
    )
