# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams and the blocks that architectures share. A tensor never travels in time without its mask.

Sizes are named in words: `(batch, length, size)`. Masks are bool, True = a real step; padding may stand on either side and
steps inside may be masked too (a frame without a face).

While a model is exported (`exporting()`), no shape and no branch may depend on what a batch holds: padding is then computed
along, and masked. Sizes are asked for by `shape[0]`, which stays a symbol there; `len` would make it the number of the moment.
"""

import math
from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import is_torchdynamo_exporting as exporting


LEAST_VARIANCE = 1.0000001e-8  # under a root; what is not above 1e-8, the optimiser of ONNX graphs takes for nothing
RESAMPLED_AT_ONCE = 256  # steps: `resample` of a long clip would otherwise hold (length, length) tables


class Stream(NamedTuple):
    """One modality in time: values `(batch, length, size)` and mask `(batch, length)`."""

    values: torch.Tensor
    mask: torch.Tensor

    def cleaned(self) -> "Stream":
        """The stream with zeros where nothing is real, so that no content of the padding, not even NaN, can pass."""
        return Stream(self.values.masked_fill(~self.mask.unsqueeze(-1), 0.0), self.mask)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real steps: `(batch, size)`; zeros where a row has none."""
    return Stream(values, mask).cleaned().values.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)


def masked_statistics(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over the real steps: `(batch, 2 * size)`; zeros where a row has none."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean.unsqueeze(1)) ** 2, mask)
    return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt() * mask.any(1, keepdim=True)], dim=-1)


def masked_segments(values: torch.Tensor, mask: torch.Tensor, segments: int = 3) -> torch.Tensor:
    """What happened when: mean and standard deviation of every feature and of its slope (central difference) in each of
    `segments` equal parts of the row, `(batch, segments * 4 * size)`; zeros where a row has no real step."""
    inner = (mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]).unsqueeze(-1)
    slopes = F.pad(((values[:, 2:] - values[:, :-2]) / 2).masked_fill(~inner, 0.0), (0, 0, 1, 1))[:, : mask.shape[1]]
    both = Stream(torch.cat([values, slopes], dim=-1).float(), mask).cleaned().values
    lengths = mask.any(1) * segments
    mean, real = resample(Stream(both, mask), lengths, segments)
    square, _ = resample(Stream(both**2, mask), lengths, segments)
    deviation = ((square - mean**2).clamp_min(0) + 1e-5).sqrt() * real.unsqueeze(-1)
    return torch.cat([mean, deviation], dim=-1).flatten(1).to(values.dtype)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Greatest value over the real steps: `(batch, size)`; zeros where a row has none."""
    lowest = values.masked_fill(~mask.unsqueeze(-1), torch.finfo(values.dtype).min).amax(1)
    return lowest.masked_fill(~mask.any(1, keepdim=True), 0.0)


def last_real(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last real step of each row: `(batch, size)`; zeros where a row has none."""
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).argmax(1)
    picked = values.gather(1, last[:, None, None].expand(-1, 1, values.shape[-1])).squeeze(1)
    return picked.masked_fill(~mask.any(1, keepdim=True), 0.0)


