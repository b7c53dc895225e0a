# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sparse phased encoder of SPT and SUGRM.

Paper: Cheng, Fostiropoulos, Boehm, Soleymani (2021), "Multimodal Phased Transformer for Sentiment Analysis", EMNLP;
summarized in section 3.2.1 of SUGRM. A few hidden states per modality attend to their input, then to each other, then
to themselves, always through windows of fixed width, so that the cost grows linearly with the length. One layer of
weights is applied several times, and each time the windows are shifted (phase shifts). Rows are packed (see
`packing.PackedPositions`).

Differences from the public code:

* Input projections are computed before the windows are gathered, and once instead of per layer: weights and inputs are
  the same.
* Padding has no influence: a row has as many hidden states as its own length requires, windows wrap around its own
  length, and its own last hidden state represents it. Without a mask this equals the public code.
* Attention dropout is applied (`reference()` sets it to 0: the public code passes it on but never uses it). The
  random shift is drawn in training only, and for the visual stream from its own length instead of that of the text.
* The layer norm of the keys of self attention, which the public code never uses, is omitted: 192 parameters less.
* A row without a modality has no hidden states of it, and a missing context adds no attention.
* Only the last hidden state of a modality is read, so only what it depends on is computed (`PhasePlan`), with the same
  result. With the published windows and shifts this is little of a long row: at most 297 steps near the ends of
  streams of equal length.
