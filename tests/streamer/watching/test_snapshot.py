"""What counts as well, what counts as trouble, and how old things are said to be."""

import pytest

from streamer.camera import State
from streamer.watching.snapshot import Phase

REFUSED = {"error": "connection refused", "cause": "refused"}


@pytest.mark.parametrize(
    ("state", "more", "reason"),
    [
        (State.LIVE, {}, None),
        (State.DISABLED, {}, None),
        (State.REMOVED, {}, None),
        (State.ENDED, {}, None),
        (State.ENDED, {"error": "cut off"}, "cut off"),
        (State.STALLED, {}, "connected, but no frames come"),
        (State.RETRYING, REFUSED, "connection refused"),
        (State.CONNECTING, REFUSED, "connection refused"),
        (State.CONNECTING, {}, "does not answer"),
        (State.FAILED, REFUSED, "connection refused"),
    ],
)
def test_each_state_is_explained_or_a_trouble(snapshot, report, state, more, reason) -> None:
    made = snapshot(report(state=state, **more))
    found = made.troubles(made.ticked_s + 0.5)
    assert [one["reason"] for one in found] == ([] if reason is None else [reason])
    assert all(one["camera"] == "door" for one in found)


def test_a_camera_may_connect_for_a_while_at_first(snapshot, report) -> None:
    made = snapshot(report(state=State.CONNECTING), seconds=3.0)
    assert made.troubles(made.ticked_s) == []


def test_a_loop_that_does_not_pass_is_a_trouble_and_ages_go_on(snapshot, report) -> None:
    made = snapshot(report(age_s=0.5))
    (camera,) = made.cameras
    assert made.troubles(made.ticked_s + 3.9) == []
    assert made.aged(camera, made.ticked_s + 3.9) == 0.5
    (found,) = made.troubles(made.ticked_s + 7)
    assert found == {"part": "loop", "reason": "no pass for 7.0 s"}
    assert made.aged(camera, made.ticked_s + 7) == pytest.approx(7.5)


def test_rates_and_batch_fill_follow_the_last_seconds(publisher, report, status) -> None:
    one = publisher()
    for second in range(1, 21):
        camera = report(frames=25 * second, searched=5 * second)
        one.see(status(second, camera, batches=2 * second, batch=4))
        one._publish(Phase.RUNNING)
    one.close()
    (camera,) = one.snapshot.cameras
    assert (camera.fps_in, camera.fps_out) == (25.0, 5.0)
    assert one.snapshot.batch.fill == pytest.approx(5 / 2 / 4)
