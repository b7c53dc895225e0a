# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attention over packed rows on a CPU.

Rows of similar length are processed together, and long ones in blocks of queries that fit in the cache. No attention
table outlives its block; the backward pass computes it again. On other devices, and if the weights are requested
(eager attention), the rows are padded as usual.
"""

import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.masking_utils import create_bidirectional_mask

from .attention import Attention
from .cpu_dropout import Draws, draw_seed
from .packing import PackedRows
from .streams import exporting


CELLS_AT_ONCE = 2**20  # cells of an attention table per block; about the size of a core's cache
QUERIES_AT_ONCE = 64  # least queries per block (or an eighth of the keys) with a future mask
SPARE_CELLS = 2**16  # padding per group that costs as much time as one more group
MASKED = -1e30  # score of a key that a query may not attend to
LOG2_E = 1.4426950408889634
softmax_backward = torch.ops.aten._softmax_backward_data.out


class PaddedSide(NamedTuple):
    """Queries or keys of a group of rows, and how to pad them.

    Args:
        lengths: steps of each row, `(rows,)`.
        longest: the greatest length.
        steps: packed steps of the padded rows, with the last step of a row repeated, `(rows * longest,)`.
        real: mask of real steps, `(rows, longest)`.
        together: the steps as a slice of the packed ones if they are contiguous; then there is no padding.
    """

    lengths: torch.Tensor
    longest: int
    steps: torch.Tensor
    real: torch.Tensor
    together: slice | None

    @classmethod
    def of(cls, first: torch.Tensor, lengths: torch.Tensor) -> "PaddedSide":
        """Create it for rows with these `lengths` `(rows,)` that begin at the packed steps `first` `(rows,)`."""
        position = torch.arange(int(lengths.max()))
        steps = (first.unsqueeze(1) + torch.minimum(position, lengths.unsqueeze(1) - 1)).flatten()
        begin = int(steps[0])
        together = slice(begin, begin + len(steps)) if (steps.diff() == 1).all() else None
        return cls(lengths, len(position), steps, position < lengths.unsqueeze(1), together)

    def pad(self, packed: torch.Tensor, heads: int) -> torch.Tensor:
        """Return the steps of `packed` `(size, steps)` as `(rows * heads, head size, longest)`, at least float32."""
        own = packed.index_select(1, self.steps) if self.together is None else packed[:, self.together]
        own = own.to(torch.promote_types(own.dtype, torch.float32)).view(heads, -1, *self.real.shape)
        return own.permute(2, 0, 1, 3).reshape(-1, own.shape[1], own.shape[3])


class GatherIndex(NamedTuple):
    """Index of the packed steps among the padded steps of all groups.

    Args:
        places: index of each packed step, `(steps,)`, with the index behind the end for steps that are in no group;
            None if the order is the same.
    """

    places: torch.Tensor | None

    @classmethod
    def of(cls, sides: list[PaddedSide], steps: int) -> "GatherIndex":
        """Create it for the sides of all groups and a total of `steps` packed steps."""
        padded = sum(len(side.steps) for side in sides)
        index = torch.full((steps,), padded)
        if sides:
            real = torch.cat([side.real.flatten() for side in sides])
            index[torch.cat([side.steps for side in sides])[real]] = torch.arange(padded)[real]
        same = padded and torch.equal(index, torch.arange(padded))
        return cls(None if same else index)

    def unpad(self, parts: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """Return the results of the groups as packed steps `(size, steps)`, zeros for steps that are in no group.

        Args:
            parts: result of each group, `(rows * heads, head size, longest)`.
            like: tensor with the shape and type of the result.
        """
        heads = [part.unflatten(0, (-1, len(like) // part.shape[1])) for part in parts]
        flat = [part.permute(1, 2, 0, 3).reshape(len(like), -1) for part in heads]
        if self.places is not None:
            flat.append(like.new_zeros(len(like), 1))
        joined = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        return (joined if self.places is None else joined.index_select(1, self.places)).to(like.dtype)


class Block(NamedTuple):
    """Some queries of a group, and the keys that any of them may attend to.

    Args:
        first: the first query.
        queries: number of queries.
        keys: number of keys, from the first one.
        unread: bias of the last keys that not all queries may attend to, `(rows or 1, 1, queries, last keys)`.
    """

    first: int
    queries: int
    keys: int
    unread: torch.Tensor | None

    @classmethod
    def seeing(cls, queries: range, lengths: torch.Tensor, shift: torch.Tensor) -> "Block":
        """Create it for queries i that attend to the keys 0 to i + `shift` of `lengths`, each `(rows or 1,)`."""
        query = torch.arange(queries.start, queries.stop)
        seen = torch.minimum(query + 1 + shift.unsqueeze(1), lengths.unsqueeze(1))
        fewest, keys = int(seen.min()), int(seen.max())
        unread = (torch.arange(fewest, keys) >= seen.unsqueeze(2)).unsqueeze(1) * MASKED if fewest < keys else None
        return cls(queries.start, len(queries), keys, unread)

    def of(self, queries: torch.Tensor) -> torch.Tensor:
        """Return the queries of this block from `(rows * heads, head size, longest)`."""
        return queries.narrow(2, self.first, self.queries)

    def read(self, keys: torch.Tensor) -> torch.Tensor:
        """Return the keys of this block from `(rows * heads, head size, longest)`."""
        return keys.narrow(2, 0, self.keys)


class Group(NamedTuple):
    """Rows of similar length whose attention is computed together, block by block."""

    queries: PaddedSide
    keys: PaddedSide
    blocks: list[Block]


class AttentionPlan(NamedTuple):
    """Groups of a batch, and the index of their queries and keys."""

    groups: list[Group]
    queries: GatherIndex
    keys: GatherIndex


class AttentionPairs:
    """Pairs of queries and keys: packed steps attend to the packed steps of the same row.

    Args:
        queries: layout of the queries.
        keys: layout of the keys, of the same batch; default: the queries.
        future_mask: let query i of T attend only to the keys 0 to i + |S - T| of S, as in MulT.

    Attributes:
        readable: mask of the queries that have a key, `(steps, 1)`; None if all have.
    """

    def __init__(self, queries: PackedRows, keys: PackedRows | None = None, future_mask: bool = False):
        self.queries, self.keys, self.future_mask = queries, queries if keys is None else keys, future_mask
        self.shift = (self.keys.lengths - queries.lengths).abs()
        some = self.keys.lengths > 0
        everywhere = keys is None or (not exporting() and some.all())
        self.readable = None if everywhere else queries.pack(some[:, None, None].expand(*queries.mask.shape, 1))
        self._plans: dict[int, AttentionPlan] = {}
        self._padded_mask: Any = None

    def plan(self, heads: int) -> AttentionPlan:
        """Return the rows with queries and keys in groups whose tables fit in `CELLS_AT_ONCE`."""
        if heads not in self._plans:
            groups = [self._group(torch.tensor(rows), heads) for rows in self._group_by_length(heads)]
            self._plans[heads] = AttentionPlan(
                groups,
                GatherIndex.of([group.queries for group in groups], int(self.queries.lengths.sum())),
                GatherIndex.of([group.keys for group in groups], int(self.keys.lengths.sum())),
            )
        return self._plans[heads]

    def _group_by_length(self, heads: int) -> Iterator[list[int]]:
        """Yield lists of rows of similar length, from the longest to the shortest."""
        lengths = list(zip(self.queries.lengths.tolist(), self.keys.lengths.tolist()))
        taken: list[int] = []
        longest, widest, real = 0, 0, 0
        for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            length, width = lengths[row]
            if not length or not width:
                continue
            longest, widest, real = max(longest, length), max(widest, width), real + heads * length * width
            padded = (len(taken) + 1) * heads * longest * widest
            at_once = padded * self._at_once(longest, widest) // longest
            if taken and (at_once > CELLS_AT_ONCE or padded - real > SPARE_CELLS):
                yield taken
                taken, longest, widest, real = [], length, width, heads * length * width
            taken.append(row)
        if taken:
            yield taken

    def _at_once(self, longest: int, widest: int) -> int:
        """Return the number of queries per block, for `longest` queries and `widest` keys."""
        uniform = not self.future_mask or longest >= 2 * widest
        return longest if uniform else min(longest, max(QUERIES_AT_ONCE, -(-widest // 8)))

    def _group(self, rows: torch.Tensor, heads: int) -> Group:
        queries, keys = (
            PaddedSide.of(side.first_steps[rows], side.lengths[rows]) for side in (self.queries, self.keys)
        )
        fitting = CELLS_AT_ONCE // (len(rows) * heads * keys.longest)
        at_once = max(1, min(self._at_once(queries.longest, keys.longest), fitting))
        at_once = -(
            -queries.longest // -(-queries.longest // at_once)
        )  # the same number of blocks, all of similar size
        lengths, shift = keys.lengths, self.shift[rows] if self.future_mask else keys.lengths
        if len(lengths.unique()) == len(shift.unique()) == 1:
            lengths, shift = lengths[:1], shift[:1]
        ranges = [range(queries.longest)[first : first + at_once] for first in range(0, queries.longest, at_once)]
        return Group(queries, keys, [Block.seeing(part, lengths, shift) for part in ranges])

    def padded_mask(self, config, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor | None:
        """Return the mask of padded attention `(batch, length, size)`; rows without keys attend to zeros."""
        if self._padded_mask is None:
            options: dict[str, Any] = {}
            if self.future_mask:
                latest = self.queries.mask.cumsum(1).clamp_min(1) + self.shift.unsqueeze(1)
                seen = self.keys.mask.cumsum(1).unsqueeze(1) <= latest.unsqueeze(2)
                options["and_mask_function"] = lambda row, head, query, key: seen[row, query, key]
            real = self.keys.mask | ~self.keys.mask.any(1, keepdim=True)
            self._padded_mask = create_bidirectional_mask(config, queries, real, encoder_hidden_states=keys, **options)
        return self._padded_mask


class ScratchBuffers(threading.local):
    """Reusable memory for attention tables, because allocating them costs as much as a matrix product."""

    def __init__(self):
        self.tables: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def table(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return an uninitialized table of this shape, valid until the next one of this name."""
        cells, table = math.prod(shape), self.tables.get((name, dtype))
        if table is None or cells > len(table):
            with torch.inference_mode(False):  # a tensor made in inference mode cannot be written outside it
                table = self.tables[name, dtype] = torch.empty(cells, dtype=dtype)
        return table[:cells].view(shape)


