"""What ingest says on stderr, a line an event: for people or one JSON object for programs.

``--log`` diverts everything there: what the packages log, what happened to the cameras, and the
warnings and errors that commands write. No line ever holds a password.
"""

import json
import logging
import sys
from collections.abc import Callable
from enum import StrEnum

from cli.output import divert, iso

ROOTS = ("streamer", "gallery", "engines", "cli")
_LEVELS = {"error: ": logging.ERROR, "warning: ": logging.WARNING}

logger = logging.getLogger("cli")


class LogFormat(StrEnum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


def start_log(form: LogFormat, hide: Callable[[str], str]) -> None:
    """Divert stderr to the log; ``hide`` takes passwords out of a text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(hide) if form is LogFormat.JSON else _Text(hide))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ROOTS:
        logging.getLogger(name).setLevel(logging.INFO)
    divert(_said)


def _said(label: str, message: str) -> None:
    """Take what a command writes to stderr."""
    logger.log(_LEVELS.get(label, logging.INFO), message)


class _Lines(logging.Formatter):
    """What both formats share: the time in UTC, and no password."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__()
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        return self.line(record, self._message(record))

    def line(self, record: logging.LogRecord, message: str) -> str:
        """Return a record with its message, passwords hidden, as one line."""
        raise NotImplementedError

    def hidden(self, value: object) -> object:
        """Return a field's value without passwords, for JSON."""
        if isinstance(value, dict):
            return {str(key): self.hidden(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item) for item in value]
        return value if isinstance(value, int | float | None) else self._hide(str(value))

    def _message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return self._hide(text)


class _Json(_Lines):
    def line(self, record: logging.LogRecord, message: str) -> str:
        return json.dumps({
            "time": iso(round(record.created * 1000)),
            "level": record.levelname.lower(),
            "camera": getattr(record, "camera", None) or None,
            "event": getattr(record, "event", "log"),
            "message": message,
            "source": record.name,
            "fields": self.hidden(getattr(record, "fields", {})),
        }, ensure_ascii=False)  # fmt: skip


class _Text(_Lines):
    def line(self, record: logging.LogRecord, message: str) -> str:
        camera = getattr(record, "camera", None)
        where = f"camera {camera}: " if camera else ""
        one_line = message.replace("\n", " | ")
        return f"{iso(round(record.created * 1000))} {record.levelname.lower()} {where}{one_line}"
