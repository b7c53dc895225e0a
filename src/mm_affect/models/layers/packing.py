# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Packed batches: the real steps of all rows in one sequence, so that no layer computes padding.

Linear layers, norms and dropout run on packed steps `(steps, size)` unchanged; only layers that mix steps need to know the
layout. There are three layouts:

* `PackedRows`: one row after the other, the longest first, for attention over whole rows.
* `TimePackedRows`: the first step of every row, then the second, and so on, for recurrences.
* `PackedPositions`: the row and position of every packed step, in the order of the batch, for attention through windows.

While a model is exported no shape may depend on the values of a mask, so all three keep the padding.
"""

from typing import Any

import torch
from torch.nn import functional as F

from .streams import Stream, exporting, front_places


class PackedRows:
    """Row-by-row layout of a batch, from the longest row to the shortest.

    Args:
        mask: `(batch, length)`, True = real step.

    Attributes:
        lengths: real steps of each row of the batch, `(batch,)`.
        first_steps: packed index of the first step of each row, `(batch,)`.
        padded: True if the padding is packed as well (during an export).
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        self.lengths = mask.sum(1)
        self.padded = exporting()
        self.index: torch.Tensor | None = None
        order = torch.arange(mask.shape[0], device=mask.device)
        if not self.padded and not mask.all():
            order = self.lengths.argsort(descending=True, stable=True)
            place = torch.arange(mask.numel(), device=mask.device).view(mask.shape)
            self.index = place[order][mask[order]]
        ends = self.lengths[order].cumsum(0)
        self.first_steps = torch.empty_like(ends).index_copy(0, order, ends - self.lengths[order])

    def pack(self, values: torch.Tensor) -> torch.Tensor:
        """Return the real steps of `(batch, length, size)` as `(steps, size)`."""
        values = values.flatten(0, 1)
        return values if self.index is None else values.index_select(0, self.index)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return packed steps `(steps, size)` as `(batch, length, size)` with zeros in the padding."""
        if self.index is None:
            values = packed.unflatten(0, self.mask.shape)
            return Stream(values, self.mask).cleaned().values if self.padded else values
        values = packed.new_zeros(self.mask.numel(), packed.shape[-1])
        return values.index_copy(0, self.index, packed).unflatten(0, self.mask.shape)


class TimePackedRows:
    """Time-major layout of a batch: step 0 of every row, step 1 of every row that has one, and so on.

    Rows are ordered from the longest to the shortest, so the rows that continue at a time are always the first ones.

    Args:
        mask: `(batch, length)`, True = real step; masked steps inside a row are skipped.

    Attributes:
        sizes: number of rows that have a step at each time. During an export every row has a step at every time, and
            this is the mask of the real ones, `(times, batch)`.
        latest: `(batch, length)`, packed index of the latest real step up to each step; before the first real step of a
            row it is the index behind the end, where `take_packed` returns zeros.
    """

    def __init__(self, mask: torch.Tensor):
        self.sizes: Any  # list[int]; during an export the mask
        if exporting():
            self._keep_padding(mask)
            return
        count = mask.cumsum(1)
        lengths, time = count[:, -1], torch.arange(mask.shape[1], device=mask.device)
        rank = lengths.argsort(descending=True, stable=True).argsort()
        rows = (lengths > time.unsqueeze(1)).sum(1)
        begins = rows.cumsum(0) - rows
        self.sizes = [size for size in rows.tolist() if size]
        self.latest = torch.where(count > 0, begins[(count - 1).clamp_min(0)] + rank.unsqueeze(1), sum(self.sizes))
        self.cells = torch.empty(sum(self.sizes), dtype=torch.long, device=mask.device)
        self.cells[self.latest[mask]] = mask.flatten().nonzero().flatten()

    def _keep_padding(self, mask: torch.Tensor):
        """Give every row a step at every time: the real steps first, the padding behind them, where nothing reads it."""
        (batch, length), count = mask.shape, mask.cumsum(1)
        row = torch.arange(batch, device=mask.device)
        self.sizes = torch.arange(length, device=mask.device).unsqueeze(1) < count[:, -1]
        self.latest = torch.where(count > 0, (count - 1) * batch + row.unsqueeze(1), batch * length)
        self.cells = front_places(mask).t().flatten()

    def pack(self, values: torch.Tensor) -> torch.Tensor:
        """Return the real steps of `(batch, length, ...)` as `(steps, ...)`."""
        return values.flatten(0, 1).index_select(0, self.cells)

    def before(self, packed: torch.Tensor) -> torch.Tensor:
        """Return, for every packed step, the previous step of its row; zeros for the first."""
        if exporting():
            return F.pad(packed, (0, 0, self.sizes.shape[1], 0))[: packed.shape[0]]
        earlier = packed.index_select(0, previous_steps(self.sizes, packed.device))
        return F.pad(earlier, (0, 0, len(packed) - len(earlier), 0))

    def last(self, packed: torch.Tensor) -> torch.Tensor:
        """Return the last real step of each row, `(batch, size)`; zeros for a row without steps."""
        return take_packed(packed, self.latest[:, -1])


def take_packed(packed: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the steps of `packed` `(steps, size)` at `places` `(n,)`; zeros at the index behind the end."""
    return F.pad(packed, (0, 0, 0, 1)).index_select(0, places)


def previous_steps(sizes: list[int], device: torch.device) -> torch.Tensor:
    """Return the packed index of the previous step, for every time-packed step except those of the first time."""
    rows = torch.tensor(sizes, dtype=torch.long, device=device)
    return torch.arange(sum(sizes[:1]), sum(sizes), device=device) - rows[:-1].repeat_interleave(rows[1:])


class PackedPositions:
    """The row and the position of every packed step, for groups of rows in the order of the batch.

    Args:
        lengths: steps of each row, `(rows,)`: all rows of the first group, then all rows of the second, ...
        capacities: steps that a row of each group can hold. During an export each row takes all of them, the real ones
            first.

    Attributes:
        row, position: row of each packed step, and its position in that row, each `(steps,)`.
        first: packed index of the first step of each row, `(rows,)`.
        count: number of packed steps.
        group_counts: packed steps of each group (during an export only).
    """

    def __init__(self, lengths: torch.Tensor, capacities: list[int]):
        self.lengths = lengths
        if exporting():
            batch = lengths.shape[0] // len(capacities)
            self.group_counts = [batch * capacity for capacity in capacities]
            row = torch.arange(batch, device=lengths.device).unsqueeze(1)
            before = [sum(self.group_counts[:i]) for i in range(len(capacities))]
            self.first = torch.cat([row.squeeze(1) * size + begin for size, begin in zip(capacities, before)])
            rows = [(row + i * batch).expand(batch, size) for i, size in enumerate(capacities)]
            places = [torch.arange(size, device=lengths.device).expand(batch, size) for size in capacities]
            self.row, self.position = (torch.cat([part.flatten() for part in parts]) for parts in (rows, places))
        else:
            self.first = lengths.cumsum(0) - lengths
            self.row = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
            self.position = torch.arange(len(self.row), device=lengths.device) - self.first[self.row]
        self.count = self.row.shape[0]
