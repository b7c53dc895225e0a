# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sinusoidal position encodings that count real steps only."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .streams import Stream


def sinusoids(first: int, steps: int, size: int, device=None) -> torch.Tensor:
    """Return the encodings of the positions `first`, `first + 1`, ..., `(steps, size)`.

    The sines come first, then the cosines, then a 0 if `size` is odd.
    """
    half = size // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angle = torch.arange(first, first + steps, device=device).unsqueeze(1) * rate
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=-1), (0, size % 2))


class SinusoidalPositions(nn.Module):
    """Adds the sinusoidal positions of Vaswani et al. (2017) in the layout of tensor2tensor; only real steps count.

    Args:
        first: position of the first real step: 0, or 1 as in the public code of MulT, SPT, SUGRM and LMR-CBT.
        skip_zeros: give no position to a step whose first feature is exactly 0, without changing the positions of
            others: that code mistakes the first feature for a token id, and 0 for padding.
    """

    def __init__(self, first: int = 0, skip_zeros: bool = False):
        super().__init__()
        self.first, self.skip_zeros = first, skip_zeros

    def forward(self, stream: Stream) -> Stream:
        """Return the stream with positions added."""
        values, mask = stream
        return Stream(self.place(values, (mask.cumsum(1) - 1).clamp_min(0), mask.shape[1]), mask).cleaned()

    def place(self, values: torch.Tensor, steps: torch.Tensor, length: int) -> torch.Tensor:
        """Return `values` `(..., size)` plus the encodings of their `steps` `(...)`, from 0 and below `length`."""
        positions = sinusoids(self.first, length, values.shape[-1], values.device).to(values.dtype)[steps]
        if self.skip_zeros:
            positions = positions.masked_fill(values[..., :1] == 0, 0.0)
        return values + positions
