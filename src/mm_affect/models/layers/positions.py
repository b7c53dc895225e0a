# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sinusoidal position encodings of real steps."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .streams import Stream


def sinusoids(first: int, steps: int, size: int, device=None) -> torch.Tensor:
    """The sinusoids of positions `first`, `first + 1`, ... `(steps, size)`: all sines, all cosines, a 0 if `size` is odd."""
    half = size // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angle = torch.arange(first, first + steps, device=device).unsqueeze(1) * rate
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=-1), (0, size % 2))


class SinusoidalPositions(nn.Module):
    """Adds the sinusoid of Vaswani et al. (2017), as laid out in tensor2tensor; positions count real steps only.

    Args:
        first: the position of the first real step: 0, or 1 as in the code of MulT, SPT, SUGRM and LMR-CBT.
        skip_zeros: a step whose first feature is exactly 0 gets no position, and the others keep theirs: that code takes
            the first feature for a token id, and 0 for padding.
    """

    def __init__(self, first: int = 0, skip_zeros: bool = False):
        super().__init__()
        self.first, self.skip_zeros = first, skip_zeros

    def forward(self, stream: Stream) -> Stream:
        values, mask = stream
        return Stream(self.place(values, (mask.cumsum(1) - 1).clamp_min(0), mask.shape[1]), mask).cleaned()

    def place(self, values: torch.Tensor, steps: torch.Tensor, length: int) -> torch.Tensor:
        """`values` `(..., size)` with the sinusoids of the `steps` `(...)` they stand at, from 0, below `length`."""
        positions = sinusoids(self.first, length, values.shape[-1], values.device).to(values.dtype)[steps]
        if self.skip_zeros:
            positions = positions.masked_fill(values[..., :1] == 0, 0.0)
        return values + positions
