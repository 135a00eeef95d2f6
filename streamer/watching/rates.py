"""How fast a counter grows: over the last seconds, not since the beginning."""

from collections import deque

WINDOW_S = 10.0


class Rate:
    """Events per second from a counter that only grows; time is an argument."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def take(self, now_s: float, count: int) -> float:
        """Take the counter at a time that never goes back; return its rate.

        The rate is over the window, or over all the time while there is less of it. The counter
        counts from 0 at time 0; one that fell was started anew.
        """
        if count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now_s, count))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - self._window_s:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0
