# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The shared blocks, each against arithmetic by hand or against PyTorch's own module with the same weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mm_affect.models.configuration import AffectConfig
from mm_affect.models.layers import streams
from mm_affect.models.layers.attention import Attention, TransformerEncoder
from mm_affect.models.layers.bilstm import BiLSTM
from mm_affect.models.layers.ctc_aligner import CTCAligner
from mm_affect.models.layers.gradient_reversal import reverse_gradient
from mm_affect.models.layers.positions import SinusoidalPositions
from mm_affect.models.layers.streams import Stream
from mm_affect.models.layers.task_heads import TaskHeads
from mm_affect.tasks import Task


def ragged(length: int = 6, size: int = 3) -> Stream:
    """Rows that are full, padded behind, before, with a hole, with one step, empty; NaN wherever nothing is real."""
    rows = [range(length), range(length - 2), range(2, length), [0, 1, length - 1], [2], []]
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, steps in enumerate(rows):
        mask[row, list(steps)] = True
    values = torch.randn(len(rows), length, size, generator=torch.Generator().manual_seed(0))
    return Stream(values.masked_fill(~mask.unsqueeze(-1), torch.nan), mask)


def real_steps(stream: Stream) -> list[torch.Tensor]:
    """The real steps of each row, `(steps, size)`."""
    return [values[mask] for values, mask in zip(*stream, strict=True)]


# pooling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "by_hand"),
    [
        ("masked_mean", lambda steps: steps.mean(0)),
        ("masked_max", lambda steps: steps.amax(0)),
        ("last_real", lambda steps: steps[-1]),
        ("masked_statistics", lambda steps: torch.cat([steps.mean(0), steps.std(0, correction=0)])),
    ],
)
def test_pooling_by_hand(pool, by_hand):
    stream = ragged()
    found = getattr(streams, pool)(*stream)
    for row, steps in enumerate(real_steps(stream)):
        expected = by_hand(steps) if len(steps) else torch.zeros(found.shape[1])
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=2e-4 if "statistics" in pool else 1e-6)


def test_pooling_numbers():
    values, mask = torch.tensor([[[1.0], [5.0], [3.0], [100.0]]]), torch.tensor([[True, True, True, False]])
    assert streams.masked_mean(values, mask).item() == 3
    assert streams.masked_max(values, mask).item() == 5
    assert streams.last_real(values, mask).item() == 3
    assert streams.masked_max(-values, mask).item() == -1


def test_statistics_have_a_gradient_where_nothing_varies():
    values = torch.ones(2, 3, 4, requires_grad=True)
    streams.masked_statistics(values, torch.tensor([[True, True, True], [True, False, False]])).sum().backward()
    assert torch.isfinite(values.grad).all()


# places in time ---------------------------------------------------------------------------------------------------


def test_to_front_and_extent():
    stream = ragged()
    values, mask = streams.to_front(stream)
    for row, steps in enumerate(real_steps(stream)):
        torch.testing.assert_close(values[row, : len(steps)], steps)
        assert (values[row, len(steps) :] == 0).all()
    assert torch.equal(mask.sum(1), stream.mask.sum(1)) and mask[:, 0].tolist() == [True] * 5 + [False]
    first, length = streams.extent(stream.mask)
    assert first[:5].tolist() == [0, 0, 2, 0, 2]
    assert length.tolist() == [6, 4, 4, 6, 1, 0]


