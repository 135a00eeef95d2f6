"""Time the backends of an engine side by side."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli.candidates import runnable
from cli.enginebench_plot import check_plot, plot_bench
from cli.errors import CliError
from cli.footage import Pixels, read_frames
from cli.options import engine_path, plan_cache
from cli.output import facts, note, plain, show, show_json, size_text, table
from cli.progress import stages
from engines.bench.measure import Cell, Contender, Report, Spread, measure
from engines.bundle import Bundle, open_bundle
from engines.letterbox import Letterbox
from engines.plans.cache import PlanCache
from engines.plans.machine import cpu_text

CAMERA_HW = (1080, 1920)
FRAMES = 8
EAGER, ORDINARY = "reference", "onnxruntime"
BUSY = 0.5
"""Processes that wait for a core, for each core, from which figures are doubtful."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is timed, and how; see the command's options."""

    backends: str | None
    batch: str
    seconds: float
    rounds: int
    threads: int | None
    device: str | None
    data: Path | None
    graph_only: bool
    seed: int


def run_bench(
    given: Path | None, options: BenchOptions, *, plot: Path | None, as_json: bool
) -> None:
    """Time the backends and print the table; draw it if asked."""
    bundle = open_bundle(engine_path(given))
    cache = plan_cache()
    contenders = _contenders(options.backends, bundle, cache)
    batches = parse_batches(options.batch)
    if plot is not None:
        check_plot(plot)
    frames = _frames(options.data, options.graph_only, bundle.manifest.input_hw)
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY * cores:
        note(f"other programs want {load:.1f} of {cores} cores: trust the ratios alone")
    with stages("opening") as tick:
        report = measure(
            bundle.path, contenders, frames, batches=batches, seconds=options.seconds,
            rounds=options.rounds, threads=options.threads, seed=options.seed,
            cache=cache.folder, device=options.device, progress=tick,
        )  # fmt: skip
    how = _how(bundle, report, options, frames, load)
    if plot is not None:
        plot_bench(plot, report, name=bundle.manifest.name)
        how["plot"] = str(plot.absolute())
    if as_json:
        show_json(plain({**how, "results": [_result(report, c) for c in report.cells]}, 6))
    else:
        show(*_tables(report), facts(_facts(bundle, report, how)))


def _contenders(text: str | None, bundle: Bundle, cache: PlanCache) -> list[Contender]:
    if text is None:
        return [Contender(*one) for one in runnable(bundle, cache)]
    named = [Contender.parse(part) for part in text.split(",") if part.strip()]
    if not named:
        raise CliError(f"--backends: want names with commas between (got {text!r})")
    return list(dict.fromkeys(named))


def parse_batches(text: str) -> list[int]:
    """Return the batch sizes of ``1,4,8``.

    Raises:
        CliError: not whole numbers from 1.
    """
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise CliError(f"--batch: want whole numbers from 1 with commas between (got {text!r})")
    return sorted(set(sizes))


def _frames(data: Path | None, graph_only: bool, input_hw: tuple[int, int]) -> list[Pixels]:
    if data is None:
        frames = _noise(input_hw if graph_only else CAMERA_HW)
    else:
        frames = read_frames(data, FRAMES)
    if not graph_only:
        return frames
    fitted = (Letterbox((f.shape[0], f.shape[1]), input_hw).fit(f) for f in frames)
    return [np.ascontiguousarray(one.transpose(1, 2, 0)) for one in fitted]


