"""Run the writer that moves sightings from Redis into a gallery, and a Redis of one's own."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.live import Live
from rich.text import Text

from cli.errors import CliError
from cli.options import gallery_path
from cli.output import facts, note, show, show_json, show_line, stderr, warn, watched
from cli.stopping import Stop, stopping
from gallery.gallery import Gallery
from gallery.manifest import FILE
from streamer.delivery.group import StreamGroup
from streamer.delivery.keeper import GalleryKeeper, GalleryTarget
from streamer.delivery.pump import PumpStatus, Target
from streamer.delivery.redis_client import RedisAddress, ask, connect, redis_address
from streamer.delivery.redis_target import STREAM, RedisTarget
from streamer.delivery.server import Fsync, LocalRedis
from streamer.delivery.sink import DRAIN_S, SpoolingSink
from streamer.delivery.spool import Spool
from streamer.delivery.writer import Writer, WriterStatus
from streamer.errors import AwayError, ServerError, SpoolError
from streamer.settings import DeliverySection

if TYPE_CHECKING:
    from redis import Redis

SPOOL_FILE = "spool.sqlite"
SPOOL_FOLDER = Path("sightline-spool")
GALLERY_DRAIN_S = 30.0
"""A gallery that compacts takes nothing for up to 18 s."""
SERVER_POLL_S = 0.2


def run_deliver(
    redis: str,
    *,
    gallery: Path | None,
    stream: str,
    name: str | None,
    once: bool,
    retry_dead: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store what comes through Redis until somebody says stop; then report."""
    address = redis_address(redis)
    path = gallery_path(gallery)
    client = connect(address, name="sightline-deliver")
    group = StreamGroup(client, address, name or consumer_name(path), stream=stream)
    keeper = GalleryKeeper(lambda model: open_gallery(path, model), opened_gallery(path))
    writer = Writer(group, keeper)
    try:
        greet(client, address, needed=once or retry_dead)
        if retry_dead:
            note(f"{group.revive()} entries that were set aside are tried again")
        with stopping() as stop, _watching(quiet) as draw:
            writer.run(stop.event, draw, until_empty=once)
    finally:
        writer.close()
        client.close()
    _report(writer.status, path, as_json)
    _finish(stop)


def consumer_name(path: Path) -> str:
    """Return a name for the owner of a gallery that is the same after a restart."""
    place = hashlib.blake2b(bytes(path.absolute()), digest_size=4).hexdigest()
    return f"{socket.gethostname()}:{place}"


def opened_gallery(path: Path) -> Gallery | None:
    """Return a gallery that is there already, opened.

    Raises:
        GalleryError: it is in use by another process, or damaged.
    """
    return Gallery.open(path) if (path / FILE).is_file() else None


def open_gallery(path: Path, model: str) -> Gallery:
    """Return a gallery, made for a model if there is none."""
    return opened_gallery(path) or Gallery.open(path, model=model, create=True)


