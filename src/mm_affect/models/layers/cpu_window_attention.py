# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attention through narrow windows over packed rows, with a cost that is linear in the number of queries.

The real steps of all rows form one sequence `(steps, size)`, and a window is a list of indices into it.
"""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from .streams import exporting


STEPS_AT_ONCE = 2**13  # window steps per block; about the size of a core's cache


class Windows(NamedTuple):
    """Windows of hidden states on a context.

    Args:
        places: packed steps of the context in each window, `(width, hidden states)`.
        real: mask of the steps that count, of the same shape; None if all do.
        counts: number of hidden states of each group, one group after the other.
    """

    places: torch.Tensor
    real: torch.Tensor | None
    counts: list[int]

    def among(self, chosen: "Subset") -> "Windows":
        """Return the same windows as indices into a subset of the context."""
        return self._replace(places=chosen.number[self.places])


def join_windows(parts: list[Windows], size: int) -> Windows:
    """Concatenate windows; part i attends to steps `i * size` to `(i + 1) * size` of the joint context."""
    places = torch.cat([part.places + i * size for i, part in enumerate(parts)], dim=1)
    real = [part.places >= 0 if part.real is None else part.real for part in parts]
    whole = all(part.real is None for part in parts)
    return Windows(
        places, None if whole else torch.cat(real, dim=1), [count for part in parts for count in part.counts]
    )


class Subset:
    """Some of `count` places, in order. During an export all places are taken.

    Attributes:
        places: indices of the chosen places.
        number: for each chosen place, its index among the chosen ones, `(count,)`.
    """

    def __init__(self, count: int, *places: torch.Tensor):
        if exporting():
            self.places = self.number = torch.arange(count, device=places[0].device)
            return
        chosen = torch.zeros(count, dtype=torch.bool, device=places[0].device)
        for some in places:
            chosen[some] = True
        self.places, self.number = chosen.nonzero().flatten(), chosen.cumsum(0) - 1


class WindowAttention(torch.autograd.Function):
    """Attention of queries `(hidden states, size)` to their windows, in blocks that fit in the cache.

    `memory` holds keys and values side by side, `(steps, 2 * size)`; `kept` is the dropout of the weights, `(heads,
    width, hidden states)`, 0 or 1 / (1 - probability), or None. The backward pass recomputes windows and weights. A
    query without real steps in its window gets zeros.
    """

    @staticmethod
    def forward(context, query, memory, windows: Windows, heads: int, kept):
        """Return the attended values `(hidden states, size)`."""
        context.save_for_backward(query, memory, kept)
        context.windows = windows
        context.members = torch.eye(heads, dtype=query.dtype, device=query.device)
        context.members = context.members.repeat_interleave(query.shape[1] // heads, dim=1)
        output = torch.empty_like(query)
        for part in parts(windows):
            keys, values = look(memory, windows.places[:, part])
            weights = window_weights(query[part], keys, windows, part, context.members)
            if kept is not None:
                weights = weights * kept[..., part]
            torch.sum(spread(weights, context.members).mul_(values), dim=0, out=output[part])
        return output

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        """Return the gradients of query and memory."""
        query, memory, kept = context.saved_tensors
        windows, members = context.windows, context.members
        to_query, to_memory = torch.empty_like(query), torch.zeros_like(memory)
        scale = (len(members) / query.shape[1]) ** 0.5
        for part in parts(windows):
            places, incoming = windows.places[:, part], gradient[part]
            keys, values = look(memory, places)
            weights = window_weights(query[part], keys, windows, part, members)
            to_weights, used = by_head(values * incoming, members), weights
            if kept is not None:
                to_weights, used = to_weights.mul_(kept[..., part]), weights * kept[..., part]
            to_weights *= weights
            to_scores = to_weights.sub_(weights * to_weights.sum(1, keepdim=True)).mul_(scale)
            to_products = spread(to_scores, members)
            torch.sum(to_products * keys, dim=0, out=to_query[part])
            to_places = torch.cat([to_products.mul_(query[part]), spread(used, members).mul_(incoming)], dim=-1)
            to_memory.index_add_(0, places.flatten(), to_places.flatten(0, 1))
        return to_query, to_memory, None, None, None


def parts(windows: Windows) -> list[slice]:
    """Return slices of the hidden states that are processed together."""
    if exporting():
        return [slice(None)]
    width, count = windows.places.shape
    size = max(1, STEPS_AT_ONCE // width)
    return [slice(first, first + size) for first in range(0, count, size)]


def look(memory, places) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values at `places` `(width, hidden states)`, each `(width, hidden states, size)`."""
    return memory.index_select(0, places.flatten()).unflatten(0, places.shape).chunk(2, dim=-1)


def window_weights(query, keys, windows: Windows, part: slice, members) -> torch.Tensor:
    """Return attention weights `(heads, width, hidden states)`: softmax over the window, 0 at masked steps."""
    scores = by_head(keys * query, members).mul_((len(members) / query.shape[1]) ** 0.5)
    if windows.real is None:
        return scores.softmax(1)
    real = windows.real[:, part]
    return scores.masked_fill_(~real, torch.finfo(scores.dtype).min).softmax(1).mul_(real)


def by_head(products, members) -> torch.Tensor:
    """Sum over the features of each head: `(width, hidden states, size)` to `(heads, width, hidden states)`."""
    return (members @ products.flatten(0, 1).T).unflatten(1, products.shape[:2])


def spread(by_head, members) -> torch.Tensor:
    """Repeat a number per head for its features: `(heads, width, hidden states)` to `(width, hidden states, size)`."""
    return (by_head.flatten(1).T @ members).unflatten(0, by_head.shape[1:])
