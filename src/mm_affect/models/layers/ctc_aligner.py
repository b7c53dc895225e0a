# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Soft alignment of two streams, learned by CTC."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .streams import Stream, to_front


class CTCAligner(nn.Module):
    """Soft alignment of a long stream to the steps of a target, as in the CTC baseline of MulT and in TAILOR.

    An LSTM gives each step a distribution over "blank" and `max_length` target positions, and target step j is the
    sum of the stream weighted by position j. The CTC loss requires the positions in order. It is computed in float32,
    because CTC on a CPU does not support bfloat16.
    """

    def __init__(self, input_size: int, max_length: int, num_layers: int = 2):
        super().__init__()
        self.max_length = max_length
        self.lstm = nn.LSTM(input_size, max_length + 1, num_layers, batch_first=True)

    def forward(self, stream: Stream, target_length: torch.Tensor) -> tuple[Stream, Callable[[], torch.Tensor]]:
        """Align a stream.

        Args:
            stream: the stream to align.
            target_length: number of target steps of each row, `(batch,)`; at most `max_length` are used.

        Returns:
            the aligned stream, and a function that returns the CTC loss of each row, `(batch,)`. The loss is 0 for a
            row without steps or target, and for one with fewer steps than its target.
        """
        values, mask = to_front(stream)
        scores = self.lstm(values)[0].float()  # (batch, length, 1 + max_length)
        weights = scores.softmax(-1)[..., 1:].masked_fill(~mask.unsqueeze(-1), 0.0)
        aligned = weights.transpose(1, 2).to(values.dtype) @ values
        target_length, length = target_length.clamp_max(self.max_length), mask.sum(1)
        position = torch.arange(self.max_length, device=mask.device)
        possible = (length > 0) & (target_length > 0)
        real = (position < target_length.unsqueeze(1)) & possible.unsqueeze(1)

        def loss() -> torch.Tensor:
            losses = F.ctc_loss(
                scores.log_softmax(-1).transpose(0, 1),
                (position + 1).expand(len(mask), -1),
                length.clamp_min(1),
                target_length.clamp_min(1),
                reduction="none",
                zero_infinity=True,
            )
            return losses.masked_fill(~possible, 0.0)

        return Stream(aligned, real).cleaned(), loss
