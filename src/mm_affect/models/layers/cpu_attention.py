# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A ragged batch as its real steps alone, one after the other, so that no layer computes padding.

Linear layers, norms and dropout read the steps as they come, `(steps, size)`. Only attention has to know which steps belong
together. On a CPU it takes rows of like length together, and of long ones some queries at a time, as many as fit in the
cache; no table outlives its turn, the backward pass computes it again. Elsewhere, and where the weights are wanted (eager
attention), the rows are padded for it as usual.
"""

import math
import threading
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.masking_utils import create_bidirectional_mask

from .attention import Attention
from .cpu_dropout import Draws, draw_seed
from .packing import PackedRows
from .streams import exporting


CELLS_AT_ONCE = 2**20  # of an attention table; about what the cache of a core holds
QUERIES_AT_ONCE = 64  # at least, or an eighth of the keys, where later queries see more keys than earlier ones
SPARE_CELLS = 2**16  # may be padding: one more group of rows costs as much time
MASKED = -1e30  # the score of a key that a query may not read
LOG2_E = 1.4426950408889634
softmax_backward = torch.ops.aten._softmax_backward_data.out


class PaddedSide(NamedTuple):
    """The steps of a few rows, as queries or as keys, and how to pad them.

    Args:
        lengths: `(rows,)`.
        longest: the greatest of them.
        steps: `(rows * longest,)`, the packed steps of the padded rows, the last of a row repeated.
        real: `(rows, longest)`, False = padding.
        together: the steps as a range of the packed ones, if they are one; then nothing is padding.
    """

    lengths: torch.Tensor
    longest: int
    steps: torch.Tensor
    real: torch.Tensor
    together: slice | None

    @classmethod
    def of(cls, first: torch.Tensor, lengths: torch.Tensor) -> "PaddedSide":
        """The rows of these `lengths` `(rows,)` that begin at the packed steps `first` `(rows,)`."""
        position = torch.arange(int(lengths.max()))
        steps = (first.unsqueeze(1) + torch.minimum(position, lengths.unsqueeze(1) - 1)).flatten()
        begin = int(steps[0])
        together = slice(begin, begin + len(steps)) if (steps.diff() == 1).all() else None
        return cls(lengths, len(position), steps, position < lengths.unsqueeze(1), together)

    def pad(self, packed: torch.Tensor, heads: int) -> torch.Tensor:
        """The steps of `packed` `(size, steps)`, at least in float32, as `(rows * heads, features of a head, longest)`."""
        own = packed.index_select(1, self.steps) if self.together is None else packed[:, self.together]
        own = own.to(torch.promote_types(own.dtype, torch.float32)).view(heads, -1, *self.real.shape)
        return own.permute(2, 0, 1, 3).reshape(-1, own.shape[1], own.shape[3])


class GatherIndex(NamedTuple):
    """Where the packed steps are among the padded ones of all groups, and behind these, if they are in no group.

    Args:
        index: `(steps,)`; None if the order is the same.
    """

    index: torch.Tensor | None

    @classmethod
    def of(cls, sides: list[PaddedSide], steps: int) -> "GatherIndex":
        """Of the groups' sides, with so many packed steps in all."""
        padded = sum(len(side.steps) for side in sides)
        index = torch.full((steps,), padded)
        if sides:
            real = torch.cat([side.real.flatten() for side in sides])
            index[torch.cat([side.steps for side in sides])[real]] = torch.arange(padded)[real]
        same = padded and torch.equal(index, torch.arange(padded))
        return cls(None if same else index)

    def unpad(self, parts: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """What the groups found, each `(rows * heads, features, longest)`, as the packed `(size, steps)`, zeros at steps
        without a group; in the type of `like` `(size, steps)`."""
        heads = [part.unflatten(0, (-1, len(like) // part.shape[1])) for part in parts]
        flat = [part.permute(1, 2, 0, 3).reshape(len(like), -1) for part in heads]
        if self.index is not None:
            flat.append(like.new_zeros(len(like), 1))
        joined = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        return (joined if self.index is None else joined.index_select(1, self.index)).to(like.dtype)


class Block(NamedTuple):
    """Some queries of a group, and the keys that any of them may read.

    Args:
        first, queries: the first of the queries, and how many there are.
        keys: how many keys; they are the first ones.
        unread: `(rows or 1, 1, queries, last keys)`, what is added to scores because not all queries may read these keys.
    """

    first: int
    queries: int
    keys: int
    unread: torch.Tensor | None

    @classmethod
    def seeing(cls, queries: range, lengths: torch.Tensor, shift: torch.Tensor) -> "Block":
        """Query i of a row reads the keys 0 to i + `shift` of its `lengths`, each `(rows or 1,)`."""
        query = torch.arange(queries.start, queries.stop)
        seen = torch.minimum(query + 1 + shift.unsqueeze(1), lengths.unsqueeze(1))
        fewest, keys = int(seen.min()), int(seen.max())
        unread = (torch.arange(fewest, keys) >= seen.unsqueeze(2)).unsqueeze(1) * MASKED if fewest < keys else None
        return cls(queries.start, len(queries), keys, unread)

    def of(self, queries: torch.Tensor) -> torch.Tensor:
        """Its part of the group's `(rows * heads, features, longest)`."""
        return queries.narrow(2, self.first, self.queries)

    def read(self, keys: torch.Tensor) -> torch.Tensor:
        """Its part of the group's `(rows * heads, features, longest)`."""
        return keys.narrow(2, 0, self.keys)


class Group(NamedTuple):
    """Rows of like lengths, whose attention is computed together, block by block."""

    queries: PaddedSide
    keys: PaddedSide
    blocks: list[Block]


class AttentionPlan(NamedTuple):
    """The groups of a batch, and where their queries and keys are."""

    groups: list[Group]
    queries: GatherIndex
    keys: GatherIndex


class AttentionPairs:
    """Which packed steps read which: queries the keys of the same row.

    Args:
        queries, keys: the steps of the two sides, of the same batch; default: the queries are the keys.
        future_mask: query i of T reads the keys 0 to i + |S - T| of S only, as in MulT; of itself, those up to i.

    Attributes:
        readable: `(steps, 1)`, whether a query has any key; None if all have.
    """

    def __init__(self, queries: PackedRows, keys: PackedRows | None = None, future_mask: bool = False):
        self.queries, self.keys, self.future_mask = queries, queries if keys is None else keys, future_mask
        self.shift = (self.keys.lengths - queries.lengths).abs()
        some = self.keys.lengths > 0
        everywhere = keys is None or (not exporting() and some.all())
        self.readable = None if everywhere else queries.pack(some[:, None, None].expand(*queries.mask.shape, 1))
        self._plans, self._padded_mask = {}, None

    def plan(self, heads: int) -> AttentionPlan:
        """The rows with queries and keys, in groups whose tables stay within `CELLS_AT_ONCE`."""
        if heads not in self._plans:
            groups = [self._group(torch.tensor(rows), heads) for rows in self._group_by_length(heads)]
            self._plans[heads] = AttentionPlan(
                groups,
                GatherIndex.of([group.queries for group in groups], int(self.queries.lengths.sum())),
                GatherIndex.of([group.keys for group in groups], int(self.keys.lengths.sum())),
            )
        return self._plans[heads]

    def _group_by_length(self, heads: int):
        """Rows of like lengths, from the longest to the shortest."""
        lengths = list(zip(self.queries.lengths.tolist(), self.keys.lengths.tolist()))
        taken, longest, widest, real = [], 0, 0, 0
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
        """How many of so many queries, that read so many keys, a block should have."""
        uniform = not self.future_mask or longest >= 2 * widest
        return longest if uniform else min(longest, max(QUERIES_AT_ONCE, -(-widest // 8)))

    def _group(self, rows: torch.Tensor, heads: int) -> Group:
        queries, keys = (
            PaddedSide.of(side.first_steps[rows], side.lengths[rows]) for side in (self.queries, self.keys)
        )
        fitting = CELLS_AT_ONCE // (len(rows) * heads * keys.longest)
        at_once = max(1, min(self._at_once(queries.longest, keys.longest), fitting))
        at_once = -(-queries.longest // -(-queries.longest // at_once))  # as many blocks, all of about one size
        lengths, shift = keys.lengths, self.shift[rows] if self.future_mask else keys.lengths
        if len(lengths.unique()) == len(shift.unique()) == 1:
            lengths, shift = lengths[:1], shift[:1]
        ranges = [range(queries.longest)[first : first + at_once] for first in range(0, queries.longest, at_once)]
        return Group(queries, keys, [Block.seeing(part, lengths, shift) for part in ranges])

    def padded_mask(self, config, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor | None:
        """For attention of the padded `(batch, length, size)`; a row without keys reads its zeros."""
        if self._padded_mask is None:
            further = {}
            if self.future_mask:
                latest = self.queries.mask.cumsum(1).clamp_min(1) + self.shift.unsqueeze(1)
                seen = self.keys.mask.cumsum(1).unsqueeze(1) <= latest.unsqueeze(2)
                further["and_mask_function"] = lambda row, head, query, key: seen[row, query, key]
            real = self.keys.mask | ~self.keys.mask.any(1, keepdim=True)
            self._padded_mask = create_bidirectional_mask(config, queries, real, encoder_hidden_states=keys, **further)
        return self._padded_mask


class ScratchBuffers(threading.local):
    """Memory for attention tables that each block uses again: to ask the system for it anew costs as much as a matrix
    product."""

    def __init__(self):
        self.tables = {}

    def table(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An unwritten table of this shape, valid until the next of this name."""
        cells, (room, table) = math.prod(shape), self.tables.get((name, dtype), (0, None))
        if cells > room:
            with torch.inference_mode(False):  # a table of inference mode could not be written outside it
                table = torch.empty(cells, dtype=dtype)
            self.tables[name, dtype] = cells, table
        return table[:cells].view(shape)


SCRATCH = ScratchBuffers()


class GroupedAttention(torch.autograd.Function):
    """Attention of packed queries on packed keys and values, with dropout, block by block on a CPU.

    `query` `(size, query steps)`, `key`, `value` `(size, key steps)`: features come first, because matrix products whose last
    side is as narrow as a head are slow. Scores are powers of 2, which are computed faster than those of e.
    """

    @staticmethod
    def forward(context, query, key, value, plan: AttentionPlan, heads: int, probability: float):
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
        query, key, value, *logarithms = context.saved_tensors
        plan, heads, probability = context.plan, context.heads, context.probability
        draws = Draws(probability, context.seed) if probability else None
        scaled = query * (scale(query, heads) * LOG2_E)
        gradient = gradient / (1 - probability)
        found = [], [], []
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
            for parts, part in zip(found, (to_q, to_k, to_v)):
                parts.append(part)
        to_query = plan.queries.unpad(found[0], query).mul_(scale(query, heads))
        to_key = plan.keys.unpad(found[1], key).div_(LOG2_E)
        return to_query, to_key, plan.keys.unpad(found[2], value), None, None, None


def scale(query: torch.Tensor, heads: int) -> float:
    """What scores are multiplied by: 1 / sqrt(features of a head); `query` `(size, steps)`."""
    return (heads / len(query)) ** 0.5


def products(name: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Of every step of the first with every one of the second, `(rows * heads, first steps, second steps)`, in `SCRATCH`."""
    table = SCRATCH.table(name, (len(first), first.shape[2], second.shape[2]), first.dtype)
    return torch.bmm(first.transpose(1, 2), second, out=table)


def scores(query: torch.Tensor, key: torch.Tensor, block: Block) -> torch.Tensor:
    """The products of the block's queries and keys, `MASKED` where a key is not to be read, in `SCRATCH`."""
    found = products("scores", query, key)
    if block.unread is not None:
        last = found.narrow(2, block.keys - block.unread.shape[-1], block.unread.shape[-1])
        last.unflatten(0, (len(block.unread), -1)).add_(block.unread)
    return found


def projected(packed: torch.Tensor, *linears: nn.Linear) -> tuple[torch.Tensor, ...]:
    """The layers' outputs of `(steps, size)`, each `(size, steps)`, by one product."""
    weight, bias = (torch.cat([getattr(linear, name) for linear in linears]) for name in ("weight", "bias"))
    return torch.addmm(bias.unsqueeze(1), weight, packed.t()).chunk(len(linears))


class PackedAttention(Attention):
    """`Attention` of packed queries `(steps, size)` on themselves or on a packed memory; a query without any key gets zeros."""

    def forward(self, packed: torch.Tensor, pairs: AttentionPairs, memory: torch.Tensor | None = None):
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
