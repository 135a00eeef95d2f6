"""How the values of one tensor are spread, gathered frame by frame in bounded memory."""

import numpy as np
from numpy.typing import NDArray

BINS = 4096
SAMPLES = 1 << 18
"""Values a tensor and frame that are counted; the extremes are taken over all of them."""


class Spread:
    """A histogram around 0 that doubles its width when a value lies outside.

    ``lowest`` and ``highest`` are the extremes, 0 included; ``counts`` int64 ``(BINS,)`` divide
    ``-reach .. reach`` evenly.
    """

    def __init__(self) -> None:
        self.lowest = 0.0
        self.highest = 0.0
        self.reach = 2.0**-10
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the values of one frame.

        Raises:
            ValueError: one of them is NaN or infinite.
        """
        if not values.size:
            return
        lowest, highest = float(values.min()), float(values.max())
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise ValueError("a value is NaN or infinite")
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        self._widen(max(-self.lowest, self.highest))
        flat = values.reshape(-1)
        sample = flat[:: -(-flat.size // SAMPLES)].astype(np.float64)
        index = np.floor((sample / self.reach + 1) * (BINS / 2)).astype(np.int64)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def _widen(self, reach: float) -> None:
        """Double the width, two old bins becoming one, until it holds ``reach``."""
        while self.reach < reach:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : BINS * 3 // 4] = pairs
            self.reach *= 2

    def join(self, other: "Spread") -> "Spread":
        """Return the spread of both tensors' values together."""
        joined = Spread()
        joined.lowest = min(self.lowest, other.lowest)
        joined.highest = max(self.highest, other.highest)
        joined.reach = max(self.reach, other.reach)
        for part in (self, other):
            copy = Spread()
            copy.counts, copy.reach = part.counts.copy(), part.reach
            copy._widen(joined.reach)
            joined.counts += copy.counts
        return joined

    def bounds(self, share: float, *, symmetric: bool) -> tuple[float, float]:
        """Return the range that holds ``share`` of the values, and never more than there are.

        What lies outside is divided evenly between both ends; a ``symmetric`` range is
        ``-x .. x``.
        """
        total = int(self.counts.sum())
        if not total:
            return self.lowest, self.highest
        step = 2 * self.reach / BINS
        if symmetric:
            folded = self.counts[BINS // 2 :] + self.counts[: BINS // 2][::-1]
            reach = (1 + int(np.searchsorted(np.cumsum(folded), share * total))) * step
            reach = min(reach, max(-self.lowest, self.highest))
            return -reach, reach
        cut = (1 - share) / 2 * total
        low = int(np.searchsorted(np.cumsum(self.counts), cut, side="right"))
        high = int(np.searchsorted(np.cumsum(self.counts[::-1]), cut, side="right"))
        return (
            max(self.lowest, min(0.0, low * step - self.reach)),
            min(self.highest, max(0.0, self.reach - high * step)),
        )
