# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Multi-head attention and the post-norm Transformer encoder."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .streams import Stream


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Compute attention with explicit weights.

    Query, key and value are `(batch, heads, length, head size)`. The softmax is computed in float32.

    Returns:
        context `(batch, length, heads, head size)` and weights `(batch, heads, queries, keys)`.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    context = torch.matmul(F.dropout(weights, p=dropout, training=module.training), value)
    return context.transpose(1, 2).contiguous(), weights


class Attention(nn.Module):
    """Multi-head attention of hidden states `(batch, length, size)` to themselves or to a memory.

    Raises:
        ValueError: `num_heads` does not divide `size`.
    """

    is_causal = False

    def __init__(self, config, size: int, num_heads: int, dropout: float):
        super().__init__()
        if size % num_heads:
            raise ValueError(
                f"Attention over {size} features cannot have {num_heads} heads; expected a divisor of {size}."
            )
        self.config, self.head_size, self.dropout = config, size // num_heads, dropout
        self.scaling = self.head_size**-0.5
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)

    def forward(self, hidden_states, attention_mask=None, memory=None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the attended values `(batch, length, size)` and, if available, the attention weights."""
        memory = hidden_states if memory is None else memory

        def split(values: torch.Tensor) -> torch.Tensor:
            return values.unflatten(-1, (-1, self.head_size)).transpose(1, 2)

        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        context, weights = attend(
            self,
            split(self.query(hidden_states)),
            split(self.key(memory)),
            split(self.value(memory)),
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
        )
        return self.output(context.flatten(2)), weights


class TransformerBlock(GradientCheckpointingLayer):
    """Post-norm block of Vaswani et al. (2017); equals `torch.nn.TransformerEncoderLayer`."""

    def __init__(self, config, size: int, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.attention = Attention(config, size, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, intermediate_size)
        self.shrink = nn.Linear(intermediate_size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states, attention_mask=None, memory=None):
        """Return the hidden states after attention and feed-forward step."""
        attended, _ = self.attention(hidden_states, attention_mask, memory)
        hidden_states = self.attention_norm(hidden_states + self.dropout(attended))
        fed = self.shrink(self.dropout(F.relu(self.expand(hidden_states))))
        return self.feed_forward_norm(hidden_states + self.dropout(fed))


class TransformerEncoder(nn.Module):
    """Stack of blocks over a stream, which attends to itself or to a memory; the mask is prepared once.

    A row without real keys has nothing to attend to and is returned as zeros.
    """

    def __init__(self, config, size: int, num_layers: int, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(
            TransformerBlock(config, size, num_heads, intermediate_size, dropout) for _ in range(num_layers)
        )

    def forward(self, stream: Stream, memory: Stream | None = None) -> Stream:
        """Return the encoded stream."""
        values, mask = stream.cleaned()
        keys = stream if memory is None else memory.cleaned()
        prepared = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=values,
            attention_mask=keys.mask,
            encoder_hidden_states=None if memory is None else keys.values,
        )
        for block in self.blocks:
            values = block(values, prepared, None if memory is None else keys.values)
        return Stream(values, mask & keys.mask.any(1, keepdim=True)).cleaned()
