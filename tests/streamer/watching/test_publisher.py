"""The publisher's thread: it follows, survives a full disk, tells the end, and dies with nobody."""

import logging
import threading
import time

from streamer.camera import State
from streamer.errors import SpoolError
from streamer.watching.snapshot import Phase
from streamer.watching.statusfile import Liveness, look


def until(found, limit_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_it_is_there_at_once_follows_and_says_that_it_ended(
    tmp_path, publisher, report, status
) -> None:
    one = publisher()
    one.start()
    assert look(tmp_path, time.monotonic()).snapshot.phase == "starting"
    one.see(status(1, report(frames=7)))
    until(lambda: look(tmp_path, time.monotonic()).snapshot.cameras)
    found = look(tmp_path, time.monotonic())
    assert (found.liveness, found.snapshot.cameras[0].frames) == (Liveness.RUNNING, 7)
    one.close()
    assert look(tmp_path, time.monotonic()).liveness is Liveness.ENDED


def test_it_beats_while_the_loop_is_stuck(tmp_path, publisher, report, status) -> None:
    one = publisher(heartbeat_s=0.05)
    one.start()
    one.see(status(1, report()))
    until(lambda: one.snapshot.cameras)
    first = one.snapshot
    until(lambda: one.snapshot.heartbeat_s > first.heartbeat_s + 0.2)
    assert one.snapshot.ticked_s == first.ticked_s
    one.close()


def test_while_it_stops_its_loop_need_not_pass(tmp_path, publisher, report, status) -> None:
    asked = threading.Event()
    one = publisher(heartbeat_s=0.05, stopping=asked.is_set)
    one.start()
    one.see(status(1, report()))
    until(lambda: one.snapshot.phase is Phase.RUNNING)
    asked.set()
    until(lambda: one.snapshot.phase is Phase.STOPPING)
    found = look(tmp_path, time.monotonic())
    late = found.snapshot.model_copy(update={"ticked_s": found.snapshot.ticked_s - 60})
    assert [one["part"] for one in late.troubles(late.heartbeat_s)] == ["ingest"]
    assert found.alive
    one.close()


def test_a_failure_is_kept(tmp_path, publisher) -> None:
    one = publisher()
    one.start()
    one.close("the engine fell over")
    found = look(tmp_path, time.monotonic())
    assert (found.liveness, found.snapshot.reason) == (Liveness.FAILED, "the engine fell over")


def test_what_cannot_be_written_is_told_once_and_ends_nothing(
    tmp_path, publisher, report, status, caplog
) -> None:
    (tmp_path / "run").write_text("in the way")
    one = publisher(heartbeat_s=0.02)
    with caplog.at_level(logging.WARNING):
        one.start()
        time.sleep(0.2)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "nobody can see how this ingest does"
    ]
    (tmp_path / "run").unlink()
    one.see(status(1, report()))
    until((tmp_path / "run" / "ingest.json").exists)
    one.close()


def test_a_spool_that_does_not_answer_is_unknown(publisher) -> None:
    def ask():
        raise SpoolError("locked")

    assert publisher(delivery=ask).snapshot.delivery is None


def test_events_are_told_with_the_rest_at_the_end(publisher, report, status) -> None:
    told = []
    one = publisher(tell=told.append)
    one.start()
    one.see(status(1, report()))
    until(lambda: told)
    one.see(status(2, report(state=State.ENDED, dropped={"stopped": 3})))
    one.close()
    assert [event.event for event in told] == ["state", "state", "dropped"]


def test_seeing_costs_the_loop_next_to_nothing(publisher, report, status) -> None:
    def slow():
        time.sleep(0.5)
        raise SpoolError("slow")

    one = publisher(delivery=slow)
    one.start()
    began_s = time.monotonic()
    for second in range(100):
        one.see(status(second, report()))
    assert time.monotonic() - began_s < 0.2
    one.close()


def test_it_can_be_closed_without_having_started(tmp_path, publisher) -> None:
    publisher().close()
    assert look(tmp_path, time.monotonic()).liveness is Liveness.ENDED