def test_resample_by_hand():
    """Three steps over two: each new step covers one and a half old ones. Two over four: each is said twice."""
    values = torch.tensor([[[1.0], [2.0], [6.0]], [[3.0], [5.0], [torch.nan]]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = streams.resample(Stream(values, mask), torch.tensor([2, 4]), 4)
    expected = torch.tensor([[(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 6) / 1.5, 0, 0], [3, 3, 5, 5]])
    torch.testing.assert_close(found.values.squeeze(-1), expected)
    assert found.mask.tolist() == [[True, True, False, False], [True] * 4]


def test_resample_leaves_equal_lengths_alone():
    stream = ragged()
    _, lengths = streams.extent(stream.mask)
    values, mask = streams.resample(stream, lengths, 6)
    for row in (0, 1, 2, 4):  # without holes
        torch.testing.assert_close(values[row][mask[row]], stream.values[row][stream.mask[row]], rtol=0, atol=0)
    assert not mask[5].any() and (values[5] == 0).all()


@pytest.mark.parametrize("length", [2, 3, 7, 10])
def test_resample_preserves_the_mean_whatever_the_padding_side(length):
    steps = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    results = []
    for before, behind in ((0, 0), (4, 0), (0, 4), (1, 2)):
        values = F.pad(steps, (0, 0, before, behind), value=torch.nan)
        mask = F.pad(torch.ones(1, 5, dtype=torch.bool), (before, behind))
        values, mask = streams.resample(Stream(values, mask), torch.tensor([length]), 12)
        assert mask.tolist() == [[True] * length + [False] * (12 - length)]
        torch.testing.assert_close(values.sum(1) / length, steps.mean(1))
        results.append(values)
    for found in results[1:]:
        torch.testing.assert_close(found, results[0])


def test_sinusoidal_positions():
    """A step's position counts real steps from 0, wherever the padding stands; the numbers are Vaswani's."""
    positions = SinusoidalPositions()
    steps = torch.zeros(1, 4, 6)
    plain = positions(Stream(steps, torch.ones(1, 4, dtype=torch.bool))).values
    rates = torch.tensor([1.0, 0.01, 0.0001])
    torch.testing.assert_close(plain[0, 3], torch.cat([(3 * rates).sin(), (3 * rates).cos()]))
    for before, behind in ((3, 0), (0, 3), (1, 1)):
        values = F.pad(steps, (0, 0, before, behind), value=torch.nan)
        mask = F.pad(torch.ones(1, 4, dtype=torch.bool), (before, behind))
        moved = positions(Stream(values, mask))
        torch.testing.assert_close(moved.values[:, before : before + 4], plain)
        assert (moved.values[~mask] == 0).all()
    assert positions(Stream(torch.zeros(1, 4, 5), torch.ones(1, 4, dtype=torch.bool))).values.shape == (1, 4, 5)


# attention --------------------------------------------------------------------------------------------------------


def encoder_and_torch_layer(implementation: str):
    """One of our blocks in a stack, and PyTorch's layer with the same weights."""
    torch.manual_seed(0)
    config = AffectConfig(attn_implementation=implementation)
    encoder = TransformerEncoder(config, 12, 1, 3, 20, 0.1).eval()
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.1, batch_first=True).eval()
    (block,) = encoder.blocks
    with torch.no_grad():
        for name in ("weight", "bias"):
            parts = [
                getattr(part, name) for part in (block.attention.query, block.attention.key, block.attention.value)
            ]
            getattr(layer.self_attn, f"in_proj_{name}").copy_(torch.cat(parts))
            getattr(layer.self_attn.out_proj, name).copy_(getattr(block.attention.output, name))
            getattr(layer.linear1, name).copy_(getattr(block.expand, name))
            getattr(layer.linear2, name).copy_(getattr(block.shrink, name))
            nn.init.normal_(getattr(block.attention_norm, name))
            nn.init.normal_(getattr(block.feed_forward_norm, name))
            getattr(layer.norm1, name).copy_(getattr(block.attention_norm, name))
            getattr(layer.norm2, name).copy_(getattr(block.feed_forward_norm, name))
    return encoder, layer


def check_block_equals_torch(implementation: str = "sdpa"):
    encoder, layer = encoder_and_torch_layer(implementation)
    stream = ragged(size=12)
    found = encoder(stream)
    real = stream.mask.any(1)
    expected = layer(stream.cleaned().values[real], src_key_padding_mask=~stream.mask[real])
    torch.testing.assert_close(found.values[stream.mask], expected[stream.mask[real]])
    assert (found.values[~stream.mask] == 0).all()


def check_cross_block_equals_torch(implementation: str = "sdpa"):
    encoder, layer = encoder_and_torch_layer(implementation)
    stream, memory = ragged(size=12), ragged(length=5, size=12)
    memory = Stream(memory.values.flip(0), memory.mask.flip(0))
    found = encoder(stream, memory)
    both = stream.mask.any(1) & memory.mask.any(1)
    queries, keys = stream.cleaned().values[both], memory.cleaned().values[both]
    attended, _ = layer.self_attn(queries, keys, keys, key_padding_mask=~memory.mask[both])
    hidden = layer.norm1(queries + attended)
    expected = layer.norm2(hidden + layer.linear2(layer.linear1(hidden).relu()))
    torch.testing.assert_close(found.values[both][stream.mask[both]], expected[stream.mask[both]])
    assert (found.values[~both] == 0).all(), "a row without memory must come back as zeros"


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_block_equals_torch(implementation):
    check_block_equals_torch(implementation)
    check_cross_block_equals_torch(implementation)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="12 features cannot have 5 heads"):
        Attention(AffectConfig(), 12, 5, 0.0)