"""

from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from .cpu_dropout import Dropout
from .cpu_window_attention import Subset, WindowAttention, Windows, join_windows
from .packing import PackedPositions
from .positions import SinusoidalPositions
from .streams import Stream, exporting, front_places, longest
from .xavier_linear import XavierLinear


SAME_SHIFT, PERIODIC_SHIFT, RANDOM_SHIFT = 1, 0.25, 0.05  # A, B and G in the paper
# Pairs of reader and context; the opposite direction uses the same weights with swapped roles.
CROSS = (("audio", "text"), ("text", "visual"), ("visual", "audio"))


class Phase(NamedTuple):
    """One application of the layer: which hidden states attend to what.

    Places are indices into the hidden states that are computed.

    Args:
        input: windows of all its hidden states on the input.
        readers: hidden states that attend to other modalities.
        cross: windows of the readers on each other modality; None if there is none.
        counts: number of readers of each modality.
        kept: readers that are returned.
        own: windows of the returned hidden states on the readers.
    """

    input: Windows
    readers: torch.Tensor
    cross: Windows | None
    counts: list[int]
    kept: torch.Tensor
    own: Windows


class PhasePlan:
    """Everything that the last hidden state of each row, the only one that is read, depends on.

    Windows are narrow: the last pass needs the few hidden states in the window of the last one, the pass before it
    those in the windows of these, and so on. The plan is therefore built from the last pass to the first. The rows of
    a modality follow those of the previous one: row `r` of modality `m` is row `m * batch + r`.

    Args:
        config: configuration of SPT or SUGRM.
        masks: real steps of each modality, `(batch, length)`.
        training: draw random shifts.

    Attributes:
        steps: positions of all steps of the input.
        hidden: positions of all possible hidden states.
        last: the last hidden state of each row.
        phases: the passes, in order.
        first: hidden states that the first pass starts with.
        read: steps of the input that are read.
    """

    def __init__(self, config: PreTrainedConfig, masks: list[torch.Tensor], training: bool):
        self.config, self.training, self.modalities, self.batch = config, training, len(masks), masks[0].shape[0]
        rooms = [mask.shape[1] for mask in masks]
        self.steps = PackedPositions(torch.cat([mask.sum(1) for mask in masks]), rooms)
        self.hidden = PackedPositions(
            -(-self.steps.lengths // config.stride), [-(-room // config.stride) for room in rooms]
        )
        ends = self.hidden.first + self.hidden.lengths - 1
        self.last = ends.clamp_min(0) if exporting() else ends[self.hidden.lengths > 0]
        self.phases: list[Phase] = []
        chosen = Subset(self.hidden.count, self.last)
        for number in reversed(range(config.num_hidden_layers)):
            chosen = self.prepend(number, chosen)
        self.first = chosen.places
        read = Subset(self.steps.count, *(phase.input.places for phase in self.phases))
        self.phases = [phase._replace(input=phase.input.among(read)) for phase in self.phases]
        self.read = read.places

    def prepend(self, number: int, kept: Subset) -> Subset:
        """Insert pass `number`, which returns the hidden states `kept`, at the front; return what it starts with."""
        own = self.look("self", number, kept)
        readers = Subset(self.hidden.count, kept.places, own.places)
        cross = [self.look("cross", number, readers, turn) for turn in range(1, self.modalities)]
        start = Subset(self.hidden.count, readers.places, *(windows.places for windows in cross))
        phase = Phase(
            self.look("input", number, start),
            start.number[readers.places],
            join_windows([windows.among(start) for windows in cross], start.places.shape[0]) if cross else None,
            self.counts(self.hidden, readers.places),
            readers.number[kept.places],
            own.among(readers),
        )
        self.phases.insert(0, phase)
        return start

    def look(self, kind: str, number: int, chosen: Subset, turn: int = 0) -> Windows:
        """Return the windows of hidden states in a pass.

        Window step k of hidden state i is step (i + 1) stride - width + shift + k of the context.

        Args:
            kind: kind of attention: `"input"`, `"cross"` or `"self"`.
            number: number of the pass.
            chosen: the hidden states.
            turn: offset of the modality that they attend to from their own.
        """
        row, position = self.hidden.row[chosen.places], self.hidden.position[chosen.places]
        context, stride = (self.steps, self.config.stride) if kind == "input" else (self.hidden, 1)
        width = 2 * self.config.radii[("input", "cross", "self").index(kind)] + 1
        start = (position + 1) * stride - width + self.shift(kind, number, row, position)
        place = start + torch.arange(width, device=start.device).unsqueeze(1)
        other, rows = row + turn * self.batch, context.lengths.shape[0]
        other = torch.where(other < rows, other, other - rows)
        length = context.lengths[other]
        inside = (place >= 0) & (place < length) if self.config.window == "clip" else (length > 0).expand(width, -1)
        places = (context.first[other] + place % length.clamp_min(1)).clamp_max(context.count - 1)
        return Windows(
            places, None if not exporting() and inside.all() else inside, self.counts(self.hidden, chosen.places)
        )

    def shift(self, kind: str, number: int, row: torch.Tensor, position: torch.Tensor) -> int | torch.Tensor:
        """Return the phase shift of hidden states in pass `number`: an int, or one for each."""
        letters, length = getattr(self.config, f"{kind}_shift"), self.steps.lengths[row]
        shift: int | torch.Tensor = 0
        if "S" in letters:
            shift = shift + number * SAME_SHIFT
        if "P" in letters:
            shift = shift + (length * torch.sin(position * PERIODIC_SHIFT)).long()
        if "R" in letters and self.training:
            below = torch.ceil(RANDOM_SHIFT * length / self.hidden.lengths[row])
            shift = shift + (torch.rand(len(below), device=below.device) * below).long()
        return shift

    def counts(self, rows: PackedPositions, places) -> list[int]:
        """Return how many of `places` in `rows` belong to each modality."""
        if exporting():
            return rows.group_counts
        return torch.bincount(rows.row[places] // self.batch, minlength=self.modalities).tolist()


class PhasedBlock(nn.Module):
    """Weights of one attention and its feed-forward step, both pre-norm.

    Args:
        config: configuration of SPT or SUGRM.
        memory_size: features per step of the context; None if the context is hidden states, which share the query's
            norm.
    """

    def __init__(self, config: PreTrainedConfig, memory_size: int | None = None):
        super().__init__()
        size = config.hidden_size
        self.norm = nn.LayerNorm(size)
        self.memory_norm = None if memory_size is None else nn.LayerNorm(memory_size)
        memory_size = memory_size or size
        fans = 2 * size + 2 * memory_size
        self.query = XavierLinear(size, size, fans)
        self.key = XavierLinear(memory_size, size, fans)
        self.value = XavierLinear(memory_size, size, fans)
        self.output = XavierLinear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.expand = XavierLinear(size, 4 * size)
        self.dropout = Dropout(config.activation_dropout)
        self.shrink = XavierLinear(4 * size, size)

    def ask(self, hidden: torch.Tensor, reverse: bool) -> torch.Tensor:
        """Return the queries of hidden states; `reverse` swaps the roles of query and key."""
        return (self.key if reverse else self.query)(self.norm(hidden))

    def remember(self, steps: torch.Tensor, reverse: bool = False) -> torch.Tensor:
        """Return concatenated keys and values of a context `(steps, memory size)`; `reverse` as in `ask`."""
        key = self.query if reverse else self.key
        weight = torch.cat([key.weight, self.value.weight])
        norm = self.norm if self.memory_norm is None else self.memory_norm
        return F.linear(norm(steps), weight, torch.cat([key.bias, self.value.bias]))

    def feed_forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the output of the feed-forward step."""
        return self.shrink(self.dropout(F.relu(self.expand(self.feed_forward_norm(hidden)))))