def take_steps(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Steps `index` `(batch, steps)` of `values` `(batch, length, size)`."""
    first = torch.arange(values.shape[0], device=values.device).unsqueeze(1) * values.shape[1]
    return values.flatten(0, 1).index_select(0, (first + index).flatten()).unflatten(0, index.shape)


def longest(streams: Iterable[Stream]) -> int:
    """The steps of the longest stream."""
    return reduce(torch.sym_max, (stream.mask.shape[1] for stream in streams))


def front_order(mask: torch.Tensor) -> torch.Tensor:
    """The steps of each row, `(batch, length)`: first the real ones, then the others, both in their order."""
    place = torch.where(mask, mask.cumsum(1), mask.sum(1, keepdim=True) + (~mask).cumsum(1)) - 1
    return torch.empty_like(place).scatter(1, place, torch.arange(mask.shape[1], device=mask.device).expand_as(place))


def front_places(mask: torch.Tensor) -> torch.Tensor:
    """Where the steps of `front_order` stand among those of all rows, one row after the other, `(batch, length)`."""
    batch, length = mask.shape
    return front_order(mask) + torch.arange(batch, device=mask.device).unsqueeze(1) * length


def to_front(stream: Stream) -> Stream:
    """The same real steps in the same order, standing at the front; zeros behind them."""
    order = front_order(stream.mask)
    return Stream(take_steps(stream.values, order), stream.mask.gather(1, order)).cleaned()


def extent(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First real step and number of steps from the first to the last real one, each `(batch,)`; length 0 if none."""
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).amax(1)
    first = torch.where(mask, position, mask.shape[1]).amin(1)
    return first, torch.where(mask.any(1), last - first + 1, 0)


def starting_at(first: torch.Tensor, stream: Stream) -> Stream:
    """The stream with step `first` `(batch,)` of each row at the front, and what stood before it at the end."""
    length = stream.mask.shape[1]
    index = torch.arange(length, device=stream.mask.device) + first.unsqueeze(1)
    index = torch.where(index < length, index, index - length)
    return Stream(take_steps(stream.values, index), stream.mask.gather(1, index))


def lengthened(stream: Stream, steps: int) -> Stream:
    """The stream with masked steps at the end, so that there are `steps` of them."""
    missing = steps - stream.mask.shape[1]
    return Stream(F.pad(stream.values, (0, 0, 0, missing)), F.pad(stream.mask, (0, missing)))


def of_one_length(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Word-aligned streams, with one step per word, all as long as the longest.

    A stream is shorter than another where the longest rows lack its modality, or all of them do; it is lengthened.

    Raises:
        ValueError: a row has steps of one modality beyond the end of another that it has, too.
    """
    lengths, steps = {m: stream.mask.shape[1] for m, stream in streams.items()}, longest(streams.values())
    if not exporting() and min(lengths.values()) == steps:
        return streams
    streams = {m: lengthened(stream, steps) for m, stream in streams.items()}
    if exporting():
        return streams
    some = torch.stack([stream.mask for stream in streams.values()]).any(0)
    for m, length in lengths.items():
        if (some[:, length:].any(1) & streams[m].mask.any(1)).any():
            raise ValueError(
                f"The streams have {', '.join(f'{n} ({m})' for m, n in lengths.items())} steps, but this model reads "
                "word-aligned streams: align them to the words, or set `aligner` if the model has one."
            )
    return streams


def word_aligned(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Word-aligned streams of one length (see `of_one_length`), moved together to the front."""
    streams = of_one_length(streams)
    first = extent(torch.stack([stream.mask for stream in streams.values()]).any(0))[0]
    return {m: starting_at(first, stream) for m, stream in streams.items()}


def resample(stream: Stream, lengths: torch.Tensor, steps: int) -> Stream:
    """Each row stretched or shrunk in time to `lengths` steps (`(batch,)`, at most `steps`) by averaging areas.

    New step j is the mean of the old steps that its share of the time covers, weighted by how much of each it covers. A
    row that already has the wanted length is returned as it is, a missing modality as zeros.
    """
    values, mask = stream.cleaned()
    first, length = extent(mask)
    old = (torch.arange(mask.shape[1], device=mask.device).view(1, -1) - first.view(-1, 1)).float().unsqueeze(1)
    share = (length / lengths.clamp_min(1)).view(-1, 1, 1).float()  # old steps per new step
    target, parts = torch.arange(steps, device=mask.device), []
    at_once = steps if exporting() else RESAMPLED_AT_ONCE
    for new in target.float().view(1, -1, 1).split(at_once, dim=1):
        cover = (torch.minimum((new + 1) * share, old + 1) - torch.maximum(new * share, old)).clamp_min(0)
        cover = cover * mask.unsqueeze(1)
        cover = cover / cover.sum(-1, keepdim=True).clamp_min(1e-6)
        parts.append(cover.to(values.dtype) @ values)
    return Stream(torch.cat(parts, dim=1), target < lengths.view(-1, 1)).cleaned()


def sinusoids(first: int, steps: int, size: int, device=None) -> torch.Tensor:
    """The sinusoids of positions `first`, `first + 1`, ... `(steps, size)`: all sines, all cosines, a 0 if `size` is odd."""
    half = size // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angle = torch.arange(first, first + steps, device=device).unsqueeze(1) * rate
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=-1), (0, size % 2))