def greet(client: "Redis", address: RedisAddress, *, needed: bool) -> None:
    """Ask Redis who it is, and warn when it may lose what it takes.

    Raises:
        AwayError: it does not answer, and nothing can be done without it.
    """
    try:
        found = ask(client, address)
    except AwayError as error:
        if needed:
            raise
        warn(f"{error}; trying again")
        return
    for text in found.warnings:
        warn(f"Redis at {address.shown}: {text}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where ingest sends sightings, as the command line names it; None: not named."""

    redis: str | None = None
    stream: str | None = None
    spool: Path | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where ingest sends sightings: a gallery of its own, or a stream."""

    gallery: Path | None
    address: RedisAddress | None
    stream: str
    spool: Path
    """The spool's file."""


def route(given: Delivery, site: DeliverySection, gallery: Path | None) -> Route:
    """Return where sightings go: the command line is stronger than site.yaml.

    Raises:
        CliError: what is named does not go together.
        DeliverySettingsError: no such address.
    """
    redis = given.redis or site.redis
    stream = given.stream or site.stream or STREAM
    if redis is None:
        if given.stream or given.spool:
            raise CliError("--stream and --spool go with --redis")
        path = gallery_path(gallery)
        return Route(path, None, stream, path / SPOOL_FILE)
    if gallery is not None:
        raise CliError("--gallery and --redis: sightings go to one of them; the gallery is named "
                       "to sightline deliver")  # fmt: skip
    folder = given.spool or (Path(site.spool) if site.spool else SPOOL_FOLDER)
    address = redis_address(redis) if given.redis else redis_address(redis, None)
    return Route(None, address, stream, folder / SPOOL_FILE)


@contextmanager
def sink_of(route: Route, model: str) -> Iterator[SpoolingSink]:
    """Give the sink that sends sightings there by way of a spool.

    Raises:
        GalleryError: the gallery cannot be opened, or holds another model's vectors.
        SpoolError: the spool cannot be opened.
    """
    target = _gallery_target(route.gallery, model) if route.gallery else _redis_target(route)
    try:
        spool = Spool(route.spool)
    except SpoolError:
        target.close()
        raise
    drain_s = GALLERY_DRAIN_S if route.gallery else DRAIN_S
    with SpoolingSink(spool, target, model=model, drain_s=drain_s) as sink:
        yield sink


def _gallery_target(path: Path, model: str) -> Target:
    def opened(model: str) -> Gallery:
        return Gallery.open(path, model=model, create=True)

    return GalleryTarget(GalleryKeeper(opened, opened(model)))


def _redis_target(route: Route) -> Target:
    assert route.address is not None
    client = connect(route.address, name="sightline-ingest")
    greet(client, route.address, needed=False)
    return RedisTarget(client, route.address, stream=route.stream)


def left_over(status: PumpStatus, spool: Path) -> str:
    """Return what ingest leaves undelivered, in one sentence; "" when it is nothing."""
    if not status.waiting:
        return ""
    why = status.away or "the other side was too slow"
    return f"{status.waiting} entries wait in {spool} and are delivered next time: {why}"


def delivery_line(status: PumpStatus) -> str:
    """Return in one line what waits to be delivered; "" when nothing does."""
    if not status.waiting and not status.away:
        return ""
    waits = f"{status.waiting} entries wait to be delivered, the oldest {status.oldest_s:.0f} s"
    return f"{waits}: {status.away}" if status.away else waits


def run_redis(folder: Path, *, fsync: Fsync, memory_mb: int, as_json: bool) -> None:
    """Run a Redis server in a folder until somebody says stop.

    Raises:
        ServerError: it cannot be started, or ended by itself.
    """
    with stopping() as stop, LocalRedis(folder, fsync=fsync, memory_mb=memory_mb) as server:
        if as_json:
            show_json({"url": server.url, "pid": server.pid, "program": str(server.program),
                       "appendfsync": fsync})  # fmt: skip
        else:
            show_line(server.url)
            note(f"{server.program} keeps everything in {server.folder} (appendfsync {fsync}); "
                 "Ctrl-C stops it")  # fmt: skip
        typer.get_text_stream("stdout").flush()
        while not stop.event.wait(SERVER_POLL_S):
            if server.ended():
                raise ServerError(f"{server.program} ended: {server.last_words()}")
    _finish(stop)


@contextmanager
def _watching(quiet: bool) -> Iterator[Callable[[WriterStatus], None]]:
    if quiet or not watched():
        yield lambda status: None
        return
    with Live(console=stderr(), transient=True, auto_refresh=False) as live:
        yield lambda status: live.update(Text(_line(status)), refresh=True)


def _line(status: WriterStatus) -> str:
    done = f"{status.stored} sightings stored, {status.coverage} of coverage"
    dead = f", {status.dead} set aside" if status.dead else ""
    return f"{done}{dead}" + (f"; waiting: {status.away}" if status.away else "")


def _report(status: WriterStatus, path: Path, as_json: bool) -> None:
    if as_json:
        show_json({"gallery": str(path.absolute()), **asdict(status)})
        return
    rows = [(name.replace("_", " "), value) for name, value in asdict(status).items() if value]
    show(facts([("gallery", path.absolute()), *rows]))


def _finish(stop: Stop) -> None:
    if stop.code is not None:
        raise typer.Exit(stop.code)
