# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transformer decoder over characters that reads a stream: the speech recognition head of the joint embeddings.

Training uses teacher forcing on packed rows, so no padding of transcripts or of the stream is computed. Recognition
is a beam search over all rows and beams at once that caches the keys and values of previous characters and of the
stream.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import Attention
from .cpu_attention import AttentionPairs, PackedAttention
from .cpu_dropout import Dropout
from .packing import PackedRows
from .positions import SinusoidalPositions
from .streams import Stream, to_front


class ResidualLayer(GradientCheckpointingLayer):
    """Base of encoder and decoder layers: pre-norm or post-norm residual steps, and the feed-forward step."""

    def __init__(self, config):
        super().__init__()
        size = config.hidden_size
        self.norm_first = config.norm_first
        self.expand = nn.Linear(size, config.intermediate_size)
        self.shrink = nn.Linear(config.intermediate_size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def add(self, values: torch.Tensor, norm: nn.LayerNorm, step) -> torch.Tensor:
        """Return `values` plus the output of `step`, with dropout.

        The norm is applied to the input of the step (`norm_first`), or to the sum.
        """
        if self.norm_first:
            return values + self.dropout(step(norm(values)))
        return norm(values + self.dropout(step(values)))

    def feed_forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values after the feed-forward step."""
        return self.add(
            values, self.feed_forward_norm, lambda given: self.shrink(self.dropout(F.relu(self.expand(given))))
        )


class Past:
    """Cache of keys and values of previous characters, `(rows * beams, heads, characters, head size)` each."""

    def __init__(self):
        self.parts: list[torch.Tensor] = []

    def grow(self, *new: torch.Tensor) -> list[torch.Tensor]:
        """Append keys and values of one more character and return all of them."""
        old = self.parts or [part[:, :, :0] for part in new]
        self.parts = [torch.cat(pair, dim=2) for pair in zip(old, new)]
        return self.parts

    def follow(self, places: torch.Tensor) -> None:
        """Keep the beams at `places` `(rows * beams,)`."""
        self.parts = [part.index_select(0, places) for part in self.parts]


class DecoderLayer(ResidualLayer):
    """Attention to previous characters, attention to the stream, and feed-forward step."""

    def __init__(self, config):
        super().__init__(config)
        size, heads = config.hidden_size, config.num_attention_heads
        self.attention = PackedAttention(config, size, heads, config.attention_dropout)
        self.attention_norm = nn.LayerNorm(size)
        self.memory_attention = PackedAttention(config, size, heads, config.attention_dropout)
        self.memory_norm = nn.LayerNorm(size)

    def forward(self, values, before: AttentionPairs, read: AttentionPairs, memory):
        """Decode all characters at once; `values` and `memory` are packed steps `(steps, size)`."""
        values = self.add(values, self.attention_norm, lambda given: self.attention(given, before)[0])
        values = self.add(values, self.memory_norm, lambda given: self.memory_attention(given, read, memory)[0])
        return self.feed_forward(values)

    def step(self, values, past: Past, memory: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor):
        """Decode one more character of every beam.

        Args:
            values: embedded characters, `(rows, beams, size)`.
            past: cache of the previous characters; extended by this call.
            memory: keys and values of the stream.
            mask: real steps of the stream, `(rows, length)`.
        """

        def attend_before(given):
            one = given.flatten(0, 1).unsqueeze(1)
            kept = past.grow(*keys_and_values(self.attention, one))
            return attend(self.attention, one, kept).view(given.shape)

        values = self.add(values, self.attention_norm, attend_before)
        values = self.add(
            values, self.memory_norm, lambda given: attend(self.memory_attention, given, memory, mask[:, None, None])
        )
        return self.feed_forward(values)


def split_heads(attention: Attention, values: torch.Tensor) -> torch.Tensor:
    """Return `(rows, length, size)` as `(rows, heads, length, head size)`."""
    return values.unflatten(-1, (-1, attention.head_size)).transpose(1, 2)


def keys_and_values(attention: Attention, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the keys and values of a memory `(rows, length, size)`, split into heads."""
    return split_heads(attention, attention.key(memory)), split_heads(attention, attention.value(memory))


def attend(attention: Attention, values, cached: Sequence[torch.Tensor], mask=None) -> torch.Tensor:
    """Return the attention of `values` `(rows, length, size)` to cached keys and values."""
    query = split_heads(attention, attention.query(values))
    keys, memory = cached
    attended = F.scaled_dot_product_attention(query, keys, memory, attn_mask=mask)
    return attention.output(attended.transpose(1, 2).flatten(2))


class CharacterDecoder(nn.Module):
    """Decoder of a stream into characters: computes their loss, and recognizes them."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = SinusoidalPositions()
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size) if config.final_norm else nn.Identity()
        self.output = nn.Linear(config.hidden_size, config.vocab_size)

    def loss(self, characters: torch.Tensor, memory: Stream) -> torch.Tensor:
        """Return the mean cross-entropy of each character given the previous ones.

        Args:
            characters: `(batch, length)`, ids of transcripts that end with the end token; -100 = none.
            memory: stream to read.

        Raises:
            ValueError: `characters` has another shape, or ids outside the vocabulary.
        """
        self._check(characters, len(memory.mask))
        values, mask = to_front(Stream(characters.unsqueeze(-1), characters != -100))
        begin = torch.full_like(values[:, :1], self.config.bos_token_id)
        rows, read = PackedRows(mask), PackedRows(memory.mask)
        target, given = rows.pack(values).squeeze(-1), rows.pack(torch.cat([begin, values[:, :-1]], dim=1)).squeeze(-1)
        place = rows.pack((mask.cumsum(1) - 1).unsqueeze(-1)).squeeze(-1)
        hidden = self.dropout(self.positions.place(self.embedding(given), place, mask.shape[1]))
        before, pairs, packed = (
            AttentionPairs(rows, future_mask=True),
            AttentionPairs(rows, read),
            read.pack(memory.values),
        )
        for layer in self.layers:
            hidden = layer(hidden, before, pairs, packed)
        logits = self.output(self.final_norm(hidden)).float()
        return F.cross_entropy(logits, target, reduction="sum") / max(1, len(target))

    def _check(self, characters, batch_size):
        if characters.ndim != 2 or len(characters) != batch_size or characters.shape[1] < 1:
            raise ValueError(
                f"`characters` has shape {tuple(characters.shape)}; expected ({batch_size}, length >= 1), with as many "
                "rows as the streams."
            )
        known = (characters == -100) | ((characters >= 0) & (characters < self.config.vocab_size))
        if not known.all():
            raise ValueError(
                f"`characters` has the id {int(characters[~known][0])}; expected 0 to {self.config.vocab_size - 1}, or "
                "-100 for none."
            )

    @torch.no_grad()
    def recognize(self, memory: Stream, num_beams: int, max_length: int, length_penalty: float) -> torch.Tensor:
        """Return the ids of the best transcript of each row, `(batch, length)`.

        Args:
            memory: stream to read.
            num_beams: number of beams.
            max_length: most characters per transcript.
            length_penalty: exponent of the length by which the log-probability of a transcript is divided.
        """
        config, (rows, device) = self.config, (len(memory.mask), memory.mask.device)
        layers = list(cast(Iterable[DecoderLayer], self.layers))
        kept = [keys_and_values(layer.memory_attention, memory.values) for layer in layers]
        pasts = [Past() for _ in layers]
        scores = torch.full((rows, num_beams), -torch.inf, device=device)
        scores[:, 0] = 0.0  # all beams are equal at first, so start from one
        ended = ~memory.mask.any(1, keepdim=True).expand(rows, num_beams)
        last = torch.full((rows, num_beams), config.bos_token_id, device=device)
        ids = last[..., None][..., :0]
        padding_only = torch.full((config.vocab_size,), -torch.inf, device=device)
        padding_only[config.pad_token_id] = 0.0
        while ids.shape[-1] < max_length and not ended.all():
            log_probabilities = self._next(last, ids.shape[-1], pasts, kept, memory.mask)
            log_probabilities[..., [config.pad_token_id, config.bos_token_id]] = -torch.inf
            further = torch.where(ended.unsqueeze(-1), padding_only, log_probabilities)
            scores, best = (scores.unsqueeze(-1) + further).flatten(1).topk(num_beams)
            beam, last = best // config.vocab_size, best % config.vocab_size
            ids = torch.cat([ids.gather(1, beam.unsqueeze(-1).expand_as(ids)), last.unsqueeze(-1)], dim=-1)
            ended = ended.gather(1, beam) | (last == config.eos_token_id)
            for past in pasts:
                past.follow((beam + torch.arange(rows, device=device).unsqueeze(1) * num_beams).flatten())
        lengths = (ids != config.pad_token_id).sum(-1).clamp_min(1)
        best = (scores / lengths**length_penalty).argmax(1)
        return ids[torch.arange(rows, device=device), best]

    def _next(self, last, place: int, pasts, kept, mask) -> torch.Tensor:
        """Return the log-probabilities of the next character of each beam, `(rows, beams, vocabulary)`."""
        hidden = self.positions.place(self.embedding(last), torch.full_like(last, place), place + 1)
        for layer, past, memory in zip(cast(Iterable[DecoderLayer], self.layers), pasts, kept):
            hidden = layer.step(hidden, past, memory, mask)
        return self.output(self.final_norm(hidden)).float().log_softmax(-1)
