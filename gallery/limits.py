"""Limits of camera and time, as the vector store evaluates them inside a query.

Filters are built from validated values only: camera names that match ``CAMERA_NAME``, whole
numbers, and ids of hex digits. An interval is half open: ``since_ms <= t < until_ms``.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gallery.errors import InvalidQueryError
from gallery.values import CAMERA_NAME, LAST_MS, day_of

SIGHTING_ID = re.compile(r"[0-9a-f]{32}")
TRACKLET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:+-]{0,191}")
"""What a tracklet may be called; ``<camera>/<first shot, ms>-<n>`` fits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where and when: ``cameras`` None = all; either end of the time may be open.

    Raises:
        InvalidQueryError: a name that no camera can have, or an interval that holds no time.
    """

    cameras: tuple[str, ...] | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def __post_init__(self) -> None:
        for name in self.cameras or ():
            if not CAMERA_NAME.fullmatch(name):
                raise InvalidQueryError(f"no camera can be called {name!r}")
        check_interval(self.since_ms, self.until_ms)

    def filter(self) -> str:
        """Return the filter for the store; "" when nothing is limited."""
        parts = []
        if self.cameras is not None:
            parts.append(f"camera in {quoted(self.cameras)}")
        if self.since_ms is not None:
            parts.append(f"ts >= {int(self.since_ms)}")
        if self.until_ms is not None:
            parts.append(f"ts < {int(self.until_ms)}")
        return " and ".join(parts)

    def holds(self, camera: str, moment_ms: int) -> bool:
        """Tell whether something at a camera and moment lies within the limits."""
        return (
            (self.cameras is None or camera in self.cameras)
            and (self.since_ms is None or moment_ms >= self.since_ms)
            and (self.until_ms is None or moment_ms < self.until_ms)
        )

    def partitions(self, present: Iterable[str]) -> list[str]:
        """Return the day partitions among ``present`` that can hold something asked for."""
        first = "" if self.since_ms is None else partition_of(self.since_ms)
        last = "e" if self.until_ms is None else partition_of(self.until_ms - 1)
        return sorted(name for name in present if is_day(name) and first <= name <= last)


def check_interval(since_ms: int | None, until_ms: int | None) -> None:
    """Refuse an interval that holds no time, or that lies outside 1970..9999.

    Raises:
        InvalidQueryError
    """
    for moment in (since_ms, until_ms):
        if moment is not None and not 0 <= moment < LAST_MS:
            raise InvalidQueryError(f"{moment} ms is no time between the years 1970 and 9999")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise InvalidQueryError(
            f"the interval is empty: it starts at {moment_text(since_ms)} "
            f"and ends at {moment_text(until_ms)}"
        )


def partition_of(moment_ms: int) -> str:
    """Return the name of the store's partition for a moment: one for each UTC day."""
    return f"d{day_of(moment_ms)}"


def is_day(partition: str) -> bool:
    """Tell a day partition of ours from any other."""
    return re.fullmatch(r"d\d{8}", partition) is not None


def match_cameras(globs: Sequence[str], known: Sequence[str]) -> tuple[str, ...] | None:
    """Return the known cameras that any of the globs matches; None when no glob is given.

    Raises:
        InvalidQueryError: a glob matches no known camera.
    """
    if not globs:
        return None
    found: set[str] = set()
    for glob in globs:
        matches = fnmatch.filter(known, glob)
        if not matches:
            names = ", ".join(sorted(known)) or "none"
            raise InvalidQueryError(f"no camera matches {glob!r}; known cameras: {names}")
        found.update(matches)
    return tuple(sorted(found))


def quoted(names: Iterable[str]) -> str:
    """Return validated names as a list of the filter language."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def moment_text(moment_ms: int) -> str:
    """Return a moment for people: ``2026-03-02 14:00:05 UTC``."""
    day = day_of(moment_ms)
    seconds = moment_ms // 1000 % 86_400
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {clock} UTC"
