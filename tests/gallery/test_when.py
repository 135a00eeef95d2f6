from datetime import UTC, datetime, timedelta, timezone

import pytest

from gallery.errors import InvalidQueryError
from gallery.when import parse_when

NOW = datetime(2026, 3, 2, 14, 0, 5, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-03-02 14:00:05.250"),
        ("90s", "2026-03-02 13:58:35.250"),
        ("2h", "2026-03-02 12:00:05.250"),
        ("2H ago", "2026-03-02 12:00:05.250"),
        ("1h30m", "2026-03-02 12:30:05.250"),
        ("1.5h", "2026-03-02 12:30:05.250"),
        ("3d", "2026-02-27 14:00:05.250"),
        ("2w", "2026-02-16 14:00:05.250"),
        ("today", "2026-03-02 00:00:00"),
        ("yesterday", "2026-03-01 00:00:00"),
        ("yesterday 14:00", "2026-03-01 14:00:00"),
        ("  Yesterday   9:05:30 ", "2026-03-01 09:05:30"),
        ("today 23:59", "2026-03-02 23:59:00"),
        ("14:00", "2026-03-02 14:00:00"),
        ("14:01", "2026-03-01 14:01:00"),
        ("00:00", "2026-03-02 00:00:00"),
        ("13:59:59.5", "2026-03-02 13:59:59.500"),
        ("2026-03-02", "2026-03-02 00:00:00"),
        ("2026-02-01 08:30", "2026-02-01 08:30:00"),
        ("2026-02-01T08:30:15.125", "2026-02-01 08:30:15.125"),
        ("2026-02-01T08:30:15Z", "2026-02-01 08:30:15"),
        ("2026-02-01t08:30:15z", "2026-02-01 08:30:15"),
        ("2026-02-01T08:30+01:00", "2026-02-01 07:30:00"),
        ("2026-02-01 23:30-02:00", "2026-02-02 01:30:00"),
    ],
)
def test_what_people_type(text: str, meant: str) -> None:
    expected = datetime.fromisoformat(meant).replace(tzinfo=UTC)
    assert datetime.fromtimestamp(parse_when(text, NOW) / 1000, UTC) == expected


def test_zone_of_now_does_not_matter() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    for text in ("today", "14:00", "2h", "yesterday 14:00"):
        assert parse_when(text, tokyo) == parse_when(text, NOW)
        assert parse_when(text, NOW.replace(tzinfo=None)) == parse_when(text, NOW)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot read the time ''; write for example 2h"),
        ("soon", "cannot read the time 'soon'; write"),
        ("2", "cannot read the time '2'; write"),
        ("2 hours", "cannot read"),
        ("-2h", "cannot read"),
        ("25:00", "hour must be in"),
        ("14:60", "minute must be in"),
        ("yesterday at noon", "cannot read"),
        ("2026-02-30", "day .*(out of range|must be in)"),
        ("2026-3-2", "cannot read"),
        ("2026-03-02T14:00 and more", "cannot read"),
        ("20260302", "cannot read"),
        ("1969-12-31", "outside the years 1970 to 9999"),
        ("99999999w", "cannot read"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(InvalidQueryError, match=words):
        parse_when(text, NOW)
