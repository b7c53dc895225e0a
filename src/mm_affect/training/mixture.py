# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mixing of corpora in the batches of joint training: each corpus makes up a fixed proportion of every batch.

Dai et al. 2021 train on rows of one corpus with labels of several tasks, and do not mix corpora. The temperature is that of
multilingual training (Devlin et al. 2019, Arivazhagan et al. 2019).
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from .options import Mixture


def corpus_proportions(mixture: Mixture, sizes: list[int]) -> np.ndarray:
    """Return the proportion of each corpus in a batch, from the sizes of the corpora; they sum to 1."""
    exponent = {"proportional": 1.0, "temperature": 1 / mixture.temperature, "round_robin": 0.0}[mixture.strategy]
    weights = np.asarray(sizes, np.float64) ** exponent
    return weights / weights.sum()


class MixtureSampler(Sampler):
    """Sampler of one epoch over several corpora that are concatenated in the dataset, the target corpus first.

    An epoch is one pass over the target corpus. Rows of each other corpus are drawn in its proportion, at random and without
    replacement until all of them have been drawn. Corpora take turns in a fixed pattern, so every part of an epoch, and hence
    every batch, has each of them in its proportion, up to rounding. Random numbers come from torch's generator.

    Args:
        sizes: Number of rows of each corpus.
        mixture: Proportions of the corpora.
    """

    def __init__(self, sizes: list[int], mixture: Mixture):
        proportions = corpus_proportions(mixture, sizes)
        self.sizes = list(sizes)
        self.counts = [max(1, round(sizes[0] * each / proportions[0])) for each in proportions]
        turns = np.concatenate([(np.arange(count) + 0.5) / count for count in self.counts])
        self.pattern = np.repeat(np.arange(len(sizes)), self.counts)[np.argsort(turns, kind="stable")]

    def __len__(self) -> int:
        return len(self.pattern)

    def __iter__(self) -> Iterator[int]:
        order, first = np.empty(len(self.pattern), np.int64), 0
        for corpus, (size, count) in enumerate(zip(self.sizes, self.counts, strict=True)):
            drawn = torch.cat([torch.randperm(size) for _ in range(-(-count // size))])[:count]
            order[self.pattern == corpus] = first + drawn.numpy()
            first += size
        return iter(order.tolist())
