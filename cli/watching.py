"""Let others watch a running ingest: its status file, metrics over HTTP, its log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.errors import EXPECTED, CliError
from cli.logs import LogFormat, start_log
from cli.output import note
from engines.engine import EngineInfo
from streamer.delivery.pump import PumpStatus
from streamer.redact import redact
from streamer.site import Site
from streamer.watching.events import Event, log_event
from streamer.watching.publisher import Publisher
from streamer.watching.server import StatusServer
from streamer.watching.snapshot import Snapshot

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Watching:
    """How an ingest may be watched, as the command line names it; None: not at all."""

    http: str | None = None
    log: LogFormat | None = None


def start_logging(watching: Watching, *urls: str) -> None:
    """Begin the log that was asked for; the passwords of some addresses never stand in it."""
    if watching.log is not None:
        start_log(watching.log, lambda text: redact(text, *urls))


def urls_of(site: Site) -> list[str]:
    """Return the addresses of all cameras, complete: never print them."""
    return [camera.url for camera in site.cameras.values()]


@contextmanager
def listening(watching: Watching) -> Iterator[StatusServer | None]:
    """Bind the address for metrics, if one was named, before anything else is opened.

    Raises:
        CliError: no such address.
        ListenError: nobody can listen there.
    """
    if watching.http is None:
        yield None
        return
    server = StatusServer(*parse_address(watching.http))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def publishing(
    folder: Path,
    watching: Watching,
    server: StatusServer | None,
    engine: Callable[[], EngineInfo],
    delivery: Callable[[], PumpStatus],
    stopping: Callable[[], bool],
) -> Iterator[Publisher]:
    """Publish the status while the block runs, and at its end how it ended."""
    from cli.app import installed_version

    tell = log_event if watching.log is not None else _keep_quiet
    publisher = Publisher(
        folder,
        version=installed_version(),
        engine=engine,
        delivery=delivery,
        stopping=stopping,
        tell=tell,
    )
    publisher.start()
    failure = "stopped by an error that nobody foresaw"
    try:
        if server is not None:
            server.start(lambda: publisher.snapshot)
            note(f"metrics and health: {server.url}/metrics, {server.url}/health")
        tell(_started(publisher.snapshot))
        yield publisher
        failure = ""
    except EXPECTED as error:
        failure = redact(str(error))
        raise
    finally:
        publisher.close(failure)
        tell(_ended(publisher.snapshot))


def _keep_quiet(_event: Event) -> None:
    """Tell nobody: there is no log."""


def _started(snapshot: Snapshot) -> Event:
    engine = snapshot.engine
    fields = {"version": snapshot.version, "pid": snapshot.pid, **engine.model_dump()}
    message = f"started: {engine.name} on {engine.backend}, {engine.precision}"
    return Event(logging.INFO, "", "started", message, fields)


def _ended(snapshot: Snapshot) -> Event:
    searched = sum(camera.searched for camera in snapshot.cameras)
    sightings = sum(camera.sightings for camera in snapshot.cameras)
    done = {"seconds": snapshot.seconds, "searched": searched, "sightings": sightings}
    if snapshot.reason:
        failed = {**done, "reason": snapshot.reason}
        return Event(logging.ERROR, "", "ended", f"failed: {snapshot.reason}", failed)
    return Event(logging.INFO, "", "ended", f"ended: {sightings} sightings", done)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` or ``PORT``.

    Without a host it is loopback, which nobody on the network can reach.

    Raises:
        CliError: it is no address.
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        if 0 <= int(port) <= 65535 and (":" not in bare or host != bare):
            return bare or LOOPBACK, int(port)
    raise CliError(f"--http: want HOST:PORT, as 127.0.0.1:9100 (got {text!r})")
