import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.coverage import camera_coverage, coverage_of, duration_text, interval_text
from gallery.values import CameraState, CoverageSpan

EIGHT_MS = 1_772_438_400_000
S = 1_000
WATCHED, DOWN, STALLED = CameraState.WATCHED, CameraState.DOWN, CameraState.STALLED


def span(
    camera: str, state: CameraState, start_s: float, end_s: float, **more: object
) -> CoverageSpan:
    start, end = (EIGHT_MS + round(second * S) for second in (start_s, end_s))
    return CoverageSpan(camera, state, start, end, **more)  # type: ignore[arg-type]


def lines(
    *spans: CoverageSpan, until_s: int = 60, cameras: tuple[str, ...] = ("cam2",)
) -> list[str]:
    return coverage_of(spans, cameras, EIGHT_MS, EIGHT_MS + until_s * S).lines()


def test_gap_is_told_with_its_reason() -> None:
    assert lines(
        span("cam2", WATCHED, 0, 12),
        span("cam2", DOWN, 12, 20, reason="connection refused"),
        span("cam2", WATCHED, 20, 41),
        until_s=41,
    ) == [
        "cam2: watched 08:00:00-08:00:41, not watched 08:00:12-08:00:20 (down: connection refused)"
    ]


def test_camera_watched_all_the_time() -> None:
    coverage = coverage_of([span("cam2", WATCHED, -5, 70)], ["cam2"], EIGHT_MS, EIGHT_MS + 60 * S)
    assert coverage.complete
    assert coverage.lines() == ["cam2: watched 08:00:00-08:01:00 without a gap"]
    assert coverage.summary() == (
        "The camera was watched all the time, 2026-03-02 08:00:00-08:01:00 UTC."
    )


def test_time_without_a_record_is_a_gap_unless_it_is_short() -> None:
    two = [span("cam2", WATCHED, 0.9, 30), span("cam2", WATCHED, 30.9, 59.5)]
    coverage = coverage_of(two, ["cam2"], EIGHT_MS, EIGHT_MS + 60 * S)
    assert coverage.complete
    assert coverage.cameras[0].unknown_ms == 2_300
    assert lines(span("cam2", WATCHED, 1, 60)) == [
        "cam2: watched 08:00:01-08:01:00, not watched 08:00:00-08:00:01 (nothing recorded)"
    ]


def test_camera_that_was_never_watched() -> None:
    assert lines() == ["cam2: not watched at all, 08:00:00-08:01:00 (nothing recorded)"]
    assert lines(span("cam2", STALLED, 0, 30), span("cam2", CameraState.DISABLED, 30, 60)) == [
        "cam2: not watched at all, 08:00:00-08:00:30 (no frames came), "
        "not watched 08:00:30-08:01:00 (switched off)"
    ]


def test_dropped_frames_are_told_by_cause() -> None:
    (line,) = lines(span("cam2", WATCHED, 0, 60, dropped=(("late", 12), ("queue", 3))))
    assert line.endswith("; frames dropped: 12 late, 3 queue")


def test_many_gaps_are_counted() -> None:
    flicker = [span("cam2", WATCHED, second, second + 2) for second in range(0, 60, 5)]
    (line,) = lines(*flicker)
    assert line.count("(nothing recorded)") == 5
    assert line.endswith("and 7 more gaps, 21 s")


def test_dates_are_told_when_the_interval_has_more_than_one_day() -> None:
    day = 86_400
    (line,) = lines(span("cam2", WATCHED, 0, day), until_s=day)
    assert line == ("cam2: watched 2026-03-02 08:00:00 to 2026-03-03 08:00:00 without a gap")
    assert interval_text(EIGHT_MS, EIGHT_MS + S) == "2026-03-02 08:00:00-08:00:01 UTC"


def test_being_watched_outranks_what_else_was_recorded() -> None:
    coverage = camera_coverage(
        "cam2",
        [span("cam2", DOWN, 0, 60), span("cam2", STALLED, 20, 40), span("cam2", WATCHED, 30, 50)],
        EIGHT_MS,
        EIGHT_MS + 60 * S,
    )
    assert (coverage.down_ms, coverage.stalled_ms, coverage.watched_ms) == (
        30 * S,
        10 * S,
        20 * S,
    )


def test_counts_of_a_span_partly_inside_are_taken_in_proportion() -> None:
    coverage = camera_coverage(
        "cam2",
        [span("cam2", WATCHED, -60, 60, frames=1200, searched=600, dropped=(("late", 10),))],
        EIGHT_MS,
        EIGHT_MS + 30 * S,
    )
    assert (coverage.frames, coverage.searched, coverage.dropped) == (300, 150, (("late", 2),))


def test_models_and_summary() -> None:
    spans = [
        span("cam1", WATCHED, 0, 60, model="m1"),
        span("cam2", WATCHED, 0, 30, model="m2"),
        span("cam2", WATCHED, 30, 50, model="m1"),
    ]
    coverage = coverage_of(spans, ["cam1", "cam2"], EIGHT_MS, EIGHT_MS + 60 * S)
    assert coverage.cameras[1].models == ("m1", "m2")
    assert coverage.summary().startswith("1 of 2 cameras were watched all the time, 2026-03-02")
    assert not coverage.complete
    document = json.loads(json.dumps(coverage.to_dict()))
    assert document["cameras"]["cam2"]["gaps"] == [
        {
            "start_ms": EIGHT_MS + 50 * S,
            "end_ms": EIGHT_MS + 60 * S,
            "state": "unknown",
            "reason": "",
        }
    ]
    assert document["lines"] == coverage.lines()


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (400, "0.4 s"),
        (9_000, "9 s"),
        (61_000, "1 min 1 s"),
        (120_000, "2 min"),
        (7_800_000, "2 h 10 min"),
    ],
)
def test_duration_for_people(ms: int, text: str) -> None:
    assert duration_text(ms) == text


states = st.sampled_from(list(CameraState))
spans = st.lists(st.tuples(states, st.integers(0, 50), st.integers(0, 20)), max_size=8)


@given(drawn=spans, since=st.integers(0, 40), length=st.integers(1, 40))
def test_durations_are_those_of_counting_every_moment(
    drawn: list[tuple[CameraState, int, int]], since: int, length: int
) -> None:
    until = since + length
    recorded = [CoverageSpan("c", state, start, start + long) for state, start, long in drawn]
    coverage = camera_coverage("c", recorded, since, until)
    rank = [CameraState.WATCHED, CameraState.STALLED, CameraState.DOWN, CameraState.DISABLED]
    counted = dict.fromkeys([*rank, "unknown"], 0)
    for moment in range(since, until):
        over = {one.state for one in recorded if one.start_ms <= moment < one.end_ms}
        counted[next((state for state in rank if state in over), "unknown")] += 1
    assert (
        coverage.watched_ms,
        coverage.stalled_ms,
        coverage.down_ms,
        coverage.disabled_ms,
        coverage.unknown_ms,
    ) == tuple(counted[state] for state in [*rank, "unknown"])
