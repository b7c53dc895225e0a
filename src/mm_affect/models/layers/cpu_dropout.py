# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Dropout that costs little on a CPU; elsewhere it is PyTorch's own.

A CPU draws PyTorch's random numbers one by one, 13 ns each. Here eight decisions come from one draw of 2 ns, of a generator
of NumPy whose seed PyTorch's default generator gives. From the same seed the same decisions can be drawn again, so a
backward pass need not keep them.
"""

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


DRAWN_AT_ONCE = 2**15  # decisions: their draws stay in the cache


def draw_seed() -> np.ndarray:
    """A seed of `Draws`, `(3,)`, from PyTorch's default generator."""
    return torch.empty(3, dtype=torch.int64, device="cpu").random_().numpy().view(np.uint64)


class Seed(np.random.bit_generator.ISeedSequence):
    """The words that NumPy's generator begins with, as they are; hashing them would cost as much as 10,000 decisions."""

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words, dtype=np.uint32):
        return self.words


class Draws:
    """A stream of decisions what to drop, one byte each.

    Args:
        probability: of a zero. In 256ths it is no whole number; it is rounded up or down at random, anew for every
            `DRAWN_AT_ONCE` decisions, so that it is right in the mean.
        seed: of `draw_seed`; the same seed gives the same decisions, asked for in the same shapes and order.
    """

    def __init__(self, probability: float, seed: np.ndarray):
        self.probability, self.generator = probability, np.random.SFC64(Seed(seed))

    def kept(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Ones and zeros as uint8 on the CPU."""
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
    """`values`, some of them 0, and the others larger in turn."""
    kept = Draws(probability, seed).kept(values.shape)
    return torch.mul(values, kept, out=out).mul_(1 / (1 - probability))


class Dropout(nn.Dropout):
    """`nn.Dropout`, faster on a CPU, and without a mask in memory."""

    def forward(self, values):
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return super().forward(values)
        return _Dropout.apply(values, self.p, self.inplace)
