"""Errors of the streamer floor.

StreamError
├── SourceUnavailableError   a camera or file cannot be opened or read (``cause`` says how)
├── SiteError                site.yaml has faults (all of them are in ``faults``)
└── DeliveryError            sightings cannot be handed on
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


class DeliveryError(StreamError):
    """Sightings cannot be handed on."""
