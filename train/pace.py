"""How fast a run goes, and how much of its time it waits for data."""


class Pace:
    """Iterations since ``begun_s``; times are seconds of one steady clock."""

    def __init__(self, begun_s: float) -> None:
        self.iterations = 0
        self.seconds = 0.0
        self._begun_s = begun_s
        self._waited_s = 0.0

    def tick(self, now_s: float, waited_s: float) -> None:
        """Count an iteration that ended at ``now_s`` and waited so long for its batch."""
        self.iterations += 1
        self.seconds = now_s - self._begun_s
        self._waited_s += waited_s

    @property
    def each_s(self) -> float:
        """Seconds an iteration."""
        return self.seconds / max(1, self.iterations)

    @property
    def waiting(self) -> float:
        """Share of the time in which the step waited for its batch."""
        return self._waited_s / self.seconds if self.seconds > 0 else 0.0

    def frames_per_s(self, frames: int) -> float:
        """Return frames a second, at so many an iteration."""
        return frames * self.iterations / self.seconds if self.seconds > 0 else 0.0
