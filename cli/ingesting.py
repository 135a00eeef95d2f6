"""Run an ingest: watch it, stop it cleanly, and say at the end what became of every camera."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer
from rich.live import Live
from rich.table import Table

from cli import errors
from cli.delivering import Delivery, Route, delivery_line, left_over, route, sink_of
from cli.errors import CliError
from cli.options import EngineChoice, parse_cameras
from cli.output import complain, note, plain, show, show_json, stderr, table, warn, watched
from cli.reloading import reloading
from cli.stopping import Stop, stopping
from cli.watching import Watching, listening, publishing, start_logging, urls_of
from engines.engine import EngineInfo
from engines.errors import DeviceLostError
from streamer.address import is_file, local_path
from streamer.camera import State
from streamer.delivery.pump import PumpStatus
from streamer.errors import SourceUnavailableError, StreamError
from streamer.ingest import ingest
from streamer.probe import probe
from streamer.site import Site, load_site, site_from_cameras
from streamer.status import CameraReport, IngestReport, IngestStatus

GIVE_UP_S = 5.0
"""Nothing else to do, and cameras that never answered: so long they are tried all the same."""
_OVER = (State.ENDED, State.FAILED, State.DISABLED)


def run_ingest(
    site_file: Path | None,
    cameras: list[str],
    *,
    gallery: Path | None,
    delivery: Delivery,
    engine: EngineChoice,
    threads: int | None,
    keep_trying: bool,
    watching: Watching,
    watch_site: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Ingest until everything is read or somebody says stop; then report and set the exit code."""
    site = _site(site_file, cameras)
    start_logging(watching, *urls_of(site), delivery.redis or "", site.delivery.redis or "")
    _refuse_unreadable(site)
    way = route(delivery, site.delivery, gallery)
    with (
        listening(watching) as server,
        engine.open(threads=threads) as opened,
        sink_of(way, opened.info.model) as sink,
        stopping() as stop,
        reloading(site_file, site, stop, watch=watch_site) as reload,
        publishing(
            way.spool.parent,
            watching,
            server,
            lambda: opened.info,
            sink.status,
            stop.event.is_set,
        ) as publisher,
        _watching(quiet or watching.log is not None, lambda: delivery_line(sink.status())) as draw,
    ):
        watch = Watch(
            stop, draw, publisher.see,
            give_up_s=None if keep_trying else GIVE_UP_S, silent=watching.log is not None,
        )  # fmt: skip
        with _lost_device_told():
            report = ingest(site, opened, sink, stop=stop.event, progress=watch.see, reload=reload)
        publisher.see(report)
        info, delivered = opened.info, sink.status()
    if as_json:
        show_json(_document(way, info, report, delivered))
    else:
        show(cameras_table(report), summary(report))
    _finish(report, stop, left_over(delivered, way.spool))


@contextmanager
def _lost_device_told() -> Iterator[None]:
    """Say what became of everything when the accelerator is lost: only a new process can go on."""
    try:
        yield
    except DeviceLostError as error:
        raise DeviceLostError(
            f"{error}; everything that was found before it is in the gallery, open tracklets and "
            "coverage too; start it again"
        ) from error


def _site(site_file: Path | None, cameras: list[str]) -> Site:
    if (site_file is None) == (not cameras):
        raise CliError("name a SITE.yaml or at least one --camera NAME=URL, not both")
    if site_file is not None:
        return load_site(site_file)
    site = site_from_cameras(parse_cameras(cameras))
    files = [camera for camera in site.cameras.values() if is_file(camera.url)]
    lost = [camera for camera in files if not local_path(camera.url).exists()]
    if lost:
        lines = [f"camera {camera.name}: no such file: {camera.shown_url}" for camera in lost]
        raise StreamError("\n".join(lines))
    return site


def _refuse_unreadable(site: Site) -> None:
    """Raise when all that shall be read are files and none can be: no gallery is made for that.

    Raises:
        StreamError: it says why, a line for each file.
    """
    faults: list[str] = []
    enabled = [camera for camera in site.cameras.values() if camera.enabled]
    for camera in enabled:
        if not is_file(camera.url):
            return
        try:
            probe(camera.url, seconds=0)
        except SourceUnavailableError as error:
            faults.append(f"camera {camera.name}: {error}")
        else:
            return
    raise StreamError("\n".join(faults) or "the site has no camera that is switched on")


