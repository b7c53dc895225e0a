# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A ragged batch as its real steps alone, one after the other, so that no layer computes padding.

Linear layers, norms and dropout read the steps as they come, `(steps, size)`. Only attention has to know which steps belong
together. On a CPU it takes rows of like length together, as many as fit in the cache, and computes the attention table again
in the backward pass instead of keeping it; elsewhere, and where the weights are wanted (eager attention), the rows are padded
for it as usual.
"""

from typing import NamedTuple

import torch
from transformers.masking_utils import create_bidirectional_mask

from .dropout import draw_kept
from .layers import Attention


CELLS_AT_ONCE = 2**19  # of an attention table; about what the cache of a core holds
LEAST_SHARE = 0.75  # of the longest row's length, for a row to be taken together with it


class RowGroup(NamedTuple):
    """Rows of like length: the range of their steps, and how to pad them.

    Args:
        steps: the group's range in the packed batch.
        shape: rows, and steps of the longest.
        padded: `(rows * longest,)`, the group's step at each place of the padded group; None if all are equally long.
        real: `(steps,)`, the place of each step in the padded group.
        mask: `(rows, 1, 1, longest)`, 0 at real steps and minus infinity elsewhere.
    """

    steps: slice
    shape: tuple[int, int]
    padded: torch.Tensor | None = None
    real: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    def pad(self, packed: torch.Tensor, head_size: int) -> torch.Tensor:
        """The group's steps of `packed` as `(rows, heads, longest, head size)`."""
        own = packed[self.steps]
        own = own if self.padded is None else own[self.padded]
        return own.view(*self.shape, -1, head_size).transpose(1, 2).contiguous()

    def put(self, packed: torch.Tensor, values: torch.Tensor) -> None:
        """Writes `values` `(rows, heads, longest, head size)` into the group's steps of `packed`."""
        values = values.transpose(1, 2).reshape(-1, packed.shape[-1])
        packed[self.steps] = values if self.real is None else values[self.real]


class PackedRows:
    """Which steps of a batch are real, and how they are packed: rows from the longest to the shortest.

    Args:
        mask: `(batch, length)`, True = a real step.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        self.lengths = mask.sum(1)
        self.index = None
        if not mask.all():
            order = self.lengths.argsort(descending=True, stable=True)
            place = torch.arange(mask.numel(), device=mask.device).view(mask.shape)
            self.index = place[order][mask[order]]
            self.lengths = self.lengths[order]
        self._groups = {}

    def pack(self, values: torch.Tensor) -> torch.Tensor:
        """The real steps of `(batch, length, size)` as `(steps, size)`."""
        values = values.flatten(0, 1)
        return values if self.index is None else values[self.index]

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """`pack` undone, with zeros in the padding."""
        if self.index is None:
            return packed.unflatten(0, self.mask.shape)
        values = packed.new_zeros(self.mask.numel(), packed.shape[-1])
        return values.index_copy(0, self.index, packed).unflatten(0, self.mask.shape)

    def groups(self, heads: int) -> list[RowGroup]:
        """The rows in groups whose attention tables stay within `CELLS_AT_ONCE`."""
        if heads not in self._groups:
            self._groups[heads] = list(self._grouped(heads))
        return self._groups[heads]

    def _grouped(self, heads: int):
        lengths = [length for length in self.lengths.tolist() if length]
        first = step = 0
        while first < len(lengths):
            longest, last = lengths[first], first + 1
            at_once = CELLS_AT_ONCE // (heads * longest**2)
            while last < min(len(lengths), first + at_once) and lengths[last] >= LEAST_SHARE * longest:
                last += 1
            own = torch.tensor(lengths[first:last])
            steps, shape = slice(step, step + int(own.sum())), (last - first, longest)
            if own[-1] == longest:
                yield RowGroup(steps, shape)
            else:
                real = torch.arange(longest) < own.unsqueeze(1)
                padded = real.flatten().cumsum(0).sub_(1)  # a place behind the end repeats the last step
                mask = torch.zeros(real.shape).masked_fill_(~real, torch.finfo(torch.float32).min)
                yield RowGroup(steps, shape, padded, real.flatten().nonzero().flatten(), mask[:, None, None])
            first, step = last, steps.stop


class GroupedAttention(torch.autograd.Function):
    """Attention of packed rows on themselves, with dropout, group by group on a CPU.

    `query`, `key`, `value`: `(steps, heads * head size)`.
    """

    @staticmethod
    def forward(context, query, key, value, groups: list[RowGroup], head_size: int, probability: float):
        context.groups, context.head_size, context.scale = groups, head_size, 1 / (1 - probability)
        context.kept = []
        output = torch.empty_like(query)
        for group in groups:
            q, k, v = (group.pad(part, head_size) for part in (query, key, value))
            weights = attention_weights(q, k, group.mask)
            if probability:
                context.kept.append(draw_kept(weights.shape, probability))
                weights.mul_(context.kept[-1])
            group.put(output, (weights @ v).mul_(context.scale))
        context.save_for_backward(query, key, value)
        return output

    @staticmethod
    def backward(context, gradient):
        parts = context.saved_tensors
        gradients = [torch.empty_like(part) for part in parts]
        for i, group in enumerate(context.groups):
            q, k, v = (group.pad(part, context.head_size) for part in parts)
            incoming = group.pad(gradient, context.head_size).mul_(context.scale)
            if group.real is not None:
                incoming.masked_fill_((group.mask < 0).transpose(2, 3), 0.0)
            weights = attention_weights(q, k, group.mask)
            to_weights = incoming @ v.transpose(2, 3)
            if context.kept:
                to_weights.mul_(context.kept[i])
            to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype).mul_(q.shape[-1] ** -0.5)
            if context.kept:
                weights.mul_(context.kept[i])
            found = (to_scores @ k, to_scores.transpose(2, 3) @ q, weights.transpose(2, 3) @ incoming)
            for part, values in zip(gradients, found):
                group.put(part, values)
        return *gradients, None, None, None


def attention_weights(query, key, mask) -> torch.Tensor:
    """Softmax of the scaled and masked scores."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return (scores if mask is None else scores.add_(mask)).softmax(-1)


class PackedSelfAttention(Attention):
    """`Attention` of packed rows `(steps, size)` on themselves."""

    def forward(self, packed: torch.Tensor, rows: PackedRows):
        kind, dropout = self.config._attn_implementation, self.dropout if self.training else 0.0
        if kind != "sdpa" or packed.device.type != "cpu":
            values = rows.unpack(packed)
            keys = rows.mask | ~rows.mask.any(1, keepdim=True)  # a row without steps attends to its zeros
            attended, weights = super().forward(values, create_bidirectional_mask(self.config, values, keys))
            return rows.pack(attended), weights
        parts = self.query(packed), self.key(packed), self.value(packed)
        heads = packed.shape[-1] // self.head_size
        return self.output(GroupedAttention.apply(*parts, rows.groups(heads), self.head_size, dropout)), None
