"""Show how a running ingest does, from the file that it writes every second."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli import errors
from cli.errors import CliError
from cli.options import gallery_path
from cli.output import show, show_json, size_text, stdout, table
from gallery.errors import GalleryNotFoundError
from streamer.watching.snapshot import CameraView, Phase, Snapshot
from streamer.watching.statusfile import Found, Liveness, look

AGAIN_S = 1.0
_COLOURS = {"live": "green", "ended": "green", "disabled": "dim", "removed": "dim",
            "connecting": "yellow"}  # fmt: skip


def run_status(given: Path | None, spool: Path | None, *, watch: bool, as_json: bool) -> None:
    """Show the status once, or again and again; set the exit code by what was found last.

    Raises:
        CliError, GalleryNotFoundError, StatusFileError
    """
    if given is not None and spool is not None:
        raise CliError("--gallery and --spool: name one of them")
    folder = gallery_path(given) if spool is None else spool
    if not folder.is_dir():
        raise GalleryNotFoundError(f"no folder lies at {folder}: no ingest has run there")
    if watch:
        _follow(folder, as_json)
    found, now_s = look(folder, time.monotonic()), time.monotonic()
    if as_json:
        show_json(document(folder, found, now_s))
    else:
        show(*for_people(folder, found, now_s))
    raise typer.Exit(exit_code(found, now_s))


def exit_code(found: Found, now_s: float) -> int:
    """Return 0, or what is wrong: 3 a camera, 5 the ingest."""
    if found.snapshot is None or not found.alive:
        return errors.GALLERY
    return errors.SOURCE if found.snapshot.troubles(now_s) else errors.OK


def _follow(folder: Path, as_json: bool) -> None:
    """Show the status every second until Ctrl-C, which ends this process."""
    if as_json:
        while True:
            now_s = time.monotonic()
            line = json.dumps(document(folder, look(folder, now_s), now_s), ensure_ascii=False)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            time.sleep(AGAIN_S)
    with Live(console=stdout(), auto_refresh=False) as live:
        while True:
            now_s = time.monotonic()
            live.update(Group(*for_people(folder, look(folder, now_s), now_s)), refresh=True)
            time.sleep(AGAIN_S)


def document(folder: Path, found: Found, now_s: float) -> dict[str, object]:
    """Return everything for programs; ages are those of this moment."""
    snapshot = found.snapshot
    out: dict[str, object] = {
        "folder": str(folder.absolute()),
        "ingest": found.liveness.value,
        "ok": exit_code(found, now_s) == errors.OK,
        "said": headline(folder, found, now_s),
    }
    if snapshot is None:
        return out
    out |= snapshot.model_dump(mode="json", exclude={"heartbeat_s", "ticked_s", "format"})
    out["loop_age_s"] = round(snapshot.loop_age_s(now_s), 3)
    out["troubles"] = snapshot.troubles(now_s) if found.alive else []
    return out


def headline(folder: Path, found: Found, now_s: float) -> str:
    """Return in one sentence whether an ingest runs here."""
    snapshot = found.snapshot
    if snapshot is None:
        return f"No ingest has run in {folder}."
    pid, loop_s = snapshot.pid, snapshot.loop_age_s(now_s)
    last = f"{_moment(snapshot.written_at)}, {_ago(snapshot.written_at)}"
    if found.alive and snapshot.phase is Phase.STOPPING:
        return f"The ingest is stopping: it finishes what is on the way (process {pid})."
    return {
        Liveness.RUNNING: f"The ingest runs since {_moment(snapshot.started_at)} (process {pid}).",
        Liveness.STUCK: f"THE INGEST HANGS: its loop has not passed for {loop_s:.0f} s "
        f"(process {pid}).",
        Liveness.STALE: f"THE INGEST HANGS: process {pid} is there but has written nothing since "
        f"{last}.",
        Liveness.DIED: f"NO INGEST RUNS: process {pid} died; its last sign is of {last}.",
        Liveness.FAILED: f"NO INGEST RUNS: it failed at {last}: {snapshot.reason}",
        Liveness.ENDED: f"No ingest runs: the last one ended at {last}.",
    }[found.liveness]


def for_people(folder: Path, found: Found, now_s: float) -> Iterator[RenderableType]:
    """Yield what a person reads: the sentence, the cameras, what is wrong, the rest."""
    bold = "" if found.liveness in (Liveness.RUNNING, Liveness.NONE, Liveness.ENDED) else "bold red"
    yield Text(headline(folder, found, now_s), bold)
    snapshot = found.snapshot
    if snapshot is None:
        return
    if found.alive:
        yield _cameras(snapshot, now_s)
        for trouble in snapshot.troubles(now_s):
            name = f"camera {trouble['camera']}" if "camera" in trouble else trouble["part"]
            yield Text(f"{name}: {trouble['reason']}", "red")
    elif snapshot.cameras:
        yield Text("What it said last:")
        yield _cameras(snapshot, snapshot.ticked_s)
    yield from _rest(snapshot)


def _cameras(snapshot: Snapshot, now_s: float) -> RenderableType:
    columns = ["camera", "state", ">fps in", ">fps out", ">behind", ">last frame", ">clock",
               ">reconnects", ">sightings", "dropped"]  # fmt: skip
    return table(columns, [_row(snapshot, camera, now_s) for camera in snapshot.cameras])


def _row(snapshot: Snapshot, camera: CameraView, now_s: float) -> tuple[object, ...]:
    age_s = snapshot.aged(camera, now_s)
    return (
        camera.camera,
        Text(_state_text(camera), _COLOURS.get(camera.state.value, "red")),
        f"{camera.fps_in:.1f}",
        f"{camera.fps_out:.1f}",
        "" if camera.lag_s is None else f"{camera.lag_s * 1000:.0f} ms",
        "" if age_s is None else f"{age_s:.1f} s ago",
        "" if camera.clock_offset_s is None else f"{camera.clock_offset_s:+.2f} s",
        camera.reconnects,
        camera.sightings,
        ", ".join(f"{count} {cause}" for cause, count in sorted(camera.dropped.items()) if count),
    )


def _state_text(camera: CameraView) -> str:
    return (
        f"{camera.state.value}, key frames only" if camera.key_frames_only else camera.state.value
    )


def _rest(snapshot: Snapshot) -> Iterator[RenderableType]:
    engine, batch = snapshot.engine, snapshot.batch
    why = f" ({engine.reason})" if engine.reason else ""
    for camera in snapshot.cameras:
        if camera.decoder and camera.decoder != "software":
            yield Text(f"camera {camera.camera} is decoded by {camera.decoder}")
    yield Text(f"engine: {engine.name} on {engine.backend}, {engine.precision}{why}")
    if batch.fill is not None:
        yield Text(f"batches: {batch.fill:.0%} of {batch.size} places used")
    way = snapshot.delivery
    if way is None:
        yield Text("delivery: the spool does not answer", "red")
        return
    waits = f"{way.waiting} entries wait, the oldest {way.oldest_s:.0f} s, {size_text(way.bytes)}"
    text = f"delivery: {waits}" if way.waiting else "delivery: nothing waits"
    text += f"; {way.refused} set aside" if way.refused else ""
    yield Text(f"{text}; {way.away}" if way.away else text, "yellow" if way.away else "")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(moment: datetime) -> str:
    from gallery.coverage import duration_text

    passed_ms = max(0, round((datetime.now(UTC) - moment).total_seconds() * 1000))
    return f"{duration_text(passed_ms)} ago"