class Watch:
    """Follows the status: draws it, warns of what changed, and gives up when nothing is left."""

    def __init__(
        self,
        stop: Stop,
        draw: Callable[[IngestStatus], None],
        publish: Callable[[IngestStatus], None] = lambda status: None,
        *,
        give_up_s: float | None,
        silent: bool = False,
    ) -> None:
        self._stop = stop
        self._draw = draw
        self._publish = publish
        self._silent = silent
        self._give_up_s = give_up_s
        self._hopeless_since_s: float | None = None
        self._told: dict[str, str] = {}

    def see(self, status: IngestStatus) -> None:
        """Take the newest status."""
        self._publish(status)
        for camera in () if self._silent else status.cameras:
            self._tell(camera)
        self._draw(status)
        if self._give_up_s is None or not hopeless(status):
            self._hopeless_since_s = None
            return
        if self._hopeless_since_s is None:
            self._hopeless_since_s = status.seconds
        if status.seconds - self._hopeless_since_s >= self._give_up_s:
            self._stop.event.set()

    def _tell(self, camera: CameraReport) -> None:
        before = self._told.get(camera.camera, "")
        if camera.error == before:
            return
        self._told[camera.camera] = camera.error
        if camera.error:
            again = "" if camera.state in _OVER else "; trying again"
            warn(f"camera {camera.camera}: {camera.error}{again}")
        else:
            note(f"camera {camera.camera}: back")


def hopeless(status: IngestStatus) -> bool:
    """Tell whether all that is left are cameras that were tried and never answered."""
    left = [camera for camera in status.cameras if camera.state not in _OVER]
    return bool(left) and all(camera.frames == 0 and camera.error for camera in left)


@contextmanager
def _watching(quiet: bool, beside: Callable[[], str]) -> Iterator[Callable[[IngestStatus], None]]:
    if quiet or not watched():
        yield lambda status: None
        return
    with Live(console=stderr(), transient=True, auto_refresh=False) as live:
        yield lambda status: live.update(_moving(status, beside()), refresh=True)


def _moving(status: IngestStatus, beside: str) -> Table:
    out = cameras_table(status)
    pace = f"{status.seconds:.0f} s, {status.frames_per_s:.1f} frames a second"
    out.caption = f"{pace}\n{beside}" if beside else pace
    out.caption_justify = "left"
    return out


def cameras_table(status: IngestStatus) -> Table:
    """Return the counters of all cameras, a row each."""
    columns = ["camera", "state", ">frames", ">searched", ">sightings", ">tracklets", ">dropped"]
    rows = [
        (
            camera.camera,
            camera.state.value,
            camera.frames,
            camera.searched,
            camera.sightings,
            camera.tracklets,
            sum(camera.dropped.values()),
        )
        for camera in status.cameras
    ]
    return table(columns, rows)


def summary(report: IngestReport) -> str:
    """Return the end of an ingest in one line."""
    dropped = sum(sum(camera.dropped.values()) for camera in report.cameras)
    return (
        f"{report.sightings} sightings in {report.searched} frames searched, {dropped} dropped, "
        f"{report.seconds:.1f} s, {report.frames_per_s:.1f} frames a second"
    )


def _document(
    way: Route, info: EngineInfo, report: IngestReport, delivered: PumpStatus
) -> dict[str, object]:
    cameras = [{**asdict(camera), "failed": camera.failed} for camera in report.cameras]
    document: dict[str, object] = plain({
        "gallery": str(way.gallery.absolute()) if way.gallery else None,
        "redis": way.address.shown if way.address else None,
        "model": info.model,
        "engine": {"backend": info.backend, "precision": info.precision, "reason": info.reason},
        "seconds": report.seconds,
        "frames_per_s": report.frames_per_s,
        "searched": report.searched,
        "sightings": report.sightings,
        "stopped": report.stopped,
        "delivery": asdict(delivered),
        "cameras": cameras,
    })  # fmt: skip
    return document


def _finish(report: IngestReport, stop: Stop, waits: str) -> None:
    """Set the exit code: a signal first, then what could not be read, then what still waits."""
    bad = [camera for camera in report.cameras if _unread(camera)]
    for camera in bad:
        what = "broke off" if camera.frames else "could not be read"
        complain(f"camera {camera.camera} {what}: {camera.error} ({camera.url})")
    for camera in report.cameras:
        if camera.crowded:
            warn(f"camera {camera.camera}: {camera.crowded} frames were so crowded that persons "
                 "may be missing")  # fmt: skip
    if waits:
        complain(waits)
    if stop.code is not None:
        raise typer.Exit(stop.code)
    if bad:
        raise typer.Exit(errors.SOURCE)
    if waits:
        raise typer.Exit(errors.GALLERY)


def _unread(camera: CameraReport) -> bool:
    """Tell whether a camera never gave a frame, or a recording ended before its end."""
    return camera.failed or (camera.state in _OVER and bool(camera.error))
