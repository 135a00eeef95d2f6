"""Take a changed site.yaml while ingest runs: on SIGHUP, and with --watch when the file changes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from cli.errors import TERMINATED, CliError
from cli.output import complain, note
from cli.stopping import Stop
from streamer.reload import SiteReload
from streamer.site import Site

_STDERR = 2


@contextmanager
def reloading(
    site_file: Path | None, site: Site, stop: Stop, *, watch: bool
) -> Iterator[SiteReload | None]:
    """Let SIGHUP ask for a new reading while the block runs; None where there is no site file.

    A terminal that is closed sends SIGHUP too: that is a wish to stop.

    Raises:
        CliError: there is no file to watch.
    """
    if site_file is None:
        if watch:
            raise CliError("--watch needs a SITE.yaml")
        yield None
        return
    reload = SiteReload(site_file, site, watch=watch, tell=note, complain=complain)
    in_terminal = os.isatty(_STDERR)

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        if in_terminal and not os.isatty(_STDERR):
            stop.code = TERMINATED
            stop.event.set()
        else:
            reload.ask()

    before = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield reload
    finally:
        signal.signal(signal.SIGHUP, before)
