# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Soft alignment of two streams, learned by CTC."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .streams import Stream, to_front


class CTCAligner(nn.Module):
    """Soft alignment of a long stream to the steps of a target, as in MulT's CTC baseline and TAILOR.

    An LSTM gives each step a distribution over "blank" and `max_length` target positions; target step j is the mean of
    the stream under position j. The CTC loss asks for the positions in order. Computed in float32: CTC on a CPU knows no
    bfloat16.
    """

    def __init__(self, input_size: int, max_length: int, num_layers: int = 2):
        super().__init__()
        self.max_length = max_length
        self.lstm = nn.LSTM(input_size, max_length + 1, num_layers, batch_first=True)

    def forward(self, stream: Stream, target_length: torch.Tensor) -> tuple[Stream, Callable[[], torch.Tensor]]:
        """The stream at `target_length` `(batch,)` steps, at most `max_length`, and what computes the CTC loss of each row,
        `(batch,)`.

        The loss is 0 for a row without anything to align, or with fewer steps than its target.
        """
        values, mask = to_front(stream)
        scores = self.lstm(values)[0].float()  # (batch, length, 1 + max_length)
        shares = scores.softmax(-1)[..., 1:].masked_fill(~mask.unsqueeze(-1), 0.0)
        aligned = shares.transpose(1, 2).to(values.dtype) @ values
        target_length, length = target_length.clamp_max(self.max_length), mask.sum(1)
        position = torch.arange(self.max_length, device=mask.device)
        possible = (length > 0) & (target_length > 0)
        real = (position < target_length.unsqueeze(1)) & possible.unsqueeze(1)

        def loss() -> torch.Tensor:
            found = F.ctc_loss(
                scores.log_softmax(-1).transpose(0, 1),
                (position + 1).expand(len(mask), -1),
                length.clamp_min(1),
                target_length.clamp_min(1),
                reduction="none",
                zero_infinity=True,
            )
            return found.masked_fill(~possible, 0.0)

        return Stream(aligned, real).cleaned(), loss
