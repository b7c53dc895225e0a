# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Temporal convolutions and pre-norm encoders of MulT and LMR-CBT, which can attend to another stream.

Paper: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov (2019), "Multimodal Transformer for Unaligned Multimodal
Language Sequences", ACL; LMR-CBT adopted its encoder. Rows are packed (`packing.py`), so padding is never computed.

Differences from the public code:

* Padding and masked steps have no influence: positions count real steps, the future mask follows the lengths of each
  row, and a row is read at its own last real step. Without masks this equals the public code, which reads the last
  index.
* Convolutions keep the length of a stream (`conv_padding="same"`), so that every step keeps its mask and short rows
  can be read. `"valid"`, as in the public code, shortens a row by k - 1 steps.
* A step whose first feature is exactly 0 gets a position like any other; the public code mistakes it for padding
  (`pe_zero_first_channel`).
* Keys and values of a source share one dropout mask; the public code draws one for each.
* In a row without the source, attention adds nothing.
* Only the last step of the last layer is computed if nothing else is read.
"""

import math

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from .cpu_attention import AttentionPairs, PackedAttention
from .cpu_dropout import Dropout
from .packing import PackedRows
from .positions import SinusoidalPositions
from .streams import Stream, exporting, extent, last_real, lengthened
from .xavier_linear import XavierLinear


class TemporalConvolution(nn.Conv1d):
    """Convolution along time without bias, to `hidden_size` features per step.

    Steps beyond the ends of a row and masked steps are zeros; masked steps stay masked.
    """

    def __init__(self, config: PreTrainedConfig, modality: str):
        size = config.kernel_sizes[modality]
        padding = (size - 1) // 2 if config.conv_padding == "same" else 0
        super().__init__(config.feature_sizes[modality], config.hidden_size, size, padding=padding, bias=False)
        self.modality = modality

    def forward(self, stream: Stream) -> Stream:  # type: ignore[override]  # streams instead of tensors
        """Return the convolved stream.

        Raises:
            ValueError: a row is shorter than a `"valid"` kernel.
        """
        (values, mask), (size,) = stream, self.kernel_size
        if not self.padding[0] and size > 1:
            first, length = extent(mask)
            if not exporting() and ((length > 0) & (length < size)).any():
                raise ValueError(
                    f"A row has {int(length[length > 0].min())} steps of `{self.modality}`, but the kernel of its convolution "
                    f"spans {size}. Use smaller `kernel_sizes`, or `conv_padding` 'same'."
                )
            values, mask = lengthened(stream, torch.sym_max(size, mask.shape[1]))
            begin = torch.arange(mask.shape[1] - size + 1, device=mask.device)
            inside = (begin >= first.unsqueeze(1)) & (begin + size <= (first + length).unsqueeze(1))
            mask = mask[:, (size - 1) // 2 :][:, : begin.shape[0]] & inside
        return Stream(super().forward(values.transpose(1, 2)).transpose(1, 2), mask).cleaned()


class XavierAttention(PackedAttention):
    """Packed attention whose query, key and value are initialized as parts of one matrix, as in the public code."""

    def __init__(self, config: PreTrainedConfig, size: int, dropout: float):
        super().__init__(config, size, config.num_attention_heads, dropout)
        self.query, self.key, self.value = (XavierLinear(size, size, fans=4 * size) for _ in range(3))
        self.output = XavierLinear(size, size)


class EncoderLayer(GradientCheckpointingLayer):
    """Encoder layer over packed rows; one layer norm serves both the stream and the source that it reads."""

    def __init__(self, config: PreTrainedConfig, size: int, attention_dropout: float):
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = XavierAttention(config, size, attention_dropout)
        self.attention_norm = nn.LayerNorm(size)
        self.expand = XavierLinear(size, 4 * size)
        self.shrink = XavierLinear(4 * size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.activation_dropout = Dropout(config.activation_dropout, inplace=True)
        self.dropout = Dropout(config.hidden_dropout_prob, inplace=True)

    def forward(self, packed: torch.Tensor, pairs: AttentionPairs, source: torch.Tensor | None = None) -> torch.Tensor:
        """Return the packed steps after attention and feed-forward step."""
        if not self.norm_first:
            packed = self.attention_norm(self._attended(packed, pairs, source).add_(packed))
            return self.feed_forward_norm(self._fed(packed).add_(packed))
        normed = None if source is None else self.attention_norm(source)
        packed = self._attended(self.attention_norm(packed), pairs, normed).add_(packed)
        return self._fed(self.feed_forward_norm(packed)).add_(packed)

    def _attended(self, packed, pairs, source):
        return self.dropout(self.attention(packed, pairs, source)[0])

    def _fed(self, packed):
        """Apply the feed-forward step; a ReLU after the dropout gives the same values and saves memory."""
        return self.dropout(self.shrink(self.activation_dropout(self.expand(packed)).relu_()))


class CrossModalEncoder(nn.Module):
    """Stack of layers over a stream that attends to itself or to an embedded source."""

    def __init__(self, config: PreTrainedConfig, size: int, num_layers: int, attention_dropout: float):
        super().__init__()
        self.future_mask, self.scale = config.future_mask, math.sqrt(size)
        self.positions = SinusoidalPositions(first=1, skip_zeros=config.pe_zero_first_channel)
        self.dropout = Dropout(config.embedding_dropout_prob, inplace=True)
        self.layers = nn.ModuleList(EncoderLayer(config, size, attention_dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(size)

    def forward(self, stream: Stream, source: Stream | None = None, last_only: bool = False) -> Stream:
        """Encode a stream.

        Args:
            stream: the stream to encode.
            source: stream to attend to; default: `stream` itself.
            last_only: return only the last real step, `(batch, 1, size)`; requires `source` to be None.
        """
        rows, memory = PackedRows(stream.mask), None
        packed = self._embedded(stream, rows)
        if source is None:
            pairs = AttentionPairs(rows, future_mask=self.future_mask)
        else:
            keys = PackedRows(source.mask)
            memory, pairs = self._embedded(source, keys), AttentionPairs(rows, keys, self.future_mask)
        for layer in self.layers[:-1] if last_only else self.layers:
            packed = layer(packed, pairs, memory)
        if last_only:
            last = last_real(rows.unpack(packed), stream.mask).unsqueeze(1)
            ends = PackedRows(stream.mask.any(1, keepdim=True))
            packed, rows = self.layers[-1](ends.pack(last), AttentionPairs(ends, rows, self.future_mask), packed), ends
        return Stream(rows.unpack(self.norm(packed)), rows.mask)

    def _embedded(self, stream: Stream, rows: PackedRows) -> torch.Tensor:
        return self.dropout(rows.pack(self.positions(Stream(stream.values * self.scale, stream.mask)).values))
