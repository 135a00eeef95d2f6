"""Train a network: settings from the command line, progress, and a clean stop."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.errors import CliError
from cli.output import facts, note, plain, show, show_json
from cli.progress import detailed, time_left
from cli.ranks import first_process
from cli.runsettings import settle
from cli.stopping import stopping
from engines.runtimes import require
from train.config import FitConfig

if TYPE_CHECKING:
    from train.fit import FitProgress, FitResult

USUAL_REAL_SHARE = 0.2
TOTAL = "total"
"""Name that the sum of all losses has among them."""


def run_fit(
    preset: str,
    data: Sequence[Path],
    out: Path,
    options: Mapping[str, Any],
    pairs: Sequence[str],
    *,
    resume: bool,
    as_json: bool,
) -> None:
    """Train until the end or until somebody says stop, then say where the checkpoint lies."""
    config = mixed(settle(preset, data, out, options, pairs))
    require("torch", "train")
    from train.fit import fit

    last: FitProgress | None = None
    with stopping() as stop, detailed("reading the data") as draw:

        def progress(now: "FitProgress") -> None:
            nonlocal last
            last = now
            draw(
                "training",
                now.iteration,
                now.iterations,
                _beside(now),
                f"loss {_losses(now.losses)}",
            )

        result = fit(config, resume=resume, progress=progress, stop=stop.event.is_set)
    if first_process():
        _tell(result, config, last, as_json)
    if stop.code is not None:
        note("stopped; the same command with --resume goes on")
        raise typer.Exit(stop.code)


def mixed(config: FitConfig) -> FitConfig:
    """Return the settings with a share of real pictures that is at least one picture."""
    if config.people is None:
        if config.people_share:
            raise CliError("--real-share: belongs to --real")
        if not config.data:
            raise CliError("name what to train on: --data DIR, or --real DIR with --losses none")
        return config
    least = 1 / (2 * config.pairs + 1)
    if not config.people_share:
        return config.model_copy(update={"people_share": max(USUAL_REAL_SHARE, least)})
    if config.data and round(_real(config)) == 0:
        raise CliError(
            f"--real-share: {config.people_share:g} is not one picture beside the "
            f"{2 * config.pairs} frames of an iteration; take {least:.2f} or more, "
            "or raise pairs by --set"
        )
    return config


def _real(config: FitConfig) -> float:
    return 2 * config.pairs * config.people_share / (1 - config.people_share)


def _beside(now: "FitProgress") -> str:
    parts = [f"{now.frames_per_s:.1f} frames/s"]
    if now.waiting >= 0.01:
        parts.append(f"{now.waiting:.0%} waiting for data")
    return ", ".join([*parts, time_left(now.seconds_left)])


def _losses(losses: Mapping[str, float]) -> str:
    terms = ", ".join(f"{name} {value:.3f}" for name, value in losses.items() if name != TOTAL)
    return f"{losses[TOTAL]:.3f}: {terms}"


def _tell(
    result: "FitResult", config: FitConfig, last: "FitProgress | None", as_json: bool
) -> None:
    if as_json:
        document = {**asdict(result), "checkpoint": str(result.checkpoint.absolute())}
        if last is not None:
            document |= {"frames_per_s": last.frames_per_s, "waiting": last.waiting}
        show_json(plain(document, 6))
        return
    rows: list[tuple[str, object]] = [
        ("checkpoint", result.checkpoint),
        ("iterations", f"{result.iterations} of {config.iterations}"),
        ("time", f"{result.seconds:.0f} s"),
        ("loss", _losses(result.losses) if result.losses else "none"),
    ]
    if last is not None:
        waiting = f"{last.waiting:.0%} of the time waiting for data"
        rows.append(("speed", f"{last.frames_per_s:.1f} frames a second, {waiting}"))
    show(facts([*rows, ("next", f"sightline train export {result.checkpoint.parent} BUNDLE")]))
