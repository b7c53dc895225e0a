# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Post-norm Transformer encoder of TAILOR, as in BERT, over packed rows."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import Attention
from .cpu_attention import AttentionPairs, PackedAttention
from .cpu_dropout import Dropout
from .packing import PackedRows
from .streams import Stream


def layer_norm(size: int) -> nn.LayerNorm:
    """Return a layer norm with the epsilon of BERT."""
    return nn.LayerNorm(size, eps=1e-12)


class AttentionStep(nn.Module):
    """Attention with residual connection: `LN(x + Drop(W Attention(x, ...)))`."""

    def __init__(self, config: PreTrainedConfig, kind: type[Attention]):
        super().__init__()
        self.attention = kind(config, config.hidden_size, config.num_attention_heads, config.hidden_dropout_prob)
        self.dropout = Dropout(config.hidden_dropout_prob, inplace=True)
        self.norm = layer_norm(config.hidden_size)

    def forward(self, values, *arguments):
        """Return the values after attention; `arguments` are passed to the attention."""
        return self.norm(self.dropout(self.attention(values, *arguments)[0]).add_(values))


class FeedForwardStep(nn.Module):
    """Feed-forward step with residual connection: `LN(x + Drop(W2 gelu(W1 x)))`."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.shrink = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob, inplace=True)
        self.norm = layer_norm(config.hidden_size)

    def forward(self, values):
        """Return the values after the feed-forward step."""
        return self.norm(self.dropout(self.shrink(F.gelu(self.expand(values)))).add_(values))


class TailorLayer(GradientCheckpointingLayer):
    """Post-norm layer of BERT on packed rows."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.attention = AttentionStep(config, PackedAttention)
        self.feed_forward = FeedForwardStep(config)

    def forward(self, packed, pairs: AttentionPairs):
        """Return the packed steps after attention and feed-forward step."""
        return self.feed_forward(self.attention(packed, pairs))


class TailorEncoder(nn.Module):
    """Learned positions, layer norm, dropout and Transformer layers, for streams that stand at the front."""

    def __init__(self, config: PreTrainedConfig, num_layers: int, num_positions: int):
        super().__init__()
        self.positions = nn.Embedding(num_positions, config.hidden_size)
        self.norm = layer_norm(config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(TailorLayer(config) for _ in range(num_layers))

    def forward(self, stream: Stream) -> Stream:
        """Return the encoded stream."""
        values, mask = stream
        position = torch.arange(mask.shape[1], device=mask.device).clamp_max(self.positions.num_embeddings - 1)
        rows = PackedRows(mask)
        packed = self.dropout(self.norm(rows.pack(values + self.positions(position))))
        pairs = AttentionPairs(rows)
        for layer in self.layers:
            packed = layer(packed, pairs)
        return Stream(rows.unpack(packed), mask)
