# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""LSTMs over ragged rows: the same numbers and gradients as PyTorch's own, row by row."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from mm_affect.models.layers.cpu_lstm import RaggedLSTM, Recurrence
from mm_affect.models.layers.packing import TimePackedRows, take_packed


MASK = torch.tensor(
    [
        [1, 1, 0, 1, 0, 0],  # a hole
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 0],
    ],
    dtype=torch.bool,
)
each_mask = pytest.mark.parametrize("mask", [MASK, MASK | True, MASK & False], ids=["ragged", "full", "empty"])


def lstm(**options) -> RaggedLSTM:
    torch.manual_seed(0)
    return RaggedLSTM(3, 4, **options).double()


def values(mask) -> torch.Tensor:
    return torch.randn(*mask.shape, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def test_steps_are_packed_by_time():
    steps = TimePackedRows(MASK)
    times = torch.arange(30).view(5, 6, 1)  # 6 times the row, and the column
    assert steps.sizes == [4, 3, 3, 2, 2, 1]
    assert steps.pack(times).flatten().tolist() == [18, 13, 0, 21 + 6, 19, 14, 1, 20, 15, 3, 21, 16, 22, 17, 23]
    packed = steps.pack(times).double()
    assert steps.last(packed).flatten().tolist() == [3, 0, 17, 23, 27]
    assert steps.before(packed)[:4].abs().max() == 0
    assert steps.before(packed)[4:].flatten().tolist() == [18, 13, 0, 19, 14, 1, 20, 15, 21, 16, 22]
    newest = take_packed(packed, steps.latest.flatten()).view(5, 6)
    assert newest[0].tolist() == [0, 1, 1, 3, 3, 3] and newest[4].tolist() == [0, 0, 0, 27, 27, 27]


@each_mask
@pytest.mark.parametrize("backwards", [False, True])
def test_states_equal_those_of_a_cell_that_goes_row_by_row(mask, backwards):
    layer, inputs, steps = lstm(bidirectional=True), values(mask), TimePackedRows(mask)
    ending = "_l0_reverse" if backwards else "_l0"
    cell = nn.LSTMCell(3, 4).double()
    cell.load_state_dict({name: getattr(layer, name + ending) for name in cell.state_dict()})
    hidden, memory = layer.states(steps.pack(inputs), steps.sizes, 0, backwards)
    for row, real in enumerate(mask):
        state = (torch.zeros(1, 4).double(), torch.zeros(1, 4).double())
        for time in real.nonzero().flatten().tolist()[:: -1 if backwards else 1]:
            state = cell(inputs[row, time].unsqueeze(0), state)
            place = steps.latest[row, time]
            torch.testing.assert_close(hidden[place], state[0][0])
            torch.testing.assert_close(memory[place], state[1][0])


@each_mask
@pytest.mark.parametrize("bidirectional", [False, True])
def test_last_step_equals_packed_sequences(mask, bidirectional):
    """Values, and gradients of inputs and weights."""
    layer, steps, found = lstm(num_layers=2, bidirectional=bidirectional), TimePackedRows(mask), []
    for own in (True, False):
        packed = steps.pack(values(mask)).requires_grad_()
        if own:
            last = layer.last_step(packed, steps)
        elif steps.sizes:
            last = steps.last(nn.LSTM.forward(layer, PackedSequence(packed, torch.tensor(steps.sizes)))[0].data)
        else:
            last = torch.zeros(len(mask), 8 if bidirectional else 4).double()
        layer.zero_grad()
        if last.requires_grad:
            (last * torch.linspace(1, 2, last.numel()).view(last.shape)).sum().backward()
        found.append(
            [last, *(torch.zeros_like(p) if p.grad is None else p.grad for p in [packed, *layer.parameters()])]
        )
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("backwards", [False, True])
def test_gradients_of_both_states(backwards):
    given = torch.randn(9, 8, dtype=torch.double, requires_grad=True)
    weight = torch.randn(8, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *inputs: Recurrence.apply(*inputs, [4, 2, 2, 1], backwards), (given, weight)
    )


def test_dropout_between_layers_in_training_only():
    layer, steps = lstm(num_layers=2, dropout=0.5, bidirectional=True), TimePackedRows(MASK)
    packed = steps.pack(values(MASK))
    outputs = [layer.last_step(packed, steps) for _ in range(2)]
    assert not torch.equal(*outputs)
    layer.eval()
    assert torch.equal(layer.last_step(packed, steps), layer.last_step(packed, steps))


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_mixed_precision_computes_in_that_of_the_weights(dtype):
    layer, steps = lstm().float(), TimePackedRows(MASK)
    packed = steps.pack(values(MASK)).float()
    expected = layer.last_step(packed, steps)
    with torch.autocast("cpu", dtype):
        found = layer.last_step(packed, steps)
        found.sum().backward()
    assert torch.equal(found, expected) and torch.isfinite(layer.weight_hh_l0.grad).all()