# recurrence -------------------------------------------------------------------------------------------------------


def lstm_and_torch():
    """Our two one-way LSTMs, and PyTorch's bidirectional one with the same weights."""
    torch.manual_seed(0)
    ours, theirs = BiLSTM(3, 4), nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for direction, suffix in ((ours.forward_lstm, ""), (ours.backward_lstm, "_reverse")):
            for name, value in direction.named_parameters():
                getattr(theirs, name + suffix).copy_(value)
    return ours, theirs


def check_lstm_equals_packed():
    ours, theirs = lstm_and_torch()
    stream = ragged()
    steps = real_steps(stream)[:-1]  # the last row is empty, which PyTorch cannot pack
    packed = nn.utils.rnn.pack_sequence(steps, enforce_sorted=False)
    output, (state, _) = theirs(packed)
    output, lengths = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    values, mask = ours(stream)
    torch.testing.assert_close(values[:-1], output)
    assert torch.equal(mask.sum(1)[:-1], lengths)
    torch.testing.assert_close(
        ours.last_step(stream)[:-1], torch.stack([row[n - 1] for row, n in zip(output, lengths, strict=True)])
    )
    torch.testing.assert_close(ours.final_states(stream)[:-1], torch.cat([state[0], state[1]], dim=-1))
    for pooled in (values[-1], ours.last_step(stream)[-1], ours.final_states(stream)[-1]):
        assert (pooled == 0).all(), "an empty row must come back as zeros"


def test_lstm_equals_packed():
    check_lstm_equals_packed()


# gradient reversal and alignment ----------------------------------------------------------------------------------


def check_reversed_gradient():
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    reversed_values = reverse_gradient(values, scale=0.5)
    assert torch.equal(reversed_values, values)
    (reversed_values**2).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-1.0, 2.0]))  # -0.5 * 2 * values


def test_reversed_gradient():
    check_reversed_gradient()


def ordered_stream() -> Stream:
    """Eight rows of four words in order, each word said for three steps, with noise."""
    random = torch.Generator().manual_seed(0)
    values = torch.eye(4).repeat_interleave(3, dim=0).expand(8, -1, -1) + 0.1 * torch.randn(8, 12, 4, generator=random)
    return Stream(values, torch.ones(8, 12, dtype=torch.bool))


def test_ctc_learns_an_order():
    torch.manual_seed(0)
    aligner, stream, target = (
        CTCAligner(4, 4, num_layers=1),
        ordered_stream(),
        torch.full((8,), 4),
    )
    optimizer = torch.optim.Adam(aligner.parameters(), lr=0.05)
    losses = []
    for _ in range(80):
        aligned, compute = aligner(stream, target)
        optimizer.zero_grad()
        loss = compute().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]  # not 0: the scores are an LSTM's outputs, between -1 and 1
    # what each target step gathers comes from its own word
    assert aligned.values.argmax(-1).tolist() == [[0, 1, 2, 3]] * 8


def check_ctc_in_bfloat16():
    torch.manual_seed(0)
    aligner, stream, target = CTCAligner(4, 4), ordered_stream(), torch.full((8,), 4)
    _, exact = aligner(stream, target)
    aligned, loss = aligner.to(torch.bfloat16)(Stream(stream.values.bfloat16(), stream.mask), target)
    assert loss().dtype == torch.float32 and aligned.values.dtype == torch.bfloat16
    torch.testing.assert_close(loss(), exact(), rtol=0.02, atol=0)


