"""Errors of the streamer floor.

StreamError
├── SourceUnavailableError   a camera or file cannot be opened or read (``cause`` says how)
├── SiteError                site.yaml has faults (all of them are in ``faults``)
├── StatusFileError          the status of an ingest cannot be written or read
├── ListenError              nobody can listen at an address for metrics
└── DeliveryError            sightings cannot be handed on
    ├── DeliverySettingsError   an address or a name that cannot be used
    ├── EntryError           what arrived is not an entry of ours, or is damaged
    ├── SpoolError           the spool cannot be read or written, or is in use
    │   └── SpoolFullError   the spool, or the disk under it, has no room left
    ├── AwayError            the other side does not take anything now; later it may
    │   └── LostError        and it may have lost what it took a short while ago
    └── ServerError          the Redis server of our own cannot be started, or ended
"""

from collections.abc import Sequence
from enum import StrEnum

from streamer.redact import redact


class StreamError(Exception):
    """Base of everything that this package raises on purpose."""


class Cause(StrEnum):
    """Why a source cannot be read, for people and for metrics."""

    NOT_FOUND = "not found"
    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NOT_VIDEO = "not video"
    ENDED = "ended"
    UNREADABLE = "unreadable"


class SourceUnavailableError(StreamError):
    """A camera or file cannot be opened or read."""

    def __init__(self, url: str, reason: str, cause: Cause = Cause.UNREADABLE) -> None:
        self.url = redact(url)
        self.reason = redact(reason, url)
        self.cause = cause
        super().__init__(f"cannot read {self.url}: {self.reason}")


class SiteError(StreamError):
    """The site's settings have faults; ``faults`` holds all of them, one line each."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__("\n  ".join((f"{source} has {len(self.faults)} {noun}:", *self.faults)))


class StatusFileError(StreamError):
    """The status of an ingest cannot be written or read."""


class ListenError(StreamError):
    """Nobody can listen at an address for metrics."""


class DeliveryError(StreamError):
    """Sightings cannot be handed on."""


class DeliverySettingsError(DeliveryError):
    """An address or a name that cannot be used."""


class EntryError(DeliveryError):
    """What arrived is not an entry of ours, or is damaged."""


class SpoolError(DeliveryError):
    """The spool cannot be read or written, or is in use."""


class SpoolFullError(SpoolError):
    """The spool, or the disk under it, has no room left."""


class AwayError(DeliveryError):
    """The other side does not take anything now; later it may."""


class LostError(AwayError):
    """The other side takes nothing now, and may have lost what it took a short while ago."""


class ServerError(DeliveryError):
    """The Redis server of our own cannot be started, or ended."""
