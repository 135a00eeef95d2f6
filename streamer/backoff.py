"""How long to wait before a camera is tried again: doubling, capped, with jitter."""

import random


class Backoff:
    """Delays from ``low_s`` doubling to ``high_s``; each is drawn from its upper half.

    The jitter keeps cameras that died together from coming back in one blow.
    """

    def __init__(
        self, low_s: float = 0.5, high_s: float = 30.0, rng: random.Random | None = None
    ) -> None:
        if not 0 < low_s <= high_s:
            raise ValueError(f"back-off needs 0 < low <= high, got {low_s} and {high_s}")
        self._low_s = low_s
        self._high_s = high_s
        self._rng = rng or random.Random()
        self._ceiling_s = low_s

    def next_s(self) -> float:
        """Return the delay before the next try, within ``low_s`` .. ``high_s``."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self._high_s, ceiling_s * 2)
        return max(self._low_s, ceiling_s * self._rng.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Start again from the shortest delay: the camera has proved to be well."""
        self._ceiling_s = self._low_s