class SinusoidalPositions(nn.Module):
    """Adds the sinusoid of Vaswani et al. (2017), as laid out in tensor2tensor; positions count real steps only.

    Args:
        first: the position of the first real step: 0, or 1 as in the code of MulT, SPT, SUGRM and LMR-CBT.
        skip_zeros: a step whose first feature is exactly 0 gets no position, and the others keep theirs: that code takes
            the first feature for a token id, and 0 for padding.
    """

    def __init__(self, first: int = 0, skip_zeros: bool = False):
        super().__init__()
        self.first, self.skip_zeros = first, skip_zeros

    def forward(self, stream: Stream) -> Stream:
        values, mask = stream
        return Stream(self.place(values, (mask.cumsum(1) - 1).clamp_min(0), mask.shape[1]), mask).cleaned()

    def place(self, values: torch.Tensor, steps: torch.Tensor, length: int) -> torch.Tensor:
        """`values` `(..., size)` with the sinusoids of the `steps` `(...)` they stand at, from 0, below `length`."""
        positions = sinusoids(self.first, length, values.shape[-1], values.device).to(values.dtype)[steps]
        if self.skip_zeros:
            positions = positions.masked_fill(values[..., :1] == 0, 0.0)
        return values + positions


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Plain attention on `(batch, heads, length, head size)`; softmax in float32; also returns the weights."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    context = torch.matmul(F.dropout(weights, p=dropout, training=module.training), value)
    return context.transpose(1, 2).contiguous(), weights


class Attention(nn.Module):
    """Multi-head attention of `hidden_states` `(batch, length, size)` on itself or on a memory."""

    is_causal = False

    def __init__(self, config, size: int, num_heads: int, dropout: float):
        super().__init__()
        if size % num_heads:
            raise ValueError(f"Attention over {size} features cannot have {num_heads} heads; it must divide them.")
        self.config, self.head_size, self.dropout = config, size // num_heads, dropout
        self.scaling = self.head_size**-0.5
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)

    def forward(self, hidden_states, attention_mask=None, memory=None):
        memory = hidden_states if memory is None else memory
        split = lambda x: x.unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # noqa: E731
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        context, weights = attend(
            self,
            split(self.query(hidden_states)),
            split(self.key(memory)),
            split(self.value(memory)),
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
        )
        return self.output(context.flatten(2)), weights


