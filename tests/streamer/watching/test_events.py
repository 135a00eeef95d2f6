"""What is told of the cameras: once when it changes, drops once a minute."""

import logging

from streamer.camera import State
from streamer.watching.events import EventWatch

REFUSED = {"error": "refused", "cause": "refused"}


def told(events) -> list[tuple[str, str]]:
    return [(event.event, event.message) for event in events]


def test_an_outage_is_told_once_however_often_it_is_tried(report, status) -> None:
    watch = EventWatch()
    assert told(watch.see(status(1, report()))) == [("state", "live")]
    assert watch.see(status(2, report())) == []
    (lost,) = watch.see(status(3, report(state=State.RETRYING, **REFUSED)))
    assert (lost.level, lost.camera, lost.message) == (logging.WARNING, "door", "retrying: refused")
    assert lost.fields == {"from": "live", "to": "retrying", "error": "refused", "cause": "refused"}
    assert watch.see(status(4, report(state=State.CONNECTING, **REFUSED))) == []
    assert watch.see(status(5, report(state=State.RETRYING, **REFUSED))) == []
    back = watch.see(status(6, report(reconnects=1)))
    assert told(back) == [("state", "live"), ("reconnected", "back")]


def test_a_reconnect_between_two_looks_is_told(report, status) -> None:
    watch = EventWatch()
    watch.see(status(1, report()))
    assert told(watch.see(status(2, report(reconnects=1)))) == [("reconnected", "back")]


def test_a_stall_and_a_recording_that_broke_off_are_warnings(report, status) -> None:
    watch = EventWatch()
    (stalled,) = watch.see(status(1, report(state=State.STALLED)))
    (broken,) = watch.see(status(2, report(state=State.ENDED, error="cut off")))
    (whole,) = EventWatch().see(status(1, report(state=State.ENDED)))
    assert [one.level for one in (stalled, broken, whole)] == [30, 30, 20]


def test_drops_are_summed_up_once_a_minute_by_cause(report, status) -> None:
    watch = EventWatch(summary_s=60)
    events = []
    for second in range(1, 130):
        camera = report(dropped={"late": 2 * second, "damaged": 1 if second > 90 else 0})
        events += [one for one in watch.see(status(second, camera)) if one.event == "dropped"]
    assert [one.fields["dropped"] for one in events] == [
        {"late": 120},
        {"damaged": 1, "late": 120},
    ]
    assert events[0].message == "frames dropped in 60 s: 120 late"
    (rest,) = watch.summary(status(130, camera))
    assert rest.fields == {"seconds": 10.0, "dropped": {"late": 18}}


def test_a_camera_that_left_is_told(report, status) -> None:
    watch = EventWatch()
    watch.see(status(1, report(), report("hall")))
    assert [event.camera for event in watch.see(status(2, report()))] == ["hall"]


def test_overload_is_told_when_it_begins_and_ends(report, status) -> None:
    watch = EventWatch()
    watch.see(status(1, report()))
    began = watch.see(status(2, report(key_frames_only=True)))
    assert watch.see(status(3, report(key_frames_only=True))) == []
    ended = watch.see(status(4, report()))
    assert [one.event for one in began + ended] == ["overload", "overload"]
    assert [one.level for one in began + ended] == [logging.WARNING, logging.INFO]
