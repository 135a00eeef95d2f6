"""Batches of single frames, for training that knows no identities."""

import numpy as np


class SingleSampler:
    """Which frames make up iteration t: ``2 * pairs``, none again before all have been seen."""

    def __init__(self, frames: int, pairs: int, seed: int) -> None:
        """Draw from ``frames`` frames, as many an iteration as ``pairs`` pairs would be."""
        self.pairs = pairs
        self.seed = seed
        self._count = frames

    def frames(self, iteration: int) -> list[int]:
        """Return the frame numbers of one iteration."""
        each = 2 * self.pairs
        return [self._frame(k) for k in range(iteration * each, (iteration + 1) * each)]

    def _frame(self, position: int) -> int:
        epoch, place = divmod(position, self._count)
        return int(np.random.default_rng([self.seed, epoch, 4]).permutation(self._count)[place])
