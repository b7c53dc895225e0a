# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""LSTMs over time-packed rows, for MFN and EMO-EMB.

Each time step is one small matrix product over the rows that continue (see `packing.TimePackedRows`), padding is never
computed, and the products with the inputs are one large product over all steps of all rows.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from .cpu_dropout import Dropout
from .packing import TimePackedRows, previous_steps
from .streams import exporting


sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def first_rows(packed: torch.Tensor, sizes: list[int], counts: list[int]) -> tuple[torch.Tensor, ...]:
    """Return the first `counts[time]` rows of the `sizes[time]` rows of each time, as views."""
    return packed.split([part for size, count in zip(sizes, counts) for part in (count, size - count)])[::2]


def successor_counts(sizes: list[int]) -> tuple[list[int], list[int]]:
    """Return how many rows of each time have a previous step, and how many a next one; they come first."""
    return [0, *sizes[1:]], [*sizes[1:], 0]


def time_order(number: int, backwards: bool = False) -> list[tuple[int, int]]:
    """Return pairs of each time and the one processed before it, in the order of a recurrence.

    The first time is paired with the last one processed, whose states are not read.
    """
    step = -1 if backwards else 1
    return [(time, (time - step) % number) for time in range(number)[::step]]


class Recurrence(torch.autograd.Function):
    """Recurrent part of an LSTM over time-packed steps.

    The backward pass computes the local derivatives of all steps at once, and so the gradient of the weight; only the
    product that carries the gradient through time remains in the loop.
    """

    @staticmethod
    def forward(context, given, weight, sizes: list[int], backwards: bool):
        """Return hidden and cell states of every step, each `(steps, hidden)`.

        Args:
            context: context of autograd.
            given: contribution of inputs and biases to the gates (input, forget, cell, output), `(steps, 4 * hidden)`.
            weight: recurrent weight, `(4 * hidden, hidden)`.
            sizes: number of rows that have a step at each time.
            backwards: process the times from the last to the first.
        """
        gates, transposed, size = given.clone(), weight.t().contiguous(), weight.shape[1]
        hidden, cell = gates.new_empty(2, len(gates), size)
        forget = gates[:, size : 2 * size]
        enter_at, _, propose_at, show_at = (gate.split(sizes) for gate in gates.chunk(4, dim=1))
        first_two_at, hidden_at, cell_at = (part.split(sizes) for part in (gates[:, : 2 * size], hidden, cell))
        met, meeting = successor_counts(sizes)[::-1] if backwards else successor_counts(sizes)
        gates_met, forget_met, cell_met = (first_rows(part, sizes, met) for part in (gates, forget, cell))
        hidden_then, cell_then = (first_rows(part, sizes, meeting) for part in (hidden, cell))
        context.sizes, context.backwards = sizes, backwards
        for now, then in time_order(len(sizes), backwards):
            gates_met[now].addmm_(hidden_then[then], transposed)
            first_two_at[now].sigmoid_()
            show_at[now].sigmoid_()
            torch.mul(enter_at[now], propose_at[now].tanh_(), out=cell_at[now])
            cell_met[now].addcmul_(forget_met[now], cell_then[then])
            torch.tanh(cell_at[now], out=hidden_at[now]).mul_(show_at[now])
        context.save_for_backward(gates, hidden, cell, weight)
        return hidden, cell

    @staticmethod
    @once_differentiable
    def backward(context, to_hidden, to_cell):
        """Return the gradients of `given` and `weight`."""
        gates, hidden, cell, weight = context.saved_tensors
        sizes, backwards, first = context.sizes, context.backwards, sum(context.sizes[:1])
        enter, forget, propose, show = gates.chunk(4, dim=1)
        earlier, cell_then = previous_steps(sizes, gates.device), torch.zeros_like(cell)
        if backwards:
            cell_then.index_copy_(0, earlier, cell[first:])
        else:
            torch.index_select(cell, 0, earlier, out=cell_then[first:])
        shown, to_gates = cell.tanh(), torch.empty_like(gates)
        of_enter, of_forget, of_propose, of_show = to_gates.chunk(4, dim=1)
        sigmoid_backward.grad_input(propose, enter, grad_input=of_enter)
        sigmoid_backward.grad_input(cell_then, forget, grad_input=of_forget)
        tanh_backward.grad_input(enter, propose, grad_input=of_propose)
        sigmoid_backward.grad_input(shown, show, grad_input=of_show)
        of_cell = to_gates.unflatten(1, (4, -1))[:, :3]
        to_hidden, to_cell = to_hidden.clone(), to_cell.clone()
        to_hidden_at, to_cell_at, to_show_at, to_rest_at, through_at = (
            part.split(sizes) for part in (to_hidden, to_cell, of_show, of_cell, tanh_backward(show, shown))
        )
        to_cells_at = to_cell.unsqueeze(1).split(sizes)
        met, meeting = successor_counts(sizes)[::-1] if backwards else successor_counts(sizes)
        to_gates_met, to_cell_met, forget_met = (first_rows(part, sizes, met) for part in (to_gates, to_cell, forget))
        to_hidden_then, to_cell_then = (first_rows(part, sizes, meeting) for part in (to_hidden, to_cell))
        for now, then in reversed(time_order(len(sizes), backwards)):
            to_cell_at[now].addcmul_(to_hidden_at[now], through_at[now])
            to_rest_at[now].mul_(to_cells_at[now])
            to_show_at[now].mul_(to_hidden_at[now])
            to_cell_then[then].addcmul_(to_cell_met[now], forget_met[now])
            to_hidden_then[then].addmm_(to_gates_met[now], weight)
        if backwards:
            return to_gates, to_gates.index_select(0, earlier).t() @ hidden[first:], None, None
        return to_gates, to_gates[first:].t() @ hidden.index_select(0, earlier), None, None


