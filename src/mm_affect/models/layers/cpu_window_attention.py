# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attention through narrow windows over packed rows: cost grows with the number of queries, not with its square.

The real steps of all rows stand one after the other, `(steps, size)`, and a window is a list of places there.
"""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from .streams import exporting


STEPS_AT_ONCE = 2**13  # steps in windows that are looked at together; about what the cache of a core holds


class Windows(NamedTuple):
    """Where hidden states look.

    Args:
        places: packed steps of the context, `(width, hidden states)`.
        real: which of them count, the same shape; None if all do.
        counts: hidden states of each group, one group after the other.
    """

    places: torch.Tensor
    real: torch.Tensor | None
    counts: list[int]

    def among(self, chosen: "Subset") -> "Windows":
        """The same windows where there are only the chosen places."""
        return self._replace(places=chosen.number[self.places])


def join_windows(parts: list[Windows], size: int) -> Windows:
    """Windows side by side; each part looks at a context of `size` steps of its own, one context after the other."""
    places = torch.cat([part.places + i * size for i, part in enumerate(parts)], dim=1)
    real = [part.places >= 0 if part.real is None else part.real for part in parts]
    whole = all(part.real is None for part in parts)
    return Windows(
        places, None if whole else torch.cat(real, dim=1), [count for part in parts for count in part.counts]
    )


class Subset:
    """Some of `count` places, in order: `places`, and the `number` of each of them among them. While a model is exported
    all are taken."""

    def __init__(self, count: int, *places: torch.Tensor):
        if exporting():
            self.places = self.number = torch.arange(count, device=places[0].device)
            return
        chosen = torch.zeros(count, dtype=torch.bool, device=places[0].device)
        for some in places:
            chosen[some] = True
        self.places, self.number = chosen.nonzero().flatten(), chosen.cumsum(0) - 1


class WindowAttention(torch.autograd.Function):
    """Attention of queries `(hidden states, size)` on their windows of a memory, a few of them at a time.

    `memory` has keys and values side by side, `(steps, 2 * size)`; `kept` is the dropout of the weights, `(heads, width,
    hidden states)`, 0 or 1 / (1 - probability), or None. Neither windows nor weights are kept for the backward pass, which
    makes them again. A query of whose window nothing is real gets zeros.
    """

    @staticmethod
    def forward(context, query, memory, windows: Windows, heads: int, kept):
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
            found = torch.cat([to_products.mul_(query[part]), spread(used, members).mul_(incoming)], dim=-1)
            to_memory.index_add_(0, places.flatten(), found.flatten(0, 1))
        return to_query, to_memory, None, None, None


def parts(windows: Windows) -> list[slice]:
    """Ranges of hidden states that are looked at together."""
    if exporting():
        return [slice(None)]
    width, count = windows.places.shape
    size = max(1, STEPS_AT_ONCE // width)
    return [slice(first, first + size) for first in range(0, count, size)]


def look(memory, places) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values at `places` `(width, hidden states)`, each `(width, hidden states, size)`."""
    return memory.index_select(0, places.flatten()).unflatten(0, places.shape).chunk(2, dim=-1)


def window_weights(query, keys, windows: Windows, part: slice, members) -> torch.Tensor:
    """Softmax over the window of the scaled scores, `(heads, width, hidden states)`; 0 at what is not real."""
    scores = by_head(keys * query, members).mul_((len(members) / query.shape[1]) ** 0.5)
    if windows.real is None:
        return scores.softmax(1)
    real = windows.real[:, part]
    return scores.masked_fill_(~real, torch.finfo(scores.dtype).min).softmax(1).mul_(real)


def by_head(products, members) -> torch.Tensor:
    """Sums over the features of each head: `(width, hidden states, size)` to `(heads, width, hidden states)`."""
    return (members @ products.flatten(0, 1).T).unflatten(1, products.shape[:2])


def spread(by_head, members) -> torch.Tensor:
    """One number per head as one per feature: `(heads, width, hidden states)` to `(width, hidden states, size)`."""
    return (by_head.flatten(1).T @ members).unflatten(0, by_head.shape[1:])
