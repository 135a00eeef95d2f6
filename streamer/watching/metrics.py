"""The status of an ingest in the text format of Prometheus (0.0.4).

Names end in their unit, counters in ``_total``. A value that is not known has no sample.
"""

import os
import resource
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.camera import State
from streamer.watching.snapshot import CameraView, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["counter", "gauge"]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the prefix, and its samples."""

    name: str
    kind: Kind
    help: str
    samples: tuple[tuple[Labels, float], ...]


def render(snapshot: Snapshot, now_s: float) -> str:
    """Return all metrics at a monotonic time."""
    return "".join(_text(family) for family in families(snapshot, now_s))


def families(snapshot: Snapshot, now_s: float) -> Iterator[Family]:
    """Yield every metric, in the order of the page."""
    yield from _of_ingest(snapshot, now_s)
    yield from _of_cameras(snapshot, now_s)
    yield from _of_delivery(snapshot)
    yield from _of_process()


def escaped(text: str) -> str:
    """Return a label's value as it stands between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _text(family: Family) -> str:
    said = family.help.replace("\\", r"\\").replace("\n", r"\n")
    lines = [f"# HELP {family.name} {said}", f"# TYPE {family.name} {family.kind}"]
    for labels, value in family.samples:
        inside = ",".join(f'{key}="{escaped(item)}"' for key, item in labels.items())
        number = str(value) if isinstance(value, int) else repr(float(value))
        lines.append(f"{family.name}{{{inside}}} {number}" if inside else f"{family.name} {number}")
    return "\n".join(lines) + "\n"


def _one(name: str, kind: Kind, said: str, value: float | None) -> Family:
    return Family(f"sightline_{name}", kind, said, () if value is None else (({}, value),))


def _of_ingest(snapshot: Snapshot, now_s: float) -> Iterator[Family]:
    engine, batch = snapshot.engine, snapshot.batch
    about = {
        "version": snapshot.version, "engine": engine.name, "model": engine.model,
        "backend": engine.backend, "precision": engine.precision,
    }  # fmt: skip
    yield Family("sightline_info", "gauge", "What runs; always 1.", ((about, 1),))
    healthy = int(not snapshot.troubles(now_s))
    yield _one("healthy", "gauge", "1 when /health answers 200.", healthy)
    began = snapshot.started_at.timestamp()
    yield _one("start_time_seconds", "gauge", "When ingest began, seconds since 1970.", began)
    age = round(snapshot.loop_age_s(now_s), 3)
    yield _one("loop_age_seconds", "gauge", "Since the loop last passed.", age)
    yield _one("batches_total", "counter", "Calls of the engine.", batch.batches)
    yield _one("batch_size_frames", "gauge", "Frames that a batch may hold.", batch.size)
    yield _one("batch_fill_ratio", "gauge", "Mean share of a batch in use, 10 s.", batch.fill)


def _of_cameras(snapshot: Snapshot, now_s: float) -> Iterator[Family]:
    cameras = snapshot.cameras
    yield Family(
        "sightline_camera_state", "gauge", "1 for the state that the camera is in, 0 for others.",
        tuple(({"camera": c.camera, "state": state.value}, int(c.state is state))
              for c in cameras for state in State),
    )  # fmt: skip
    for name, said, values in _counters(cameras):
        yield _each(f"camera_{name}_total", "counter", said, cameras, values)
    yield Family(
        "sightline_camera_dropped_frames_total", "counter", "Frames lost, by cause.",
        tuple(({"camera": c.camera, "cause": cause}, count)
              for c in cameras for cause, count in sorted(c.dropped.items())),
    )  # fmt: skip
    for name, said, ages in _gauges(snapshot, now_s):
        yield _each(f"camera_{name}", "gauge", said, cameras, ages)


def _counters(cameras: Iterable[CameraView]) -> Iterator[tuple[str, str, list[float | None]]]:
    yield "frames", "Frames decoded.", [c.frames for c in cameras]
    yield "searched_frames", "Frames searched for persons.", [c.searched for c in cameras]
    yield "sightings", "Sightings handed out.", [c.sightings for c in cameras]
    yield "tracklets", "Tracklets that became sightings.", [c.tracklets for c in cameras]
    yield "reconnects", "How often the camera came back.", [c.reconnects for c in cameras]
    yield "outside_zones_persons", "Persons outside every zone.", [c.outside_zones for c in cameras]
    yield "crowded_frames", "Frames that filled the engine's slots.", [c.crowded for c in cameras]


def _gauges(snapshot: Snapshot, now_s: float) -> Iterator[tuple[str, str, list[float | None]]]:
    cameras = snapshot.cameras
    few: list[float | None] = [int(c.key_frames_only) for c in cameras]
    yield "key_frames_only", "1 while overload leaves only key frames.", few
    yield "lag_seconds", "Age of the last frame when searched.", [c.lag_s for c in cameras]
    ages = [snapshot.aged(c, now_s) for c in cameras]
    yield "last_frame_age_seconds", "Since the last frame came.", ages
    yield "stall_limit_seconds", "Age from which it is stalled.", [c.stall_s for c in cameras]
    offsets = [c.clock_offset_s for c in cameras]
    yield "clock_offset_seconds", "The camera's clock minus ours.", offsets


def _each(
    name: str, kind: Kind, said: str, cameras: Iterable[CameraView], values: list[float | None]
) -> Family:
    pairs = zip(cameras, values, strict=True)
    samples = tuple(({"camera": c.camera}, value) for c, value in pairs if value is not None)
    return Family(f"sightline_{name}", kind, said, samples)


def _of_delivery(snapshot: Snapshot) -> Iterator[Family]:
    way = snapshot.delivery
    if way is None:
        return
    yield _one("delivery_waiting_entries", "gauge", "Entries not yet delivered.", way.waiting)
    oldest = round(way.oldest_s, 3)
    yield _one("delivery_oldest_seconds", "gauge", "Age of the oldest of them.", oldest)
    yield _one("delivery_kept_entries", "gauge", "Delivered, kept for a while.", way.kept)
    yield _one("spool_bytes", "gauge", "Size of the entries in the spool.", way.bytes)
    yield _one("delivery_sent_entries_total", "counter", "Entries handed over.", way.sent)
    yield _one("delivery_refused_entries", "gauge", "Set aside, undeliverable.", way.refused)
    yield _one(
        "delivery_away", "gauge", "1 while the other side takes nothing.", int(bool(way.away))
    )


def _of_process() -> Iterator[Family]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = round(used.ru_utime + used.ru_stime, 3)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path a handle is waste
    for name, kind, said, value in (
        ("cpu_seconds_total", "counter", "Processor time used.", seconds),
        ("resident_memory_bytes", "gauge", "Memory in use.", pages * resource.getpagesize()),
        ("open_fds", "gauge", "Open file descriptors.", handles),
        ("threads", "gauge", "Threads of Python.", threading.active_count()),
    ):
        yield Family(f"process_{name}", kind, said, (({}, value),))  # type: ignore[arg-type]
