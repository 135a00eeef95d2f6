"""Coverage spans: what was watched, and what was not and why."""

from gallery.values import CameraState, CoverageSpan
from streamer.coverage import CoverageLog, Totals

WATCHED, DOWN, STALLED = CameraState.WATCHED, CameraState.DOWN, CameraState.STALLED


def kept(log: CoverageLog, into: dict | None = None) -> dict:
    """Apply the changed spans as a gallery does: by start and state."""
    spans = {} if into is None else into
    for span in log.take():
        spans[span.start_ms, span.state] = span
    return spans


def told(spans: dict) -> list[tuple[CameraState, int, int]]:
    return [(s.state, s.start_ms, s.end_ms) for s in sorted(spans.values(), key=_begin)]


def _begin(span: CoverageSpan) -> tuple[int, int]:
    return span.start_ms, span.end_ms


def watch(log: CoverageLog, begin_ms: int, end_ms: int, step_ms: int = 200) -> None:
    for at_ms in range(begin_ms, end_ms, step_ms):
        log.searched(at_ms)


def test_a_watched_span_grows_and_keeps_its_start() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 1000, 3000)
    log.advance(Totals(20, 10, {"late": 2}), None)
    spans = kept(log)
    assert told(spans) == [(WATCHED, 1000, 2801)]
    watch(log, 3000, 4000)
    log.advance(Totals(30, 15, {"late": 2}), None)
    assert told(kept(log, spans)) == [(WATCHED, 1000, 3801)]
    (span,) = spans.values()
    assert (span.frames, span.searched, span.dropped, span.model) == (30, 15, (("late", 2),), "m")
    log.advance(Totals(30, 15, {"late": 2}), None)


def test_frames_decoded_before_the_first_was_searched_count() -> None:
    log = CoverageLog("a", "m", 0.2)
    log.advance(Totals(3), None)
    watch(log, 1000, 2000)
    log.advance(Totals(10, 5), None)
    (span,) = kept(log).values()
    assert (span.frames, span.searched) == (10, 5)


def test_it_never_passes_somebody_who_was_not_handed_out() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 1000, 5000)
    log.advance(Totals(), 3400)
    assert told(kept(log)) == [(WATCHED, 1000, 3400)]
    log.advance(Totals(), None)
    assert told(kept(log)) == [(WATCHED, 1000, 4801)]


def test_a_loss_and_a_return_leave_no_hole() -> None:
    log = CoverageLog("a", "m", 0.2)
    log.missed(DOWN, 500, "connecting")
    spans = kept(log)
    watch(log, 1000, 3000)
    log.advance(Totals(20, 10), None)
    kept(log, spans)
    for now_ms in (4000, 5000, 6000):
        log.missed(DOWN, now_ms, "the stream ended")
        kept(log, spans)
    watch(log, 6500, 8000)
    log.advance(Totals(30, 18, {"late": 3}), None)
    kept(log, spans)
    assert told(spans) == [
        (DOWN, 500, 1000),
        (WATCHED, 1000, 2801),
        (DOWN, 2801, 6500),
        (WATCHED, 6500, 7901),
    ]
    assert spans[2801, DOWN].reason == "the stream ended"
    assert (spans[6500, WATCHED].searched, spans[6500, WATCHED].dropped) == (8, (("late", 3),))


def test_a_stall_is_seen_before_frames_come_again() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 0, 2000)
    log.advance(Totals(), None)
    log.missed(STALLED, 5000, "no frames")
    log.missed(DOWN, 8000, "timeout")
    assert told(kept(log)) == [(WATCHED, 0, 1801), (STALLED, 1801, 5000), (DOWN, 5000, 8000)]


def test_a_gap_in_a_recording_is_not_watched() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 0, 2000)
    watch(log, 60_000, 61_000)
    log.finish()
    assert told(kept(log)) == [
        (WATCHED, 0, 1801),
        (STALLED, 1801, 60_000),
        (WATCHED, 60_000, 61_000),
    ]


def test_slow_searching_is_no_gap() -> None:
    """Time lapse or an overloaded engine: frames are far apart, but steadily so."""
    log = CoverageLog("a", "m", 4.0)
    watch(log, 0, 60_000, 4000)
    log.finish()
    assert told(kept(log)) == [(WATCHED, 0, 60_000)]


def test_time_that_steps_back_begins_a_new_span() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 100_000, 102_000)
    watch(log, 50_000, 51_000)
    log.advance(Totals(), None)
    assert told(kept(log)) == [(WATCHED, 50_000, 50_801), (WATCHED, 100_000, 101_801)]


def test_the_last_frame_counts_its_interval_and_a_cut_off_end_is_down() -> None:
    log = CoverageLog("a", "m", 0.2)
    watch(log, 0, 2000)
    log.finish(10_000, "cut off: ends at 2.0 s of 10.0 s")
    spans = kept(log)
    assert told(spans) == [(WATCHED, 0, 2000), (DOWN, 2000, 10_000)]
    assert "cut off" in spans[2000, DOWN].reason


def test_only_changes_are_given_and_nothing_without_length() -> None:
    log = CoverageLog("a", "m", 0.2)
    log.missed(DOWN, 500, "x")
    assert log.take() == []
    log.missed(DOWN, 600, "x")
    assert len(log.take()) == 1
    assert log.take() == []
    CoverageLog("b", "m", 0.2).finish(100, "never began")