SCRATCH = ScratchBuffers()


class GroupedAttention(torch.autograd.Function):
    """Attention of packed queries to packed keys and values, with dropout, block by block on a CPU.

    Features come first, because matrix products with a last dimension as small as a head are slow: `query` is `(size,
    query steps)`, `key` and `value` are `(size, key steps)`. Scores are exponents of 2, which are faster to compute
    than those of e.
    """

    @staticmethod
    def forward(context, query, key, value, plan: AttentionPlan, heads: int, probability: float):
        """Return the attended values, `(size, query steps)`."""
        context.plan, context.heads, context.probability = plan, heads, probability
        context.seed = draw_seed() if probability else None
        draws = Draws(probability, context.seed) if probability else None
        scaled = query * (scale(query, heads) * LOG2_E)
        outputs, logarithms = [], []
        for group in plan.groups:
            q, k, v = group.queries.pad(scaled, heads), group.keys.pad(key, heads), group.keys.pad(value, heads)
            outputs.append(torch.empty_like(q))
            logarithms.append(q.new_empty(len(q), q.shape[2], 1))
            for block in group.blocks:
                weights = scores(block.of(q), block.read(k), block)
                greatest = weights.amax(-1, keepdim=True)
                total = weights.sub_(greatest).exp2_().sum(-1, keepdim=True)
                logarithms[-1].narrow(1, block.first, block.queries).copy_(greatest.add_(total.log2()))
                if draws:
                    weights.mul_(draws.kept(weights.shape))
                attended = torch.bmm(block.read(v), weights.transpose(1, 2))
                block.of(outputs[-1]).copy_(attended.div_(total.transpose(1, 2)))
        context.save_for_backward(query, key, value, *logarithms)
        return plan.queries.unpad(outputs, query).div_(1 - probability)

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        """Return the gradients of query, key and value."""
        query, key, value, *logarithms = context.saved_tensors
        plan, heads, probability = context.plan, context.heads, context.probability
        draws = Draws(probability, context.seed) if probability else None
        scaled = query * (scale(query, heads) * LOG2_E)
        gradient = gradient / (1 - probability)
        gradients: tuple[list[torch.Tensor], ...] = [], [], []
        for group, logarithm in zip(plan.groups, logarithms):
            q, incoming = group.queries.pad(scaled, heads), group.queries.pad(gradient, heads)
            k, v = group.keys.pad(key, heads), group.keys.pad(value, heads)
            if group.queries.together is None:
                rows = incoming.unflatten(0, (len(group.queries.real), -1))
                incoming = (rows * group.queries.real[:, None, None]).flatten(0, 1)
            to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
            for block in group.blocks:
                own, given, key_part, value_part = block.of(q), block.of(incoming), block.read(k), block.read(v)
                weights = scores(own, key_part, block)
                weights.sub_(logarithm.narrow(1, block.first, block.queries)).exp2_()
                to_weights = products("to_weights", given, value_part)
                if draws:
                    kept = draws.kept(weights.shape)
                    to_weights.mul_(kept)
                to_scores = SCRATCH.table("to_scores", weights.shape, weights.dtype)
                softmax_backward(to_weights, weights, -1, weights.dtype, grad_input=to_scores)
                if draws:
                    weights.mul_(kept)
                block.of(to_q).copy_(torch.bmm(key_part, to_scores.transpose(1, 2)))
                block.read(to_k).add_(torch.bmm(own, to_scores))
                block.read(to_v).add_(torch.bmm(given, weights))
            for parts, part in zip(gradients, (to_q, to_k, to_v)):
                parts.append(part)
        to_query = plan.queries.unpad(gradients[0], query).mul_(scale(query, heads))
        to_key = plan.keys.unpad(gradients[1], key).div_(LOG2_E)
        return to_query, to_key, plan.keys.unpad(gradients[2], value), None, None, None


