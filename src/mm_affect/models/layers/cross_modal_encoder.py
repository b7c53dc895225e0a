# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What MulT and LMR-CBT share: temporal convolutions, and pre-norm encoders of a stream that may read another one.

Paper: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov (2019), "Multimodal Transformer for Unaligned Multimodal Language
Sequences", ACL; LMR-CBT took its encoder over. Rows are packed (`packing.py`): padding is never computed. Where this differs
from the public code, and why:

* Padding and masked steps take no part: positions count real steps, the future mask follows the lengths of each row, and a
  row is read at its own last real step. Without masks this is the code, which reads the last index.
* Convolutions keep the length of a stream (`conv_padding="same"`), so that every step keeps its mask and short rows can be
  read. `"valid"`, the code, gives a row k - 1 steps less.
* A step whose first feature is exactly 0 gets its position like any other; the code takes the 0 for padding
  (`pe_zero_first_channel`).
* Keys and values of a source are dropped out together; the code draws once for each.
* A row without the source has nothing to attend to: attention adds nothing, and the target goes on by itself.
* Only the last step of the last layer is computed where nothing else is read.
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
    """A convolution without bias along a stream that has zeros at masked steps, to `hidden_size` features per step.

    Beyond the ends of a row there are zeros, too; masked steps stay masked.
    """

    def __init__(self, config: PreTrainedConfig, modality: str):
        size = config.kernel_sizes[modality]
        padding = (size - 1) // 2 if config.conv_padding == "same" else 0
        super().__init__(config.feature_sizes[modality], config.hidden_size, size, padding=padding, bias=False)
        self.modality = modality

    def forward(self, stream: Stream) -> Stream:
        """Raises ValueError if a row is shorter than a `"valid"` kernel."""
        (values, mask), (size,) = stream, self.kernel_size
        if not self.padding[0] and size > 1:
            first, length = extent(mask)
            if not exporting() and ((length > 0) & (length < size)).any():
                raise ValueError(
                    f"A row has {int(length[length > 0].min())} steps of `{self.modality}`, and the kernel of its convolution "
                    f"spans {size}; set `kernel_sizes` to less, or `conv_padding` to 'same'."
                )
            values, mask = lengthened(stream, torch.sym_max(size, mask.shape[1]))
            begin = torch.arange(mask.shape[1] - size + 1, device=mask.device)
            inside = (begin >= first.unsqueeze(1)) & (begin + size <= (first + length).unsqueeze(1))
            mask = mask[:, (size - 1) // 2 :][:, : begin.shape[0]] & inside
        return Stream(super().forward(values.transpose(1, 2)).transpose(1, 2), mask).cleaned()


class XavierAttention(PackedAttention):
    """Its query, key and value begin as parts of one matrix, which they are in the code."""

    def __init__(self, config: PreTrainedConfig, size: int, dropout: float):
        super().__init__(config, size, config.num_attention_heads, dropout)
        self.query, self.key, self.value = (XavierLinear(size, size, fans=4 * size) for _ in range(3))
        self.output = XavierLinear(size, size)


class EncoderLayer(GradientCheckpointingLayer):
    """Layer of the encoders over packed rows; one layer norm serves both the stream and the source it reads."""

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
        if not self.norm_first:
            packed = self.attention_norm(self._attended(packed, pairs, source).add_(packed))
            return self.feed_forward_norm(self._fed(packed).add_(packed))
        normed = None if source is None else self.attention_norm(source)
        packed = self._attended(self.attention_norm(packed), pairs, normed).add_(packed)
        return self._fed(self.feed_forward_norm(packed)).add_(packed)

    def _attended(self, packed, pairs, source):
        return self.dropout(self.attention(packed, pairs, source)[0])

    def _fed(self, packed):
        """The order of dropout and ReLU does not matter, and memory is saved if ReLU comes last."""
        return self.dropout(self.shrink(self.activation_dropout(self.expand(packed)).relu_()))


class CrossModalEncoder(nn.Module):
    """A stack of layers over a stream that attends to itself, or to a source that stays as it was embedded."""

    def __init__(self, config: PreTrainedConfig, size: int, num_layers: int, attention_dropout: float):
        super().__init__()
        self.future_mask, self.scale = config.future_mask, math.sqrt(size)
        self.positions = SinusoidalPositions(first=1, skip_zeros=config.pe_zero_first_channel)
        self.dropout = Dropout(config.embedding_dropout_prob, inplace=True)
        self.layers = nn.ModuleList(EncoderLayer(config, size, attention_dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(size)

    def forward(self, stream: Stream, source: Stream | None = None, last_only: bool = False) -> Stream:
        """The encoded stream; with `last_only`, which goes without a source, its last real step alone, `(batch, 1, size)`."""
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
