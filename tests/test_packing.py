# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Packed rows and the cheap dropout: the same numbers and gradients as padded attention, the right share of zeros."""

import pytest
import torch
from torch.nn import functional as F

from mm_affect.models.configuration import AffectConfig
from mm_affect.models.layers import cpu_attention
from mm_affect.models.layers.cpu_attention import AttentionPairs, PackedAttention
from mm_affect.models.layers.cpu_dropout import Draws, Dropout, draw_seed
from mm_affect.models.layers.packing import PackedRows


LENGTHS = [4, 1, 0, 7, 6, 7, 2, 3]
MASK = torch.arange(7) < torch.tensor(LENGTHS).unsqueeze(1)


def attention(dropout: float = 0.0) -> PackedAttention:
    torch.manual_seed(0)
    return PackedAttention(AffectConfig(attn_implementation="sdpa"), 8, 2, dropout)


def test_packed_steps_are_the_real_ones_and_come_back():
    values = torch.randn(8, 7, 3)
    rows = PackedRows(MASK)
    packed = rows.pack(values)
    assert packed.shape == (sum(LENGTHS), 3)
    assert torch.equal(packed[:7], values[3]) and torch.equal(packed[-1:], values[1, :1])  # longest first
    assert torch.equal(rows.unpack(packed), values.masked_fill(~MASK.unsqueeze(-1), 0.0))
    whole = PackedRows(MASK | True)
    assert torch.equal(whole.pack(values), values.flatten(0, 1)) and torch.equal(
        whole.unpack(whole.pack(values)), values
    )