def _noise(hw: tuple[int, int]) -> list[Pixels]:
    """Return frames without meaning: a graph of fixed sizes takes as long on them as on any."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*hw, 3), np.uint8) for _ in range(FRAMES)]


def _how(
    bundle: Bundle, report: Report, options: BenchOptions, frames: list[Pixels], load: float
) -> dict[str, Any]:
    return {
        "bundle": str(bundle.path.absolute()),
        "model": bundle.manifest.model,
        "measured": "graph" if options.graph_only else "detect",
        "input_hw": list(report.input_hw),
        "frames": str(options.data.absolute()) if options.data else "noise",
        "frames_hw": [list(hw) for hw in sorted({frame.shape[:2] for frame in frames})],
        "threads": report.threads,
        "device": options.device,
        "machine": cpu_text(),
        "cores": os.cpu_count(),
        "load_before": load,
        "seconds": report.seconds,
        "rounds": report.rounds,
        "seed": report.seed,
        "processes": [
            {"backend": h.backend, "precision": h.precision, "load_s": h.load_s,
             "peak_rss_bytes": h.peak_rss_bytes}
            for h in report.held
        ],
    }  # fmt: skip


def _result(report: Report, cell: Cell) -> dict[str, Any]:
    return {
        "backend": cell.backend,
        "precision": cell.precision,
        "batch": cell.batch,
        "frames_per_s": cell.frames_per_s._asdict(),
        "frames_per_s_rounds": list(cell.fps),
        "ms_per_frame": cell.ms_per_frame,
        "latency_ms": {"p50": cell.p50_ms, "p90": cell.p90_ms, "p99": cell.p99_ms},
        "calls": cell.calls,
        "cpu_s_per_frame": cell.cpu_s,
        "ratio_to_eager": _document(report.ratio(cell, EAGER)),
        "ratio_to_onnxruntime": _document(report.ratio(cell, ORDINARY)),
    }


def _document(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else spread._asdict()


def _tables(report: Report) -> Iterator[Any]:
    speed = [
        (_name(c), c.batch, f"{c.frames_per_s.median:.1f}", f"{c.ms_per_frame:.1f}",
         f"{c.p50_ms:.1f}", f"{c.p90_ms:.1f}", f"{c.p99_ms:.1f}", f"{1000 * c.cpu_s:.1f}")
        for c in report.cells
    ]  # fmt: skip
    columns = ["backend", ">batch", ">fps", ">ms", ">p50", ">p90", ">p99", ">CPU ms"]
    yield table(columns, speed)
    ratios = [
        (_name(c), c.batch, *_ratio(report.ratio(c, EAGER)), *_ratio(report.ratio(c, ORDINARY)))
        for c in report.cells
    ]
    yield table(
        ["backend", ">batch", ">x eager", "least..most", ">x onnxruntime", "least..most"], ratios
    )
    held = [
        (f"{h.backend} {h.precision}", size_text(h.peak_rss_bytes), f"{h.load_s:.1f} s")
        for h in report.held
    ]
    yield table(["backend", ">memory at most", ">opened in"], held)


def _name(cell: Cell) -> str:
    return f"{cell.backend} {cell.precision}"


def _ratio(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "-", ""
    return f"{spread.median:.2f}", f"{spread.low:.2f}..{spread.high:.2f}"


def _facts(bundle: Bundle, report: Report, how: dict[str, Any]) -> Iterator[tuple[str, object]]:
    height, width = report.input_hw
    whole = "whole calls on frames of " if how["measured"] == "detect" else "graph, on frames of "
    sizes = ", ".join(f"{w} x {h}" for h, w in how["frames_hw"])
    yield "engine", f"{bundle.manifest.name}, input {width} x {height}"
    yield "measured", f"{whole}{sizes} ({how['frames']})"
    yield "fps, ms", "frames a second, and milliseconds a frame"
    yield "CPU ms", "processor time a frame, of all threads together"
    yield "p50 p90 p99", "milliseconds of a call, whatever its batch"
    if report.ratio(report.cells[0], EAGER):
        yield "eager", "torch fp32, the graph operator by operator"
    yield "threads", report.threads or "each runtime's own choice"
    yield "rounds", f"{report.rounds}, {report.seconds:g} s for each line in all"
    yield "on", f"{how['cores']} cores, {how['machine']}"
    if "plot" in how:
        yield "plot", how["plot"]
