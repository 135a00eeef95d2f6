"""FFmpeg's errors, as PyAV raises them, become ours: one place, cause kept, password hidden."""

from collections.abc import Iterator
from contextlib import contextmanager

import av

from streamer.errors import Cause, SourceUnavailableError

_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (av.HTTPUnauthorizedError, Cause.UNAUTHORISED),
    (av.HTTPForbiddenError, Cause.UNAUTHORISED),
    (av.PermissionError, Cause.UNAUTHORISED),
    (av.HTTPNotFoundError, Cause.NOT_FOUND),
    (av.FileNotFoundError, Cause.NOT_FOUND),
    (av.IsADirectoryError, Cause.NOT_FOUND),
    (av.NotADirectoryError, Cause.NOT_FOUND),
    (av.ConnectionRefusedError, Cause.REFUSED),
    (av.TimeoutError, Cause.TIMEOUT),
    (av.ExitError, Cause.TIMEOUT),
    (av.ConnectionResetError, Cause.UNREACHABLE),
    (av.ConnectionAbortedError, Cause.UNREACHABLE),
    (av.BrokenPipeError, Cause.UNREACHABLE),
    (av.HTTPError, Cause.UNREACHABLE),
    (av.HTTPClientError, Cause.UNREACHABLE),
    (av.InvalidDataError, Cause.NOT_VIDEO),
    (av.DecoderNotFoundError, Cause.NOT_VIDEO),
    (av.DemuxerNotFoundError, Cause.NOT_VIDEO),
    (av.EOFError, Cause.ENDED),
)

_WORDS = {
    Cause.UNAUTHORISED: "access refused: check user and password",
    Cause.NOT_VIDEO: "no video that can be read: damaged, cut off, or another kind of file",
    Cause.TIMEOUT: "no answer in time",
    Cause.ENDED: "the stream ended",
}


def cause_of(error: BaseException) -> Cause:
    """Return why, from the class of one of FFmpeg's errors."""
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.UNREADABLE)


def reason_of(error: av.FFmpegError) -> str:
    """Return one line for people; it may still hold the address, so redact it."""
    words = _WORDS.get(cause_of(error))
    detail = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{words} ({detail})" if words else detail


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Turn what FFmpeg raises about a source into SourceUnavailableError."""
    try:
        yield
    except av.FFmpegError as error:
        raise SourceUnavailableError(url, reason_of(error), cause_of(error)) from error
    except (OSError, ValueError) as error:
        raise SourceUnavailableError(url, str(error) or type(error).__name__) from error
