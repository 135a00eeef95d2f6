"""Errors of the command line, and the exit code of every error.

CliError            what was asked cannot be done as asked (exit code 2)
└── SettingsError   the settings have faults (all of them are in ``faults``)
"""

from collections.abc import Sequence

from engines.errors import DeviceLostError, EngineError
from gallery.errors import GalleryError
from streamer.errors import (
    DeliveryError,
    DeliverySettingsError,
    ListenError,
    SiteError,
    StatusFileError,
    StreamError,
)
from train.errors import TrainError

OK = 0
UNEXPECTED = 1
USAGE = 2
SOURCE = 3
ENGINE = 4
GALLERY = 5
DEVICE_LOST = 75
INTERRUPTED = 130
TERMINATED = 143
PIPE_CLOSED = 141


class CliError(Exception):
    """What was asked cannot be done as asked."""


class SettingsError(CliError):
    """The settings have faults."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


# The first class that fits decides: a fault in site.yaml is a fault in the settings,
# and sightings that cannot reach their gallery are the gallery's matter.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (CliError, USAGE),
    (SiteError, USAGE),
    (TrainError, USAGE),
    (DeliverySettingsError, USAGE),
    (ListenError, USAGE),
    (DeliveryError, GALLERY),
    (StatusFileError, GALLERY),
    (StreamError, SOURCE),
    (DeviceLostError, DEVICE_LOST),
    (EngineError, ENGINE),
    (GalleryError, GALLERY),
)

EXPECTED: tuple[type[Exception], ...] = tuple(kind for kind, _ in _CODES)
"""Every error that is told in one sentence, without a traceback."""


def exit_code(error: Exception) -> int:
    """Return the exit code of an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return UNEXPECTED