class TransformerBlock(GradientCheckpointingLayer):
    """Post-norm block of Vaswani et al. (2017); equals `torch.nn.TransformerEncoderLayer`."""

    def __init__(self, config, size: int, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.attention = Attention(config, size, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, intermediate_size)
        self.shrink = nn.Linear(intermediate_size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states, attention_mask=None, memory=None):
        attended, _ = self.attention(hidden_states, attention_mask, memory)
        hidden_states = self.attention_norm(hidden_states + self.dropout(attended))
        fed = self.shrink(self.dropout(F.relu(self.expand(hidden_states))))
        return self.feed_forward_norm(hidden_states + self.dropout(fed))


class TransformerEncoder(nn.Module):
    """A stack of blocks over a stream, optionally attending to a memory; the mask is prepared once.

    A row without a real key has nothing to attend to and comes back as zeros.
    """

    def __init__(self, config, size: int, num_layers: int, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(
            TransformerBlock(config, size, num_heads, intermediate_size, dropout) for _ in range(num_layers)
        )

    def forward(self, stream: Stream, memory: Stream | None = None) -> Stream:
        values, mask = stream.cleaned()
        keys = stream if memory is None else memory.cleaned()
        prepared = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=values,
            attention_mask=keys.mask,
            encoder_hidden_states=None if memory is None else keys.values,
        )
        for block in self.blocks:
            values = block(values, prepared, None if memory is None else keys.values)
        return Stream(values, mask & keys.mask.any(1, keepdim=True)).cleaned()


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer over ragged streams, `2 * hidden_size` features per step.

    The two directions are one-way LSTMs; the backward one reads each row reversed within its own length. This equals
    packed sequences and is several times faster on a CPU.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.forward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(self, stream: Stream) -> Stream:
        """Every step; the real steps stand at the front of the result."""
        values, mask = to_front(stream)
        position = torch.arange(mask.shape[1], device=mask.device)
        reverse = (mask.sum(1, keepdim=True) - 1 - position).clamp_min(0)
        ahead, _ = self.forward_lstm(values)
        back, _ = self.backward_lstm(take_steps(values, reverse))
        return Stream(torch.cat([ahead, take_steps(back, reverse)], dim=-1), mask).cleaned()

    def last_step(self, stream: Stream) -> torch.Tensor:
        """`forward` at the last real step, `(batch, 2 * hidden_size)`: there the backward direction has seen one step."""
        values, mask = to_front(stream)
        ahead, _ = self.forward_lstm(values)
        back, _ = self.backward_lstm(last_real(values, mask).unsqueeze(1))
        pooled = torch.cat([last_real(ahead, mask), back.squeeze(1)], dim=-1)
        return pooled.masked_fill(~mask.any(1, keepdim=True), 0.0)

    def final_states(self, stream: Stream) -> torch.Tensor:
        """The state of each direction after it has read the whole row, `(batch, 2 * hidden_size)`."""
        values, mask = self(stream)
        size = values.shape[-1] // 2
        return torch.cat([last_real(values, mask)[:, :size], values[:, 0, size:]], dim=-1)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, values, scale):
        context.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(context, gradient):
        return -context.scale * gradient, None