def scale(query: torch.Tensor, heads: int) -> float:
    """Return the factor of the scores, 1 / sqrt(head size), for a `query` `(size, steps)`."""
    return (heads / len(query)) ** 0.5


def products(name: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the products of all steps of two tensors, `(rows * heads, first steps, second steps)`, in `SCRATCH`."""
    table = SCRATCH.table(name, (len(first), first.shape[2], second.shape[2]), first.dtype)
    return torch.bmm(first.transpose(1, 2), second, out=table)


def scores(query: torch.Tensor, key: torch.Tensor, block: Block) -> torch.Tensor:
    """Return the scores of a block in `SCRATCH`, `MASKED` where a query may not attend to a key."""
    table = products("scores", query, key)
    if block.unread is not None:
        last = table.narrow(2, block.keys - block.unread.shape[-1], block.unread.shape[-1])
        last.unflatten(0, (len(block.unread), -1)).add_(block.unread)
    return table


def projected(packed: torch.Tensor, *linears: nn.Linear) -> tuple[torch.Tensor, ...]:
    """Return the outputs of linear layers on `(steps, size)`, each `(size, steps)`, by one matrix product."""
    weight, bias = (torch.cat([getattr(linear, name) for linear in linears]) for name in ("weight", "bias"))
    return torch.addmm(bias.unsqueeze(1), weight, packed.t()).chunk(len(linears))


class PackedAttention(Attention):
    """`Attention` of packed steps `(steps, size)` to themselves or a packed memory; zeros for queries without keys."""

    def forward(  # type: ignore[override]  # packed steps and their pairs instead of a padded batch and its mask
        self, packed: torch.Tensor, pairs: AttentionPairs, memory: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the attended steps `(steps, size)` and, with eager attention, the padded weights."""
        kind, dropout = self.config._attn_implementation, self.dropout if self.training else 0.0
        if kind != "sdpa" or packed.device.type != "cpu" or exporting():
            queries = pairs.queries.unpack(packed)
            keys = queries if memory is None else pairs.keys.unpack(memory)
            attended, weights = super().forward(queries, pairs.padded_mask(self.config, queries, keys), keys)
            attended = pairs.queries.pack(attended)
        else:
            if memory is None:
                parts = projected(packed, self.query, self.key, self.value)
            else:
                parts = *projected(packed, self.query), *projected(memory, self.key, self.value)
            heads = packed.shape[-1] // self.head_size
            attended = self.output(GroupedAttention.apply(*parts, pairs.plan(heads), heads, dropout).t())
            weights = None
        return attended if pairs.readable is None else attended.masked_fill(~pairs.readable, 0.0), weights
