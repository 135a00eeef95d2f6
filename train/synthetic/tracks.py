"""Ground truth of whole videos: MOTChallenge, AI City, journeys and the site's links.

Frames are 1-based in files. MOTChallenge lists everybody; people without identity keep a
track number of their own above `ANONYMOUS_OFFSET` and the flag 0, by which evaluators of
that format leave a track out. AI City and the journeys list identities only.
"""

import json
import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from train.synthetic.canvas import Label
from train.synthetic.paths import Visit
from train.synthetic.plan import Plan
from train.synthetic.video import iso_ms
from train.synthetic.world import WorldSpec

ANONYMOUS_OFFSET = 1000
VideoLabels = list[list[Label]]


@dataclass(frozen=True, slots=True)
class Stay:
    """One labelled visit: seconds of its first and last labelled frame."""

    person: int
    pid: int | None
    camera: int
    enter_s: float
    leave_s: float


def write_mot(folder: Path, spec: WorldSpec, camera: str, labels: VideoLabels) -> None:
    """Write gt/gt.txt and seqinfo.ini of one camera into `folder`."""
    rows = [
        f"{number},{_track(label)},{_box(label, ',')},{int(label.pid is not None)},1,"
        f"{label.visible:.4f}\n"
        for number, frame in enumerate(labels, start=1)
        for label in frame
    ]
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("".join(rows))
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={camera}\nimDir=img1\nframeRate={spec.fps:g}\n"
        f"seqLength={len(labels)}\nimWidth={spec.width}\nimHeight={spec.height}\nimExt=.jpg\n"
    )


def write_aicity(path: Path, cameras: list[VideoLabels]) -> None:
    """Write one line per identity, camera and frame; world positions in metres."""
    rows = [
        f"{index} {label.pid} {number} {_box(label, ' ')} "
        f"{label.world[0]:.3f} {label.world[1]:.3f}\n"
        for index, labels in enumerate(cameras, start=1)
        for number, frame in enumerate(labels, start=1)
        for label in frame
        if label.pid is not None
    ]
    path.write_text("".join(rows))


def stays(spec: WorldSpec, plan: Plan, cameras: list[VideoLabels]) -> list[Stay]:
    """Return all labelled visits, also of people without identity, by person and time."""
    times: dict[tuple[int, int], list[float]] = {}
    pids: dict[int, int | None] = {}
    for index, labels in enumerate(cameras):
        for number, frame in enumerate(labels):
            for label in frame:
                times.setdefault((label.person, index), []).append(number / spec.fps)
                pids[label.person] = label.pid
    found = [_stay(visit, times, pids) for visit in plan.visits]
    return sorted((s for s in found if s is not None), key=lambda s: (s.person, s.enter_s))


def write_journeys(path: Path, spec: WorldSpec, all_stays: list[Stay]) -> None:
    """Write the ordered visits of every identity."""
    people: dict[int, list[dict[str, str]]] = {}
    for stay in all_stays:
        if stay.pid is not None:
            visit = {
                "camera": spec.camera_name(stay.camera),
                "enter": iso_ms(spec.start + timedelta(seconds=stay.enter_s)),
                "leave": iso_ms(spec.start + timedelta(seconds=stay.leave_s)),
            }
            people.setdefault(stay.pid, []).append(visit)
    journeys = [{"id": pid, "visits": visits} for pid, visits in sorted(people.items())]
    path.write_text(json.dumps({"journeys": journeys}, indent=1) + "\n")


def link_limits(plan: Plan, all_stays: list[Stay]) -> dict[tuple[int, int], tuple[float, float]]:
    """Return min and max seconds for both directions, wide enough for every true transition."""
    limits: dict[tuple[int, int], tuple[float, float]] = {}
    for link in plan.links:
        limits[link.a, link.b] = limits[link.b, link.a] = (link.min_s, link.max_s + 8.0)
    for one, two in pairwise(all_stays):
        if one.person == two.person and one.camera != two.camera:
            took = two.enter_s - one.leave_s
            for pair in ((one.camera, two.camera), (two.camera, one.camera)):
                low, high = limits.get(pair, (took, took))
                limits[pair] = min(low, took), max(high, took)
    return {
        pair: (max(0.0, math.floor(low - 1.0)), math.ceil(high + 2.0))
        for pair, (low, high) in sorted(limits.items())
    }


def write_site(
    path: Path, spec: WorldSpec, limits: dict[tuple[int, int], tuple[float, float]]
) -> None:
    """Write site.yaml: cameras with their videos, and the links between them."""
    moment = iso_ms(spec.start).replace(".000Z", "Z")
    lines = [f"name: synthetic-{spec.seed}", "defaults: {detect: {fps: 5}}", "cameras:"]
    for index in range(spec.cameras):
        name = spec.camera_name(index)
        lines.append(f"  {name}: {{url: videos/{name}.mp4, start: {moment}, tags: [synthetic]}}")
    lines.append("links:" if limits else "links: []")
    for (a, b), (low, high) in limits.items():
        ends = f"from: {spec.camera_name(a)}, to: {spec.camera_name(b)}"
        lines.append(f"  - {{{ends}, min_s: {low:g}, max_s: {high:g}}}")
    path.write_text("\n".join(lines) + "\n")


def _stay(
    visit: Visit, times: dict[tuple[int, int], list[float]], pids: dict[int, int | None]
) -> Stay | None:
    seen = [
        t
        for t in times.get((visit.person, visit.camera), [])
        if visit.start_s - 1e-6 <= t <= visit.end_s + 1e-6
    ]
    if not seen:
        return None
    return Stay(visit.person, pids[visit.person], visit.camera, min(seen), max(seen))


def _track(label: Label) -> int:
    return label.pid if label.pid is not None else ANONYMOUS_OFFSET + label.person


def _box(label: Label, separator: str) -> str:
    return separator.join(f"{value:g}" for value in label.box)
