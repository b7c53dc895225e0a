# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bidirectional LSTM over the real steps of a stream."""

import torch
from torch import nn

from .streams import Stream, last_real, take_steps, to_front


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer over ragged streams.

    The two directions are unidirectional LSTMs, and the backward one reads each row reversed within its own length.
    This equals packed sequences and is several times faster on a CPU.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.forward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(self, stream: Stream) -> Stream:
        """Return the outputs of both directions, `2 * hidden_size` per step, with real steps at the front."""
        values, mask = to_front(stream)
        position = torch.arange(mask.shape[1], device=mask.device)
        reverse = (mask.sum(1, keepdim=True) - 1 - position).clamp_min(0)
        ahead, _ = self.forward_lstm(values)
        back, _ = self.backward_lstm(take_steps(values, reverse))
        return Stream(torch.cat([ahead, take_steps(back, reverse)], dim=-1), mask).cleaned()

    def last_step(self, stream: Stream) -> torch.Tensor:
        """Return the output of `forward` at the last real step, `(batch, 2 * hidden_size)`.

        The backward direction has read only one step there.
        """
        values, mask = to_front(stream)
        ahead, _ = self.forward_lstm(values)
        back, _ = self.backward_lstm(last_real(values, mask).unsqueeze(1))
        pooled = torch.cat([last_real(ahead, mask), back.squeeze(1)], dim=-1)
        return pooled.masked_fill(~mask.any(1, keepdim=True), 0.0)

    def final_states(self, stream: Stream) -> torch.Tensor:
        """Return the state of each direction after reading the whole row, `(batch, 2 * hidden_size)`."""
        values, mask = self(stream)
        size = values.shape[-1] // 2
        return torch.cat([last_real(values, mask)[:, :size], values[:, 0, size:]], dim=-1)
