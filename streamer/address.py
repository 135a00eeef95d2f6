"""What the address of a source says before anything is opened: file, device or network."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
PLAYLIST_READ_TIMEOUT_S = 30.0
"""HLS pauses between segments for as long as a segment lasts."""

RTSP_ANALYSIS_US = 1_000_000
"""How long FFmpeg may look at an RTSP stream before it opens; its own 5 s delay every return."""

_FINITE_SCHEMES = ("http", "https")
_RTMP_SCHEMES = ("rtmp", "rtmps", "rtmpt", "rtmpe", "rtmpte", "rtmpts")


def scheme_of(url: str) -> str:
    """Return the scheme in lower case, or "" for a path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


def is_device(url: str) -> bool:
    """Tell whether the address is a camera at this machine (``/dev/video0``)."""
    return not scheme_of(url) and url.startswith("/dev/")


def is_file(url: str) -> bool:
    """Tell whether the address is a local file."""
    return scheme_of(url) in ("", "file") and not is_device(url)


def local_path(url: str) -> Path:
    """Return the path of a local file's address."""
    return Path(unquote(urlsplit(url).path)) if scheme_of(url) == "file" else Path(url)


def may_be_finite(url: str) -> bool:
    """Tell whether only opening shows if the source is a recording or a live stream."""
    return scheme_of(url) in _FINITE_SCHEMES


def read_timeout_s(url: str) -> float:
    """Return how long one packet may take to come."""
    return PLAYLIST_READ_TIMEOUT_S if may_be_finite(url) else READ_TIMEOUT_S


def input_format(url: str) -> str | None:
    """Return FFmpeg's name of the input device, or None to let it find the format."""
    return "v4l2" if is_device(url) else None


def input_options(url: str, transport: str, read_s: float) -> dict[str, str]:
    """Return FFmpeg's options; its ``timeout`` is in microseconds, ``stimeout`` is ignored.

    For RTMP ``timeout`` means another thing: to listen, and wait so many seconds for a client.
    """
    options: dict[str, str] = {}
    if scheme_of(url) in ("rtsp", "rtsps"):
        options["rtsp_transport"] = transport
        options["analyzeduration"] = str(RTSP_ANALYSIS_US)
    if not is_file(url) and not is_device(url):
        name = "rw_timeout" if scheme_of(url) in _RTMP_SCHEMES else "timeout"
        options[name] = str(round(read_s * 1_000_000))
    return options