def scanned(given: torch.Tensor, weight: torch.Tensor, real: torch.Tensor, backwards: bool):
    """Compute `Recurrence` as a loop of an exported graph, over steps `(times, batch)` with the mask `real`."""
    from torch._higher_order_ops.scan import scan  # a prototype in PyTorch, needed by exports only

    def step(state, now):
        (hidden, cell), (added, some) = state, now
        enter, forget, propose, show = (added + hidden @ weight.t()).chunk(4, dim=1)
        cell = (forget.sigmoid() * cell + enter.sigmoid() * propose.tanh()) * some
        hidden = show.sigmoid() * cell.tanh()
        return (hidden, cell), (hidden.clone(), cell.clone())

    start = given.new_zeros(real.shape[1], weight.shape[1])
    steps = given.unflatten(0, real.shape), real.to(given.dtype).unsqueeze(-1)
    hidden, cell = scan(step, (start, start.clone()), steps, reverse=backwards)[1]
    return hidden.flatten(0, 1), cell.flatten(0, 1)


class RaggedLSTM(nn.LSTM):
    """`nn.LSTM` over time-packed steps, with the same weights and their names.

    On a CPU it is as fast as PyTorch's own on full rows, and does not compute the padding of ragged ones.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0, bidirectional: bool = False
    ):
        super().__init__(input_size, hidden_size, num_layers, dropout=dropout, bidirectional=bidirectional)
        self.between = Dropout(dropout)

    def states(self, packed: torch.Tensor, sizes: Any, layer: int = 0, backwards: bool = False):
        """Return hidden and cell state of every step, each `(steps, hidden)`, for one layer and direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ending = f"_l{layer}{'_reverse' if backwards else ''}"
        of_input, recurrent, *biases = (getattr(self, name + ending) for name in names)
        with torch.autocast(packed.device.type, enabled=False):
            given = F.linear(packed.to(of_input.dtype), of_input, sum(biases))
            if exporting():
                return scanned(given, recurrent, sizes, backwards)
            return Recurrence.apply(given, recurrent, sizes, backwards)

    def last_step(self, packed: torch.Tensor, steps: TimePackedRows) -> torch.Tensor:
        """Return the output at the last real step of each row, `(batch, directions * hidden)`; zeros for an empty row.

        The backward direction of the last layer has read only one step there, so only that step is computed.
        """
        if packed.device.type != "cpu" and steps.sizes:  # cuDNN is faster
            output = super().forward(PackedSequence(packed, torch.tensor(steps.sizes)))[0].data
            return steps.last(output)
        directions = (False, True) if self.bidirectional else (False,)
        for layer in range(self.num_layers - 1):
            read = [self.states(packed, steps.sizes, layer, backwards)[0] for backwards in directions]
            packed = self.between(torch.cat(read, dim=-1))
        layer = self.num_layers - 1
        last = [steps.last(self.states(packed, steps.sizes, layer)[0])]
        if self.bidirectional:
            end = TimePackedRows(torch.ones_like(steps.latest[:, -1:], dtype=torch.bool))
            at_end = self.states(steps.last(packed), end.sizes, layer, backwards=True)[0]
            some = steps.latest[:, -1:] < packed.shape[0]
            last.append(at_end.masked_fill(~some, 0.0))
        return torch.cat(last, dim=-1)