def get_blocks(blocks: nn.ModuleDict) -> list[PhasedBlock]:
    """Return the blocks in their order."""
    return cast(list[PhasedBlock], list(blocks.values()))


class PhasedLayer(GradientCheckpointingLayer):
    """Input, cross and self attention of the hidden states `(hidden states, size)` of all modalities in sequence."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.heads, modalities = config.num_attention_heads, config.modalities
        pairs = [(a, b) for a, b in CROSS if a in modalities and b in modalities]
        self.input_attention = nn.ModuleDict({m: PhasedBlock(config, config.feature_sizes[m]) for m in modalities})
        self.cross_attention = nn.ModuleDict({f"{a}_{b}": PhasedBlock(config, config.hidden_size) for a, b in pairs})
        self.self_attention = nn.ModuleDict({m: PhasedBlock(config) for m in modalities})
        self.attention_dropout = Dropout(config.attention_dropout, inplace=True)
        self.dropout = Dropout(config.hidden_dropout_prob, inplace=True)
        names = {(a, b): (f"{a}_{b}", False) for a, b in pairs} | {(b, a): (f"{a}_{b}", True) for a, b in pairs}
        self.turns = [  # per turn and reader: name of the block, True if roles are swapped
            [names[m, modalities[(i + turn) % len(modalities)]] for i, m in enumerate(modalities)]
            for turn in range(1, len(modalities))
        ]

    def forward(self, hidden, memory, phase: Phase):
        """Return the hidden states that `phase` keeps; `memory` is that of the input."""
        blocks = [(block, False) for block in get_blocks(self.input_attention)]
        hidden = self.attend(blocks, hidden, memory, phase.input)
        parts, hidden = hidden.split(phase.input.counts), hidden.index_select(0, phase.readers)
        if phase.cross is not None:
            cross = dict(zip(self.cross_attention, get_blocks(self.cross_attention)))
            turns = [[(cross[name], reverse) for name, reverse in turn] for turn in self.turns]
            memory = torch.cat([
                turn[i - number][0].remember(part, turn[i - number][1])  # the block of the reader `number` modalities before
                for number, turn in enumerate(turns, start=1)
                for i, part in enumerate(parts)
            ])  # fmt: skip
            read = self.attend(
                [pair for turn in turns for pair in turn], torch.cat([hidden] * len(turns)), memory, phase.cross
            )
            hidden = read.unflatten(0, (len(turns), -1)).sum(0)
        blocks = [(block, False) for block in get_blocks(self.self_attention)]
        memory = torch.cat([block.remember(part) for (block, _), part in zip(blocks, hidden.split(phase.counts))])
        return self.attend(blocks, hidden.index_select(0, phase.kept), memory, phase.own)

    def attend(self, blocks: list[tuple[PhasedBlock, bool]], hidden, memory, windows: Windows) -> torch.Tensor:
        """Return hidden states after attention to a memory and the feed-forward step.

        The first `windows.counts[0]` hidden states use the first block, the next `windows.counts[1]` the second, and
        so on.
        """
        parts, kept = hidden.split(windows.counts), None
        query = torch.cat([block.ask(part, reverse) for (block, reverse), part in zip(blocks, parts)])
        if self.training and self.attention_dropout.p:
            kept = self.attention_dropout(query.new_ones(self.heads, *windows.places.shape))
        parts = WindowAttention.apply(query, memory, windows, self.heads, kept).split(windows.counts)
        attended = torch.cat([block.output(part) for (block, _), part in zip(blocks, parts)])
        if windows.real is not None:
            attended = attended.masked_fill(~windows.real.any(0).unsqueeze(1), 0.0)
        hidden = hidden + self.dropout(attended)
        parts = hidden.split(windows.counts)
        fed = torch.cat([block.feed_forward(part) for (block, _), part in zip(blocks, parts)])
        return hidden + self.dropout(fed)


class PhasedEncoder(nn.Module):
    """Encoder of streams into one vector per modality."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.config = config
        self.positions = SinusoidalPositions(first=1, skip_zeros=config.pe_zero_first_channel)
        self.initial = nn.Parameter(torch.empty(len(config.modalities), config.hidden_size))
        self.dropout = Dropout(config.embedding_dropout_prob, inplace=True)
        self.layer = PhasedLayer(config)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the initial hidden states."""
        nn.init.xavier_uniform_(self.initial)

    def forward(self, streams: dict[str, Stream]) -> dict[str, torch.Tensor]:
        """Return the last hidden state of each modality, `(batch, size)`; zeros for a missing modality."""
        plan = PhasePlan(self.config, [stream.mask for stream in streams.values()], self.training)
        memory, parts = [], plan.read.split(plan.counts(plan.steps, plan.read))
        blocks = get_blocks(self.layer.input_attention)
        for i, (block, stream, read) in enumerate(zip(blocks, streams.values(), parts)):
            real = (front_places(stream.mask) if exporting() else stream.mask.flatten().nonzero()).flatten()
            steps = stream.values.flatten(0, 1).index_select(0, real[read - plan.steps.first[i * plan.batch]])
            steps = self.embed(steps, plan.steps.position[read], stream.mask.shape[1])
            memory.append(block.remember(steps))
        initial = self.initial.unsqueeze(1).expand(-1, plan.batch, -1).flatten(0, 1)
        hidden = initial.index_select(0, plan.hidden.row[plan.first])
        room = longest(streams.values())
        hidden, context = self.embed(hidden, plan.hidden.position[plan.first], room), torch.cat(memory)
        for phase in plan.phases:
            hidden = self.layer(hidden, context, phase)
        last = self.norm(hidden)
        if exporting():
            views = last.index_select(0, plan.last).masked_fill(plan.hidden.lengths.unsqueeze(1) == 0, 0.0)
        else:
            views = last.new_zeros(len(plan.hidden.lengths), last.shape[1])
            views = views.index_copy(0, plan.hidden.row[plan.last], last)
        return dict(zip(streams, views.unflatten(0, (len(streams), -1))))

    def embed(self, packed, position, longest: int):
        """Return scaled steps `(steps, size)` with their positions."""
        return self.dropout(self.positions.place(packed * self.config.hidden_size**0.5, position, longest))
