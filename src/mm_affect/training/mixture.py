# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How the batches of joint training mix corpora: each corpus has a fixed share of every batch.

Dai et al. 2021 train on the rows of one corpus with labels of several tasks and say nothing of mixing; temperature is that of
multilingual training (Devlin et al. 2019, Arivazhagan et al. 2019).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch.utils.data import Sampler


STRATEGIES = ("proportional", "temperature", "round_robin")


@strict
@dataclass
class Mixture:
    """Shares of the corpora.

    Args:
        strategy: `"proportional"`: to their sizes; `"temperature"`: to their sizes to the power of 1 / `temperature`, which
            raises the share of small corpora; `"round_robin"`: equal shares, in turns.
        temperature: 1 is proportional; the greater, the more equal.
    """

    strategy: str = "proportional"
    temperature: float | int = 2.0

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise ValueError(f"Mixture `strategy` is {self.strategy!r}; expected one of {', '.join(STRATEGIES)}.")
        if self.temperature < 1:
            raise ValueError(f"Mixture `temperature` is {self.temperature}; expected 1 or more.")

    def shares(self, sizes: list[int]) -> np.ndarray:
        """The share of each corpus in a batch; they add up to 1."""
        exponent = {"proportional": 1.0, "temperature": 1 / self.temperature, "round_robin": 0.0}[self.strategy]
        weights = np.asarray(sizes, np.float64) ** exponent
        return weights / weights.sum()


class MixtureSampler(Sampler):
    """The order of one epoch over several corpora, which follow one another in the data set; the target comes first.

    An epoch is one pass over the target. Meanwhile rows of each other corpus are drawn in proportion to its share, at random
    and without repetition until all of them have been seen. Corpora take turns in a fixed pattern, so that every stretch of
    an epoch, hence every batch, has each of them in its share, but for rounding. Randomness comes from torch's generator.
    """

    def __init__(self, sizes: list[int], mixture: Mixture):
        shares = mixture.shares(sizes)
        self.sizes = list(sizes)
        self.counts = [max(1, round(sizes[0] * share / shares[0])) for share in shares]
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