@pytest.mark.parametrize("cells", [1, 200, 2**19])
@pytest.mark.parametrize("mask", [MASK, MASK | True, MASK & False], ids=["ragged", "full", "empty"])
def test_grouped_attention_equals_padded_attention(mask, cells, monkeypatch):
    """However the rows are grouped; values, and gradients of inputs and weights."""
    monkeypatch.setattr(cpu_attention, "CELLS_AT_ONCE", cells)
    found = []
    for kind in ("sdpa", "eager"):
        module, rows = attention(), PackedRows(mask)
        module.config._attn_implementation = kind
        values = torch.randn(8, 7, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        output, weights = module(rows.pack(values), AttentionPairs(rows))
        assert (weights is None) == (kind == "sdpa")
        (output * torch.linspace(1, 2, output.numel()).view(output.shape)).sum().backward()
        found.append([output, values.grad, *(p.grad for p in module.parameters())])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def future_mask(pairs: AttentionPairs) -> torch.Tensor:
    """What a padded query may read, by the letter: keys 0 to i + |S - T|, `(batch, length, length)`."""
    queries, keys = (side.mask.cumsum(1) - 1 for side in (pairs.queries, pairs.keys))
    lengths = [side.mask.sum(1) for side in (pairs.queries, pairs.keys)]
    return keys.unsqueeze(1) <= queries.unsqueeze(2) + (lengths[1] - lengths[0]).abs().view(-1, 1, 1)


@pytest.mark.parametrize(("cells", "spare"), [(1, 0), (60, 10**6), (2**19, 2**16)])
@pytest.mark.parametrize("masked", [False, True], ids=["all keys", "future mask"])
@pytest.mark.parametrize("full", [False, True], ids=["ragged", "full"])
def test_queries_of_one_stream_read_another(cells, spare, masked, full, monkeypatch):
    """However they are grouped and cut into blocks, against a plain table; both kinds of attention."""
    monkeypatch.setattr(cpu_attention, "CELLS_AT_ONCE", cells)
    monkeypatch.setattr(cpu_attention, "SPARE_CELLS", spare)
    monkeypatch.setattr(cpu_attention, "QUERIES_AT_ONCE", 3)
    key_mask = (
        torch.ones(8, 5, dtype=torch.bool)
        if full
        else torch.rand(8, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    )
    key_mask[1] = full  # the row has nothing to read
    query_mask = MASK | full
    found = []
    for kind in ("sdpa", "eager", "by the letter"):
        module, pairs = attention(), AttentionPairs(PackedRows(query_mask), PackedRows(key_mask), masked)
        random = torch.Generator().manual_seed(1)
        queries, keys = (torch.randn(8, size, 8, generator=random, requires_grad=True) for size in (7, 5))
        if kind == "by the letter":
            seen = key_mask.unsqueeze(1) & (future_mask(pairs) | (not masked))
            split = lambda x: x.unflatten(-1, (2, 4)).transpose(1, 2)  # noqa: E731
            q, k, v = split(module.query(queries)), split(module.key(keys)), split(module.value(keys))
            weights = (q @ k.transpose(2, 3) / 2).masked_fill(~seen.unsqueeze(1), -1e9).softmax(-1)
            output = module.output((weights @ v).transpose(1, 2).flatten(2))
            output = output.masked_fill(~key_mask.any(1).view(-1, 1, 1), 0.0)[query_mask]
        else:
            module.config._attn_implementation = kind
            rows = pairs.queries
            output = module(rows.pack(queries), pairs, pairs.keys.pack(keys))[0]
            output = rows.unpack(output)[query_mask]
        (output * torch.linspace(1, 2, output.numel()).view(output.shape)).sum().backward()
        found.append([output, queries.grad, keys.grad, *(p.grad for p in module.parameters())])
    for kind in found[:2]:
        for ours, expected in zip(kind, found[2], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.full
def test_gradient_of_masked_cross_attention_with_dropout(monkeypatch):
    """Of several blocks: they draw again in the backward pass what they drew in the forward pass."""
    monkeypatch.setattr(cpu_attention, "QUERIES_AT_ONCE", 2)
    pairs = AttentionPairs(PackedRows(MASK), PackedRows(MASK.flip(0)), future_mask=True)
    parts = [torch.randn(4, sum(LENGTHS), dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(*parts):
        torch.manual_seed(3)
        return cpu_attention.GroupedAttention.apply(*parts, pairs.plan(2), 2, 0.4)

    assert torch.autograd.gradcheck(attend, parts)


def test_scores_may_be_large():
    """As after long training: nothing overflows, and the greatest score takes all."""
    pairs = AttentionPairs(PackedRows(MASK))
    parts = [torch.randn(4, sum(LENGTHS), requires_grad=True) for _ in range(3)]
    output = cpu_attention.GroupedAttention.apply(parts[0] * 1e4, parts[1], parts[2], pairs.plan(1), 1, 0.0)
    output.sum().backward()
    assert torch.isfinite(output).all() and all(torch.isfinite(part.grad).all() for part in parts)


def test_steps_inside_a_row_may_be_missing():
    mask = MASK.clone()
    mask[3, 2] = False
    values = torch.randn(8, 7, 8)
    rows, module = PackedRows(mask), attention()
    found = rows.unpack(module(rows.pack(values), AttentionPairs(rows))[0])
    alone = PackedRows(torch.ones(1, 6, dtype=torch.bool))
    without = values[3:4, [0, 1, 3, 4, 5, 6]]
    torch.testing.assert_close(found[3, mask[3]], module(alone.pack(without), AttentionPairs(alone))[0])


def test_training_after_inference_mode(monkeypatch):
    monkeypatch.setattr(cpu_attention, "SCRATCH", cpu_attention.ScratchBuffers())
    rows, module, values = PackedRows(MASK), attention(), torch.randn(8, 7, 8)
    with torch.inference_mode():
        expected = module(rows.pack(values), AttentionPairs(rows))[0]
    found = module(rows.pack(values), AttentionPairs(rows))[0]
    found.sum().backward()
    torch.testing.assert_close(found.detach(), expected.clone())


@pytest.mark.full
def test_gradient_of_attention_with_dropout():
    """With the same draws the gradient is that of the function: checked against finite differences."""
    pairs = AttentionPairs(PackedRows(MASK))
    parts = [torch.randn(4, sum(LENGTHS), dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(*parts):
        torch.manual_seed(3)
        return cpu_attention.GroupedAttention.apply(*parts, pairs.plan(2), 2, 0.4)

    assert torch.autograd.gradcheck(attend, parts)
    plain = cpu_attention.GroupedAttention.apply(*parts, pairs.plan(2), 2, 0.0)
    assert (attend(*parts) - plain).abs().max() > 0.1  # something was dropped
    many = torch.stack([cpu_attention.GroupedAttention.apply(*parts, pairs.plan(2), 2, 0.4) for _ in range(3000)])
    torch.testing.assert_close(many.mean(0), plain, rtol=0, atol=0.15)


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_share_that_is_dropped(probability):
    torch.manual_seed(0)
    kept = Draws(probability, draw_seed()).kept((1000, 1001))
    assert set(kept.unique().tolist()) == {0, 1}
    deviation = (probability * (1 - probability) / kept.numel()) ** 0.5
    assert abs(1 - kept.float().mean() - probability) < 4 * deviation + 1 / 65536
    columns, rows = kept.float().mean(0), kept.float().mean(1)  # no place is favored
    assert max((columns - columns.mean()).abs().max(), (rows - rows.mean()).abs().max()) < 6 * (0.25 / 1000) ** 0.5


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout(inplace):
    torch.manual_seed(0)
    values = torch.randn(50, 40, requires_grad=True)
    dropout = Dropout(0.3, inplace=inplace)
    dropped = dropout(values * 1.0)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], values[kept] / 0.7)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, kept / 0.7)
    torch.manual_seed(1)
    first = dropout(values.detach().clone())
    torch.manual_seed(1)
    assert torch.equal(dropout(values.detach().clone()), first)
    assert torch.equal(dropout.eval()(values), values)
    assert F.dropout(values, 0.0).equal(Dropout(0.0)(values))