def reverse_gradient(values: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """The identity, whose gradient is multiplied by `-scale` (Ganin & Lempitsky, 2015)."""
    return _ReverseGradient.apply(values, scale)


class CTCAligner(nn.Module):
    """Soft alignment of a long stream to the steps of a target, as in MulT's CTC baseline and TAILOR.

    An LSTM gives each step a distribution over "blank" and `max_length` target positions; target step j is the mean of
    the stream under position j. The CTC loss asks for the positions in order. Computed in float32: CTC on a CPU knows no
    bfloat16.
    """

    def __init__(self, input_size: int, max_length: int, num_layers: int = 2):
        super().__init__()
        self.max_length = max_length
        self.lstm = nn.LSTM(input_size, max_length + 1, num_layers, batch_first=True)

    def forward(self, stream: Stream, target_length: torch.Tensor) -> tuple[Stream, Callable[[], torch.Tensor]]:
        """The stream at `target_length` `(batch,)` steps, at most `max_length`, and what computes the CTC loss of each row,
        `(batch,)`.

        The loss is 0 for a row without anything to align, or with fewer steps than its target.
        """
        values, mask = to_front(stream)
        scores = self.lstm(values)[0].float()  # (batch, length, 1 + max_length)
        shares = scores.softmax(-1)[..., 1:].masked_fill(~mask.unsqueeze(-1), 0.0)
        aligned = shares.transpose(1, 2).to(values.dtype) @ values
        target_length, length = target_length.clamp_max(self.max_length), mask.sum(1)
        position = torch.arange(self.max_length, device=mask.device)
        possible = (length > 0) & (target_length > 0)
        real = (position < target_length.unsqueeze(1)) & possible.unsqueeze(1)

        def loss() -> torch.Tensor:
            found = F.ctc_loss(
                scores.log_softmax(-1).transpose(0, 1),
                (position + 1).expand(len(mask), -1),
                length.clamp_min(1),
                target_length.clamp_min(1),
                reduction="none",
                zero_infinity=True,
            )
            return found.masked_fill(~possible, 0.0)

        return Stream(aligned, real).cleaned(), loss


class TaskHeads(nn.Module):
    """One head per task; each reads the view that its task names.

    Args:
        tasks: task descriptions (`models.configuration.Task`).
        build_head: called with a task, gives the module from view `(batch, size)` to logits `(batch, n)`.
    """

    def __init__(self, tasks, build_head):
        super().__init__()
        self.tasks = {task.name: task for task in tasks}
        self.heads = nn.ModuleDict({task.name: build_head(task) for task in tasks})

    def forward(self, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: head(views[self.tasks[name].view]) for name, head in self.heads.items()}

    def losses(self, logits: dict[str, torch.Tensor], labels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Mean loss over the known labels of each task in `labels`; NaN and -100 are unknown.

        Where generated labels y come with those they are generated from, y', each sample's loss is multiplied by
        tanh(|y - y'|), so that samples count by how much their modality disagrees (SUGRM, section 3.4; Self-MM).
        """
        for name in labels:
            if name not in self.tasks:
                raise ValueError(f"`labels` has the task {name!r}; the model knows {', '.join(self.tasks)}.")
        return {
            name: self._loss(task, logits[name], labels[name], labels.get(task.generated_from))
            for name, task in self.tasks.items()
            if name in labels
        }

    def supervise(self, logits, labels, rows: torch.Tensor) -> torch.Tensor:
        """The weighted loss of further predictions of the same labels, of the rows in `rows` `(batch,)` only."""
        kept = {}
        for name, target in labels.items():
            beside = ~rows.view(-1, *[1] * (target.ndim - 1))
            kept[name] = target.masked_fill(beside, torch.nan if target.is_floating_point() else -100)
        losses = self.losses(logits, kept)
        return sum(
            (self.tasks[name].weight * loss for name, loss in losses.items()), rows.new_zeros((), dtype=torch.float)
        )

    def _loss(self, task, logits, labels, origin=None):
        soft = task.problem_type == "single_label_classification" and labels.ndim == 2  # probabilities of the classes
        expected = logits.shape if soft or task.problem_type == "multi_label_classification" else logits.shape[:1]
        if labels.shape != expected:
            raise ValueError(f"Labels of {task.name!r} have shape {tuple(labels.shape)}; expected {tuple(expected)}.")
        logits = logits.float()
        weights = None if task.class_weights is None else torch.tensor(task.class_weights, device=logits.device)
        if task.problem_type == "single_label_classification":
            known = ~torch.isnan(labels).any(1) if soft else labels != -100
            loss = F.cross_entropy(
                logits,
                torch.where(known.unsqueeze(1), labels, 0.0).float() if soft else labels.long(),
                weights,
                ignore_index=-100,
                label_smoothing=task.label_smoothing if self.training else 0.0,
                reduction="none",
            )
        else:
            known = ~torch.isnan(labels)
            target = torch.where(known, labels, 0.0).float()
            if task.problem_type == "multi_label_classification":
                loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
            else:
                criterion = {"l1": F.l1_loss, "l2": F.mse_loss, "huber": F.huber_loss}[task.regression_loss]
                loss = criterion(logits.squeeze(-1), target, reduction="none")
                if origin is not None:
                    known = known & ~torch.isnan(origin)
                    loss = loss * torch.tanh((target - torch.where(known, origin, target)).abs())
        return (loss * known).sum() / known.sum().clamp_min(1)
