# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Fast dropout on a CPU; other devices use PyTorch's own.

PyTorch draws random numbers on a CPU one by one, 13 ns each. Here a NumPy generator, seeded from PyTorch's default
generator, gives eight decisions per draw of 2 ns. The backward pass draws the same decisions from the same seed and
stores no mask.
"""

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


DRAWN_AT_ONCE = 2**15  # decisions; their draws fit in the cache


def draw_seed() -> np.ndarray:
    """Return a seed for `Draws`, `(3,)`, from PyTorch's default generator."""
    return torch.empty(3, dtype=torch.int64, device="cpu").random_().numpy().view(np.uint64)


class Seed(np.random.bit_generator.ISeedSequence):
    """Initial state of NumPy's generator, used without hashing, which would cost as much as 10,000 decisions."""

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words, dtype=np.uint32):
        """Return the state."""
        return self.words


class Draws:
    """Stream of decisions what to drop, one byte each.

    Args:
        probability: probability of a zero. It is compared in units of 1/256 and rounded up or down at random for every
            `DRAWN_AT_ONCE` decisions, so that the mean is exact.
        seed: result of `draw_seed`; the same seed gives the same decisions for the same sequence of shapes.
    """

    def __init__(self, probability: float, seed: np.ndarray):
        self.probability, self.generator = probability, np.random.SFC64(Seed(seed))  # type: ignore[arg-type]  # takes an ISeedSequence

    def kept(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return ones (keep) and zeros (drop) as uint8 on the CPU."""
        kept = np.empty(shape, dtype=bool)
        flat = kept.reshape(-1)
        for first in range(0, len(flat), DRAWN_AT_ONCE):
            part = flat[first : first + DRAWN_AT_ONCE]
            draws = self.generator.random_raw(1 + -(-len(part) // 8))
            limit = int(256 * self.probability + draws[0] / 2**64)
            np.greater_equal(draws[1:].view(np.uint8)[: len(part)], limit, out=part)
        return torch.from_numpy(kept.view(np.uint8))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(context, values, probability: float, inplace: bool):
        context.probability, context.seed = probability, draw_seed()
        if inplace:
            context.mark_dirty(values)
        return dropped(values, values if inplace else None, probability, context.seed)

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        return dropped(gradient, None, context.probability, context.seed), None, None


def dropped(values: torch.Tensor, out: torch.Tensor | None, probability: float, seed: np.ndarray) -> torch.Tensor:
    """Return `values` with some set to 0 and the others scaled by 1 / (1 - probability)."""
    kept = Draws(probability, seed).kept(values.shape)
    return torch.mul(values, kept, out=out).mul_(1 / (1 - probability))


class Dropout(nn.Dropout):
    """`nn.Dropout` that is faster on a CPU and stores no mask."""

    def forward(self, values):
        """Return `values` after dropout."""
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return super().forward(values)
        return _Dropout.apply(values, self.p, self.inplace)
