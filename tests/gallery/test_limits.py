import pytest

from gallery.errors import InvalidQueryError
from gallery.limits import LAST_MS, Limits, match_cameras, moment_text, partition_of

DAY_MS = 86_400_000
SECOND_MARCH_MS = 1_772_409_600_000


def test_filter_names_only_what_is_limited() -> None:
    assert Limits().filter() == ""
    assert Limits(("cam1", "cam-2"), 5, 9).filter() == (
        'camera in ["cam1", "cam-2"] and ts >= 5 and ts < 9'
    )
    assert Limits((), None, None).filter() == "camera in []"


@pytest.mark.parametrize("name", ['a" or ts > 0 or camera == "b', "a b", "", "../x", "ä", "a" * 65])
def test_names_that_could_break_a_filter_are_refused(name: str) -> None:
    with pytest.raises(InvalidQueryError, match="no camera can be called"):
        Limits((name,))


@pytest.mark.parametrize(("since", "until"), [(5, 5), (9, 5)])
def test_empty_interval_is_refused(since: int, until: int) -> None:
    with pytest.raises(InvalidQueryError, match="the interval is empty: it starts at 1970-01-01"):
        Limits(None, since, until)


@pytest.mark.parametrize("moment", [-1, LAST_MS])
def test_time_outside_the_calendar_is_refused(moment: int) -> None:
    with pytest.raises(InvalidQueryError, match="no time between the years 1970 and 9999"):
        Limits(None, moment, None)


def test_partitions_are_utc_days() -> None:
    assert partition_of(SECOND_MARCH_MS) == "d20260302"
    assert partition_of(SECOND_MARCH_MS - 1) == "d20260301"


def test_only_days_that_can_hold_an_answer_are_searched() -> None:
    present = {"_default", "d20260301", "d20260302", "d20260303", "other"}
    within = Limits(None, SECOND_MARCH_MS, SECOND_MARCH_MS + DAY_MS)
    assert within.partitions(present) == ["d20260302"]
    assert Limits(None, SECOND_MARCH_MS, SECOND_MARCH_MS + DAY_MS + 1).partitions(present) == [
        "d20260302",
        "d20260303",
    ]
    assert Limits(None, None, SECOND_MARCH_MS).partitions(present) == ["d20260301"]
    assert Limits(None, SECOND_MARCH_MS + DAY_MS, None).partitions(present) == ["d20260303"]
    assert len(Limits().partitions(present)) == 3
    assert Limits(None, 0, 1).partitions(present) == []


def test_holds_agrees_with_the_half_open_interval() -> None:
    limits = Limits(("cam1",), 5, 9)
    assert [limits.holds("cam1", moment) for moment in (4, 5, 8, 9)] == [False, True, True, False]
    assert not limits.holds("cam2", 6)


def test_globs_choose_known_cameras() -> None:
    known = ("gate", "hall-1", "hall-2")
    assert match_cameras((), known) is None
    assert match_cameras(("hall-*", "gate"), known) == known
    assert match_cameras(("hall-?", "hall-1"), known) == ("hall-1", "hall-2")


def test_unknown_camera_is_told_the_known_ones() -> None:
    with pytest.raises(
        InvalidQueryError, match=r"no camera matches 'door'; known cameras: gate, hall-1"
    ):
        match_cameras(("gate", "door"), ("hall-1", "gate"))
    with pytest.raises(InvalidQueryError, match="known cameras: none"):
        match_cameras(("*",), ())


def test_moment_for_people() -> None:
    assert moment_text(SECOND_MARCH_MS + 3_661_999) == "2026-03-02 01:01:01 UTC"
