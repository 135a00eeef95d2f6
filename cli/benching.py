"""Measure a training step and search scoring, each beside something known."""

from statistics import median

from cli.output import facts, plain, show, show_json, table
from cli.progress import counter
from engines.runtimes import require
from train.evaluation.speed import time_scoring


def run_bench_train(
    *,
    input_hw: tuple[int, int],
    frames: int,
    rois: int,
    repeats: int,
    threads: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Time steps of our network and of torchvision's, in turns."""
    require("torch", "train")
    from train.distributed import choose_device
    from train.experiments.steptime import compare_steps

    chosen = choose_device(device).type
    with counter("timing", "turns") as tick:
        times = compare_steps(
            input_hw=input_hw, frames=frames, rois=rois, repeats=repeats, threads=threads,
            device=chosen, progress=tick,
        )  # fmt: skip
    if as_json:
        show_json(plain(times.as_json(), 6))
        return
    rows = [("Sightline", *_spread(times.ours_s)), ("torchvision", *_spread(times.theirs_s))]
    height, width = input_hw
    show(
        table(["seconds a step", ">median", ">least", ">most"], rows),
        facts([
            ("ratio", f"{times.ratio:.2f}, median over {len(times.ours_s)} turns"),
            ("networks", "DC-I-Net, and Faster R-CNN with an embedding head; ResNet-50"),
            ("step", f"{frames} frames of {width} x {height}, {rois} RoIs each"),
            ("on", f"{chosen}, {times.setting['threads']} threads"),
        ]),
    )  # fmt: skip


def _spread(seconds: tuple[float, ...]) -> tuple[str, str, str]:
    return f"{median(seconds):.3f}", f"{min(seconds):.3f}", f"{max(seconds):.3f}"


def run_bench_scoring(
    *,
    queries: int,
    frames: int,
    gallery: int,
    persons: int,
    looped: int,
    seed: int,
    as_json: bool,
) -> None:
    """Time the scoring of random detections, and a loop that does the same."""
    found = time_scoring(
        queries=queries, frames=frames, gallery=gallery, persons=persons,
        looped=min(looped, queries), seed=seed,
    )  # fmt: skip
    if as_json:
        show_json(plain(found, 12))
        return
    few = f"{found['looped']:.0f} queries"
    rows = [
        (few, f"{found['vectorised_s']:.2f}", f"{found['loop_s']:.2f}"),
        (f"{queries} queries", f"{found['all_s']:.2f}", f"{found['loop_all_s']:.1f} extrapolated"),
    ]
    show(
        table(["seconds for", ">Sightline", ">plain loop"], rows),
        facts([
            ("ratio", f"{found['ratio']:.1f}, on the same {few}"),
            ("detections", f"{found['detections']:.0f} in {frames} frames"),
            ("galleries", f"{gallery} frames each"),
            ("difference", f"{found['difference']:.1e} of any average precision at most"),
        ]),
    )  # fmt: skip
