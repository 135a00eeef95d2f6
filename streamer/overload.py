"""When a live camera shall decode its key frames alone, and when all of them again.

Two signs of overload: the reader falls behind its stream (decoding is too slow), or the engine
takes so few frames of this camera that key frames alone come as often: then nothing is lost by
it, and the processor time goes to the engine. It ends after a quiet time, which doubles with
each relapse, so that the camera does not swing. Where decoding less does not help to catch up,
the delay is the network's or a clock that was set, and it counts no more. Time is an argument;
nothing reads a clock.
"""

BEHIND_S = 1.0
"""So far behind its stream for ``SUSTAINED_S``: only key frames."""
CAUGHT_UP_S = 0.3
SUSTAINED_S = 0.5
CHECK_S = 5.0
"""Over so long frames offered and dropped are compared."""
QUIET_S, MAX_QUIET_S = 10.0, 300.0
HELPS_S = 5.0
"""So soon decoding less must have halved the delay, else it is not ours."""
RELAPSE_S = 60.0
"""Overload so soon after its end is a relapse."""


class Overload:
    """The state of one camera's connection."""

    def __init__(self) -> None:
        self.on = False
        """Only key frames are to be decoded."""
        self._behind_since_s: float | None = None
        self._usual_s = 0.0
        """Delay that decoding less did not cure."""
        self._began: tuple[float, float] = (0.0, 0.0)
        """When it began, and how far behind the reader was."""
        self._calm_since_s: float | None = None
        self._quiet_s = QUIET_S
        self._ended_s: float | None = None
        self._checked: tuple[float, int, int] | None = None

    def note(
        self,
        now_s: float,
        *,
        behind_s: float,
        offered: int,
        dropped: int,
        key_interval_s: float | None,
    ) -> bool:
        """Take a camera's counters since it connected; return ``on``.

        ``offered`` frames went to the batcher, ``dropped`` of them were never searched.
        """
        behind_s = self._ours(now_s, behind_s)
        starved = self._is_starved(now_s, offered, dropped, key_interval_s)
        behind = self._is_behind(now_s, behind_s)
        if not self.on and (behind or starved):
            self._begin(now_s, behind_s)
        elif self.on:
            self._end_if_calm(now_s, calm=behind_s < CAUGHT_UP_S and not starved)
        return self.on

    def _ours(self, now_s: float, behind_s: float) -> float:
        """Return the part of the delay that decoding less may cure."""
        if behind_s < 0.5 * self._usual_s:
            self._usual_s = 0.0
        left_s = behind_s - self._usual_s
        began_s, at_first_s = self._began
        if self.on and now_s - began_s >= HELPS_S and left_s > max(BEHIND_S, 0.5 * at_first_s):
            self._usual_s, left_s = behind_s, 0.0
        return left_s

    def _is_behind(self, now_s: float, behind_s: float) -> bool:
        if behind_s <= BEHIND_S:
            self._behind_since_s = None
            return False
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        return now_s - self._behind_since_s >= SUSTAINED_S

    def _is_starved(
        self, now_s: float, offered: int, dropped: int, key_interval_s: float | None
    ) -> bool:
        """Tell, once a while, whether the engine takes no more frames than there are key frames.

        While only key frames are offered, any that is dropped says that it still is so.
        """
        if self._checked is None:
            self._checked = (now_s, offered, dropped)
        since_s, offered_then, dropped_then = self._checked
        lost = dropped - dropped_then
        if self.on and lost:
            self._checked = (now_s, offered, dropped)
            return True
        if now_s - since_s < CHECK_S:
            return False
        self._checked = (now_s, offered, dropped)
        if not lost or key_interval_s is None:
            return False
        taken = offered - offered_then - lost
        return taken * key_interval_s <= now_s - since_s

    def _begin(self, now_s: float, behind_s: float) -> None:
        self._began = (now_s, behind_s)
        relapsed = self._ended_s is not None and now_s - self._ended_s < RELAPSE_S
        self._quiet_s = min(MAX_QUIET_S, 2 * self._quiet_s) if relapsed else QUIET_S
        self.on, self._calm_since_s = True, now_s

    def _end_if_calm(self, now_s: float, *, calm: bool) -> None:
        if not calm or self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= self._quiet_s:
            self.on, self._ended_s = False, now_s
            self._behind_since_s = None
