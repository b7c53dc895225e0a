# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which rows make up which batch: fixed by the seed alone, whoever asks, so that any process can go on from any place.

Row groups come in random order. About `pool_rows` rows of consecutive row groups form a pool; its rows are sorted by their
length, with some chance, cut into batches of so many steps, and the batches are shuffled. Nothing else is read meanwhile, so
a row group is read about once an epoch, however large the corpus.
"""

import itertools
from collections.abc import Iterator

import numpy as np


JITTER = 0.15  # lengths count this much more or less when rows are sorted, so that batches differ between epochs


class BatchPlan:
    """Batches of every epoch.

    Args:
        places, steps: of each training row, its number and its length; `(rows,)`, places ascending.
        starts: where each row group begins, and where the last ends, as numbers of rows.
        batch_steps: steps of a batch at most.
        pool_rows: rows of a pool, at least, if there are as many.
        seed: of the order.
    """

    def __init__(self, places, steps, starts, batch_steps: int, pool_rows: int, seed: int):
        self.places, self.steps = np.asarray(places), np.asarray(steps)
        self.batch_steps, self.pool_rows, self.seed = batch_steps, pool_rows, seed
        bounds = np.searchsorted(self.places, starts)
        self.groups = [np.arange(*ends) for ends in itertools.pairwise(bounds) if ends[0] < ends[1]]
        self._made = (None, [])
        sizes = sorted(len(group) for group in self.groups)
        self.groups_at_once = 1 + int(np.searchsorted(np.cumsum(sizes), pool_rows))  # in one pool, at most

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Numbers of the rows of each batch, in the order of training."""
        if self._made[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            batches, pool = [], []
            for number in rng.permutation(len(self.groups)):
                pool.append(self.groups[number])
                if sum(map(len, pool)) >= self.pool_rows:
                    batches += self._batches(np.concatenate(pool), rng)
                    pool = []
            if pool:
                batches += self._batches(np.concatenate(pool), rng)
            self._made = (epoch, batches)
        return self._made[1]

    def _batches(self, pool: np.ndarray, rng) -> list[np.ndarray]:
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
        """Every batch from this one on, without end, as its epoch and its number in it."""
        while True:
            yield from ((epoch, n) for n in range(number, len(self.epoch(epoch))))
            epoch, number = epoch + 1, 0
