"""Read site.yaml again while ingest runs: when somebody asks, or when the file has changed.

A file with faults changes nothing. Time is an argument: ``poll`` is called once a second or so.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import SiteError
from streamer.site import Site, load_site

LOOK_S = 2.0
"""Between two looks at a watched file; it is read when two looks in a row saw the same change."""

_Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different between two readings of a site: names of cameras in the new order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    """Changed, but the camera need not be connected again for it."""
    links: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.added or self.removed or self.restarted or self.adjusted or self.links
        )  # fmt: skip

    def text(self) -> str:
        """Return one line for people."""
        named = {
            "added": self.added,
            "removed": self.removed,
            "changed, connecting again": self.restarted,
            "changed": self.adjusted,
        }
        parts = [f"{what}: {', '.join(names)}" for what, names in named.items() if names]
        return "; ".join(parts + ["links changed"] * self.links) or "nothing changed"


def changes_between(before: Site, after: Site) -> Changes:
    """Return what has to be done to come from one reading of a site to another."""
    both = [name for name in after.cameras if name in before.cameras]
    changed = [name for name in both if before.cameras[name] != after.cameras[name]]
    same = [name for name in changed if before.cameras[name].same_stream(after.cameras[name])]
    return Changes(
        added=tuple(name for name in after.cameras if name not in before.cameras),
        removed=tuple(name for name in before.cameras if name not in after.cameras),
        restarted=tuple(name for name in changed if name not in same),
        adjusted=tuple(same),
        links=before.links != after.links,
    )


class SiteReload:
    """Offers a new reading of the site file to ingest; ``ask`` may be called by a signal handler.

    ``tell`` gets a line for people for every new reading, ``complain`` all faults of a bad one.
    """

    def __init__(
        self,
        path: Path,
        site: Site,
        *,
        watch: bool,
        tell: Callable[[str], None],
        complain: Callable[[str], None],
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self._path = path
        self._site = site
        self.watch = watch
        """The file is looked at, so ingest goes on when all cameras are over."""
        self._tell = tell
        self._complain = complain
        self._env = env
        self._asked = False
        self.used = False
        """A new reading was offered."""
        self._known = self._seen = self._signature()
        self._looked_s: float | None = None

    def ask(self) -> None:
        """Read the file at the next ``poll``, changed or not."""
        self._asked = True

    def poll(self, now_s: float) -> Site | None:
        """Return a new reading that differs from the last one, if it is time for one."""
        if not (self._asked or self._has_changed(now_s)):
            return None
        asked, self._asked = self._asked, False
        self._known = self._seen = self._signature()
        try:
            site = load_site(self._path, self._env)
        except SiteError as error:
            self._complain(f"{error}\nnothing was changed: the cameras go on as before")
            return None
        return self._compare(site, asked=asked)

    def _has_changed(self, now_s: float) -> bool:
        """Tell whether two looks in a row saw the same state, and not the one that is known."""
        if self._looked_s is None:
            self._looked_s = now_s
        if not self.watch or now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        before, self._seen = self._seen, self._signature()
        return before == self._seen != self._known

    def _compare(self, site: Site, *, asked: bool) -> Site | None:
        changes = changes_between(self._site, site)
        if site.delivery != self._site.delivery:
            self._complain("delivery was changed: that takes effect at the next start")
        if changes or asked:
            self._tell(f"{self._path.name} was read again: {changes.text()}")
        self._site = site
        self.used = self.used or bool(changes)
        return site if changes else None

    def _signature(self) -> _Signature:
        return tuple(_state_of(path) for path in (self._path, *self._site.read_from))


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None if it is not there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
