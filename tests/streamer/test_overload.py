"""Key frames only, under overload and not a moment longer; with time as an argument."""

from streamer.overload import CHECK_S, HELPS_S, QUIET_S, Overload

KEY_S = 1.0


class Load:
    """A camera of 5 fps whose engine takes so many a second, looked at four times a second."""

    def __init__(self) -> None:
        self.overload = Overload()
        self.now_s = 100.0
        self.offered = self.dropped = 0.0

    def run(
        self, seconds: float, *, taken: float = 5.0, behind_s: float = 0.0, key_s: float = KEY_S
    ) -> bool:
        for _ in range(round(seconds * 4)):
            self.now_s += 0.25
            offered = 1 / key_s if self.overload.on else 5.0
            self.offered += offered / 4
            self.dropped += max(0.0, offered - taken) / 4
            self.overload.note(
                self.now_s,
                behind_s=behind_s,
                offered=int(self.offered),
                dropped=int(self.dropped),
                key_interval_s=key_s,
            )
        return self.overload.on


def test_nothing_happens_while_the_engine_keeps_up() -> None:
    assert not Load().run(60)


def test_threefold_overload_keeps_all_pictures_where_key_frames_are_rarer() -> None:
    """The engine takes 1.7 a second; one key frame a second would lose pictures for nothing."""
    assert not Load().run(60, taken=1.67)


def test_an_engine_that_takes_no_more_than_there_are_key_frames() -> None:
    load = Load()
    assert not load.run(CHECK_S - 1, taken=0.8)
    assert load.run(3, taken=0.8)


def test_it_ends_after_a_quiet_time_alone() -> None:
    load = Load()
    load.run(10, taken=0.5)
    assert load.run(60, taken=0.5), "still overloaded"
    assert load.run(QUIET_S - 2, taken=5)
    assert not load.run(10, taken=5)


def test_a_relapse_doubles_the_quiet_time() -> None:
    load = Load()
    load.run(10, taken=0.5)
    load.run(2 * QUIET_S, taken=5)
    assert load.run(CHECK_S + 3, taken=0.5)
    assert load.run(1.5 * QUIET_S, taken=5), "not yet"
    assert not load.run(QUIET_S, taken=5)


def test_a_reader_behind_its_stream() -> None:
    load = Load()
    assert not load.run(0.25, behind_s=3.0), "one late packet is no overload"
    assert load.run(1, behind_s=3.0)
    assert load.run(60, behind_s=0.9), "not caught up"
    assert not load.run(QUIET_S + 1, behind_s=0.1)


def test_a_wobble_around_the_limit_does_not_count() -> None:
    load = Load()
    for _ in range(50):
        load.run(0.25, behind_s=1.5)
        load.run(0.25, behind_s=0.8)
    assert not load.overload.on


def test_a_delay_that_key_frames_alone_do_not_cure_is_not_ours() -> None:
    """A camera's clock was set back by 6 s: all seems late for a minute, and nothing is slow."""
    load = Load()
    assert load.run(2, behind_s=6.0)
    assert not load.run(HELPS_S + QUIET_S + 1, behind_s=6.0)
    assert not load.run(60, behind_s=6.2)
    assert not load.run(10, behind_s=0.0)
    assert load.run(2, behind_s=3.0), "a new one counts again"