def test_ctc_in_bfloat16():
    check_ctc_in_bfloat16()


def test_ctc_of_empty_or_short_streams_is_finite():
    aligner = CTCAligner(4, 4)
    stream, target = ordered_stream(), torch.full((8,), 4)
    nothing = Stream(torch.full_like(stream.values, torch.nan), stream.mask & False)
    aligned, loss = aligner(nothing, target)
    assert (loss() == 0).all() and (aligned.values == 0).all() and not aligned.mask.any()
    aligned, loss = aligner(stream, target * 0)
    assert (loss() == 0).all() and not aligned.mask.any()
    short = Stream(stream.values[:, :2], stream.mask[:, :2])  # two steps cannot spell four words
    _, compute = aligner(short, target)
    loss = compute()
    loss.sum().backward()
    assert torch.isfinite(loss).all() and all(torch.isfinite(p.grad).all() for p in aligner.parameters())


def test_ctc_ignores_padding():
    torch.manual_seed(0)
    aligner, stream, target = CTCAligner(4, 4), ordered_stream(), torch.full((8,), 4)
    expected, loss = aligner(stream, target)
    padded = Stream(F.pad(stream.values, (0, 0, 2, 1), value=torch.nan), F.pad(stream.mask, (2, 1)))
    found, same = aligner(padded, target)
    torch.testing.assert_close(found.values, expected.values)
    torch.testing.assert_close(same(), loss())


# heads ------------------------------------------------------------------------------------------------------------


def loss_of(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    heads = TaskHeads([task], lambda task: nn.Identity())
    return heads.losses(heads({"fusion": logits}), {task.name: labels})[task.name]


def test_multi_label_loss():
    task = Task("emotion", "multi_label_classification", ("a", "b"), class_weights=(2.0, 0.5))
    logits, labels = torch.randn(3, 2), torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [torch.nan, torch.nan]])
    terms = F.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=torch.tensor([2.0, 0.5]), reduction="none"
    )
    torch.testing.assert_close(loss_of(task, logits, labels), (terms[0, 0] + terms[0, 1] + terms[1, 1]) / 3)


def test_single_label_loss():
    logits, labels = torch.randn(4, 3), torch.tensor([2, -100, 0, 1])
    for smoothing in (0.0, 0.1):
        task = Task("emotion", "single_label_classification", ("a", "b", "c"), label_smoothing=smoothing)
        expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        torch.testing.assert_close(loss_of(task, logits, labels), expected)
    task = Task("emotion", "single_label_classification", ("a", "b", "c"), class_weights=(1.0, 2.0, 3.0))
    terms = F.cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 3.0]), reduction="none")
    torch.testing.assert_close(loss_of(task, logits, labels), terms.sum() / 3)


@pytest.mark.parametrize(
    ("name", "expected"), [("l1", (2 + 0.5) / 2), ("l2", (4 + 0.25) / 2), ("huber", (1.5 + 0.125) / 2)]
)
def test_regression_loss(name, expected):
    task = Task("sentiment", "regression", regression_loss=name)
    logits, labels = torch.tensor([[1.0], [0.5], [9.0]]), torch.tensor([3.0, 0.0, torch.nan])
    assert loss_of(task, logits, labels).item() == pytest.approx(expected)


def test_unknown_labels_have_no_gradient():
    task = Task("emotion", "multi_label_classification", ("a", "b"))
    logits = torch.randn(2, 2, requires_grad=True)
    loss_of(task, logits, torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])).backward()
    assert logits.grad[0, 0] != 0 and (logits.grad.flatten()[1:] == 0).all()


def test_heads_read_their_views():
    tasks = [Task("emotion", labels=("a",)), Task("text_emotion", labels=("a",), view="text")]
    heads = TaskHeads(tasks, lambda task: nn.Identity())
    views = {"fusion": torch.zeros(2, 1), "text": torch.ones(2, 1)}
    logits = heads(views)
    assert torch.equal(logits["emotion"], views["fusion"]) and torch.equal(logits["text_emotion"], views["text"])
