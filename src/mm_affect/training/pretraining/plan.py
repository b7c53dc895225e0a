# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Assignment of rows to batches, determined by the seed alone, so that any process can continue from any position.

Row groups are shuffled. About `pool_rows` rows of consecutive row groups form a pool; its rows are sorted by their length with
some jitter, cut into batches of a maximum number of steps, and the batches are shuffled. A row group is therefore read about
once per epoch, however large the corpus.
"""

import itertools
from collections.abc import Iterator

import numpy as np


JITTER = 0.15  # relative noise of the lengths that rows are sorted by, so that batches differ between epochs


class BatchPlan:
    """Batches of every epoch.

    Args:
        places: Indices of the training rows, ascending `(rows,)`.
        steps: Lengths of the training rows `(rows,)`.
        starts: Index of the first row of each row group, and the number of rows `(groups + 1,)`.
        batch_steps: Maximum number of steps in a batch.
        pool_rows: Minimum number of rows in a pool.
        seed: Seed of the order.
    """

    def __init__(
        self, places: np.ndarray, steps: np.ndarray, starts: np.ndarray, batch_steps: int, pool_rows: int, seed: int
    ):
        self.places, self.steps = np.asarray(places), np.asarray(steps)
        self.batch_steps, self.pool_rows, self.seed = batch_steps, pool_rows, seed
        bounds = np.searchsorted(self.places, starts)
        self.groups = [np.arange(*ends) for ends in itertools.pairwise(bounds) if ends[0] < ends[1]]
        self._cached: tuple[int | None, list[np.ndarray]] = (None, [])
        sizes = sorted(len(group) for group in self.groups)
        self.groups_at_once = 1 + int(np.searchsorted(np.cumsum(sizes), pool_rows))  # maximum in one pool

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the indices of the rows of each batch, in the order of training."""
        if self._cached[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            batches: list[np.ndarray] = []
            pool: list[np.ndarray] = []
            for number in rng.permutation(len(self.groups)):
                pool.append(self.groups[number])
                if sum(map(len, pool)) >= self.pool_rows:
                    batches += self._batches(np.concatenate(pool), rng)
                    pool = []
            if pool:
                batches += self._batches(np.concatenate(pool), rng)
            self._cached = (epoch, batches)
        return self._cached[1]

    def _batches(self, pool: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        lengths = self.steps[pool] * rng.uniform(1 - JITTER, 1 + JITTER, len(pool))
        pool = pool[np.argsort(lengths, kind="stable")]
        cuts, held = [], 0
        for place, length in enumerate(self.steps[pool].tolist()):
            if held + length > self.batch_steps and held:
                cuts.append(place)
                held = 0
            held += length
        batches = np.split(self.places[pool], cuts)
        return [batches[i] for i in rng.permutation(len(batches))]

    def walk(self, epoch: int = 0, number: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the epoch and the number of every batch from this one on, without end."""
        while True:
            yield from ((epoch, n) for n in range(number, len(self.epoch(epoch))))
            epoch, number = epoch + 1, 0
