"""Moments as people type them. Without a zone they are UTC.

```
now                          90s  15m  2h  1h30m  3d  2w   (ago)
today  yesterday             their midnight; "yesterday 14:00" a time of that day
14:00  14:00:30              the latest such time that is not in the future
2026-03-02                   its midnight
2026-03-02 14:00             ISO 8601, also with T, fractions and a zone (Z, +01:00)
```
"""

import re
from datetime import UTC, datetime, timedelta

from gallery.errors import InvalidQueryError
from gallery.values import LAST_MS

_AGO = re.compile(r"((?:\d+(?:\.\d+)?[smhdw])+)(?:\s+ago)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?")
_DAYS = {"today": 0, "yesterday": 1}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")


def parse_when(text: str, now: datetime) -> int:
    """Return the moment, UTC ms, that a text means at ``now`` (naive = UTC).

    Raises:
        InvalidQueryError: it cannot be read, or lies outside the years 1970 to 9999.
    """
    now = now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
    words = " ".join(text.strip().lower().split())
    try:
        moment = _ago(words, now) or _clock_time(words, now) or _day(words, now) or _iso(words)
    except (ValueError, OverflowError) as error:
        raise InvalidQueryError(f"cannot read the time {text!r}: {error}") from error
    if moment is None:
        raise InvalidQueryError(
            f"cannot read the time {text!r}; write for example 2h, 90s, 14:00, "
            "yesterday 14:00, 2026-03-02, or 2026-03-02T14:00:00Z"
        )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment_ms = (moment - epoch) // timedelta(milliseconds=1)
    if not 0 <= moment_ms < LAST_MS:
        raise InvalidQueryError(f"the time {text!r} lies outside the years 1970 to 9999")
    return moment_ms


def _ago(words: str, now: datetime) -> datetime | None:
    if words == "now":
        return now
    found = _AGO.fullmatch(words)
    if found is None:
        return None
    parts = _PART.findall(found[1])
    return now - timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def _clock_time(words: str, now: datetime) -> datetime | None:
    found = _CLOCK.fullmatch(words)
    if found is None:
        return None
    moment = _at(now, words)
    return moment if moment <= now else moment - timedelta(days=1)


def _day(words: str, now: datetime) -> datetime | None:
    name, _, clock = words.partition(" ")
    if name not in _DAYS or (clock and _CLOCK.fullmatch(clock) is None):
        return None
    return _at(now - timedelta(days=_DAYS[name]), clock or "0:00")


def _iso(words: str) -> datetime | None:
    text = words.upper()
    if _DATE.fullmatch(text) is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _at(day: datetime, clock: str) -> datetime:
    """Return a time of a day; refuses 25:00."""
    hours, minutes, *rest = clock.split(":")
    seconds = float(rest[0]) if rest else 0.0
    whole = day.replace(hour=int(hours), minute=int(minutes), second=int(seconds), microsecond=0)
    return whole + timedelta(microseconds=round(seconds % 1 * 1e6))
