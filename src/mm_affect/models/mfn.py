# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MFN: an LSTM per modality, attention over the change of their cell states, and a gated memory.

Paper: Zadeh, Liang, Mazumder, Poria, Cambria, Morency (2018), "Memory Fusion Network for Multi-view Sequential
Learning", AAAI; a baseline of the fusion models in Dai et al. (2021), section 4.2. At each word, the cell states of
all LSTMs at the previous and the current word are concatenated (c*). Delta-memory attention weights them (c^ =
softmax(a(c*)) c*). From c^ the model computes a proposal tanh(p(c^)) and, together with the memory u, two gates: how
much of the memory is retained, and how much of the proposal is added. The last hidden states and the last memory form
the fusion view; the head has one hidden layer.

Neither the LSTMs nor the attention read the memory, so they are computed for all steps at once, and so are the parts
of the gates that do not read it. Only one small product per layer remains in the loop over time, and only real steps
are computed.

Differences from the paper and from the public code (which agree with each other):

* An LSTM skips the steps that its modality lacks and keeps its state, so a missing modality stays at zeros. The
  memory skips the steps that all modalities lack and ends with the last step of the row.
* Each task has a head of its own on the fusion view; a head on the view of one modality, or on `"memory"`, is linear.
"""

from typing import Any, ClassVar, cast

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..tasks import Task
from .config_checks import check_dropouts, check_sizes
from .configuration import AffectConfig, FilledDict, published_emotions
from .layers.cpu_dropout import Dropout
from .layers.cpu_lstm import RaggedLSTM, first_rows, successor_counts, time_order
from .layers.packing import TimePackedRows, previous_steps, take_packed
from .layers.streams import Stream, exporting, of_one_length
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class MFNConfig(AffectConfig):
    """Configuration of MFN; the defaults are those of MMSA for CMU-MOSEI, as neither paper states its own.

    Args:
        hidden_sizes: Number of LSTM units of each modality.
        memory_size: Size of the gated memory.
        attention_size: Width of the hidden layer of the attention.
        proposal_size: Width of the hidden layer of the proposal.
        retain_size: Width of the hidden layer of the retain gate.
        update_size: Width of the hidden layer of the update gate.
        head_size: Width of the hidden layer of a head.
        attention_dropout_prob: Dropout of the hidden layer of the attention.
        proposal_dropout_prob: Dropout of the hidden layer of the proposal.
        retain_dropout_prob: Dropout of the hidden layer of the retain gate.
        update_dropout_prob: Dropout of the hidden layer of the update gate.
        head_dropout_prob: Dropout of the hidden layer of a head.
    """

    model_type = "mm_affect_mfn"
    aligner: ClassVar[str] = "given"  # the streams must be word-aligned

    hidden_sizes: FilledDict = None  # type: ignore[assignment]
    memory_size: int = 128
    attention_size: int = 128
    proposal_size: int = 128
    retain_size: int = 256
    update_size: int = 256
    head_size: int = 128
    attention_dropout_prob: float | int = 0.2
    proposal_dropout_prob: float | int = 0.5
    retain_dropout_prob: float | int = 0.7
    update_dropout_prob: float | int = 0.0
    head_dropout_prob: float | int = 0.5

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.hidden_sizes = {"text": 128, "audio": 32, "visual": 128} | (self.hidden_sizes or {})

    def validate_sizes(self):
        """Check sizes and dropout probabilities."""
        parts = ("attention", "proposal", "retain", "update", "head")
        check_sizes(self, ("memory_size", *(f"{part}_size" for part in parts)), by_modality=("hidden_sizes",))
        check_dropouts(self, tuple(f"{part}_dropout_prob" for part in parts))

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "MFNConfig":
        """Return the default settings with the emotions of `"cmu_mosei"` or `"iemocap"` of Dai et al. (2021)."""
        return cls(**published_emotions(corpus) | fields)

    @classmethod
    def reference(cls, **fields) -> "MFNConfig":
        """Return the settings with which the public code has the lowest mean absolute error on CMU-MOSI."""
        settings: dict[str, Any] = {
            "hidden_sizes": {"text": 88, "audio": 48, "visual": 16}, "memory_size": 128, "attention_size": 128,
            "proposal_size": 64, "retain_size": 256, "update_size": 64, "head_size": 64, "attention_dropout_prob": 0.0,
            "proposal_dropout_prob": 0.2, "retain_dropout_prob": 0.0, "update_dropout_prob": 0.2,
            "head_dropout_prob": 0.5,
        }  # fmt: skip
        return cls(**settings | fields)


class HiddenLayer(nn.Sequential):
    """Two linear layers with ReLU and dropout between them."""

    def __init__(self, input_size: int, size: int, output_size: int, dropout: float):
        super().__init__(nn.Linear(input_size, size), nn.ReLU(), Dropout(dropout), nn.Linear(size, output_size))


class DeltaMemoryAttention(GradientCheckpointingLayer):
    """Delta-memory attention and the proposal for the gated memory."""

    def __init__(self, config: MFNConfig, size: int):
        super().__init__()
        self.attention = HiddenLayer(size, config.attention_size, size, config.attention_dropout_prob)
        self.proposal = HiddenLayer(size, config.proposal_size, config.memory_size, config.proposal_dropout_prob)

    def forward(self, changes):
        """Return the attended cell states c^ and the proposal u^ of every step.

        Args:
            changes: cell states of all modalities at the previous and the current step, `(steps, size)`.
        """
        attended = self.attention(changes).softmax(-1) * changes
        return attended, self.proposal(attended).tanh()


class Gating(torch.autograd.Function):
    """Memory after every packed step, `(steps, memory)`.

    `given` `(steps, retain + update)` is the part of the hidden layers of both gates that does not depend on the
    memory, `kept` their dropout factors, and `recurrent` `(retain + update, memory)` the weights that read the
    memory; weight and bias of the output of each gate follow. As in `Recurrence`, the loops contain only what depends
    on the previous step.
    """

    @staticmethod
    def forward(context, given, kept, proposal, recurrent, retain, retain_bias, update, update_bias, sizes: list[int]):
        """Run the recurrence over time."""
        parts = [retain.shape[1], update.shape[1]]
        hidden, memory = given.clone(), torch.empty_like(proposal)
        gates = torch.cat([retain_bias, update_bias]).repeat(len(given), 1)
        retained, updated = gates.chunk(2, dim=1)
        met, meeting = successor_counts(sizes)
        hidden_met, memory_met, retained_met = (first_rows(part, sizes, met) for part in (hidden, memory, retained))
        memory_then = first_rows(memory, sizes, meeting)
        hidden_at, kept_at, gates_at, retained_at, updated_at, proposal_at, memory_at, *parts_at = (
            part.split(sizes)
            for part in (hidden, kept, gates, retained, updated, proposal, memory, *hidden.split(parts, dim=1))
        )
        for now, then in time_order(len(sizes)):
            hidden_met[now].addmm_(memory_then[then], recurrent.t())
            hidden_at[now].relu_().mul_(kept_at[now])
            retained_at[now].addmm_(parts_at[0][now], retain.t())
            updated_at[now].addmm_(parts_at[1][now], update.t())
            gates_at[now].sigmoid_()
            torch.mul(updated_at[now], proposal_at[now], out=memory_at[now])
            memory_met[now].addcmul_(retained_met[now], memory_then[then])
        context.sizes = sizes
        context.save_for_backward(hidden, gates, memory, kept, proposal, recurrent, retain, update)
        return memory

    @staticmethod
    @once_differentiable
    def backward(context, to_memory):
        """Run the recurrence backward over time."""
        hidden, gates, memory, kept, proposal, recurrent, retain, update = context.saved_tensors
        sizes, parts = context.sizes, [retain.shape[1], update.shape[1]]
        retained, updated = gates.chunk(2, dim=1)
        earlier = memory.index_select(0, previous_steps(sizes, memory.device))
        before = F.pad(earlier, (0, 0, len(memory) - len(earlier), 0))
        to_gates = torch.ops.aten.sigmoid_backward(torch.cat([before, proposal], dim=1), gates)
        to_hidden, to_memory, open_ = torch.empty_like(hidden), to_memory.clone(), kept * (hidden > 0)
        met, meeting = successor_counts(sizes)
        to_hidden_met, to_memory_met, retained_met = (
            first_rows(part, sizes, met) for part in (to_hidden, to_memory, retained)
        )
        to_memory_then = first_rows(to_memory, sizes, meeting)
        to_parts, to_two = to_hidden.split(parts, dim=1), to_gates.chunk(2, dim=1)
        to_hidden_at, open_at, both_at, to_both_at, retain_at, update_at, to_retain_at, to_update_at = (
            part.split(sizes)
            for part in (to_hidden, open_, to_gates.unflatten(1, (2, -1)), to_memory.unsqueeze(1), *to_two, *to_parts)
        )
        for now, then in reversed(time_order(len(sizes))):
            both_at[now].mul_(to_both_at[now])
            torch.mm(retain_at[now], retain, out=to_retain_at[now])
            torch.mm(update_at[now], update, out=to_update_at[now])
            to_hidden_at[now].mul_(open_at[now])
            to_memory_then[then].addcmul_(to_memory_met[now], retained_met[now]).addmm_(to_hidden_met[now], recurrent)
        of_outputs = []
        for gate, part in zip(to_two, hidden.split(parts, dim=1)):
            of_outputs += [gate.t() @ part, gate.sum(0)]
        return to_hidden, None, to_memory * updated, to_hidden.t() @ before, *of_outputs, None


class GatedMemory(GradientCheckpointingLayer):
    """Gated memory: `u = retain * u + update * proposal` at every step, starting from zeros."""

    def __init__(self, config: MFNConfig, size: int):
        super().__init__()
        input_size = size + config.memory_size
        self.retain = HiddenLayer(input_size, config.retain_size, config.memory_size, config.retain_dropout_prob)
        self.update = HiddenLayer(input_size, config.update_size, config.memory_size, config.update_dropout_prob)

    def forward(self, attended, proposal, sizes: list[int]):
        """Return the memory after every step, `(steps, size)`."""
        parts: Any = zip(self.retain, self.update)
        first, _, dropouts, last = parts
        weight = torch.cat([layer.weight for layer in first])
        with torch.autocast(weight.device.type, enabled=False):
            attended, proposal = attended.to(weight.dtype), proposal.to(weight.dtype)
            of_attended, of_memory = weight.split([attended.shape[1], proposal.shape[1]], dim=1)
            given = F.linear(attended, of_attended, torch.cat([layer.bias for layer in first]))
            if exporting():
                return self._scanned(given, proposal, of_memory, sizes)
            kept = [drop(given.new_ones(len(given), layer.out_features)) for drop, layer in zip(dropouts, first)]
            outputs = [part for layer in last for part in (layer.weight, layer.bias)]
            return Gating.apply(given, torch.cat(kept, dim=1), proposal, of_memory, *outputs, sizes)

    def _scanned(self, given, proposal, recurrent, real):
        """Compute `Gating` as a loop of an exported graph, over steps `(times, batch)` with the mask `real`."""
        from torch._higher_order_ops.scan import scan

        retain, update = self.retain[-1], self.update[-1]

        def step(memory, now):
            added, proposed = now
            hidden = F.relu(added + memory @ recurrent.t()).split([retain.in_features, update.in_features], dim=1)
            memory = retain(hidden[0]).sigmoid() * memory + update(hidden[1]).sigmoid() * proposed
            return memory, memory.clone()

        start = proposal.new_zeros(real.shape[1], proposal.shape[1])
        steps = given.unflatten(0, real.shape), proposal.unflatten(0, real.shape)
        return scan(step, start, steps)[1].flatten(0, 1)


class MFNForAffect(AffectPreTrainedModel):
    """MFN; its views are `"fusion"` (hidden states and memory), one per modality, and `"memory"`."""

    config_class = MFNConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["DeltaMemoryAttention", "GatedMemory"]  # type: ignore[misc]

    def build(self, config: MFNConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        sizes = {m: config.hidden_sizes[m] for m in config.modalities}
        total = sum(sizes.values())
        self.lstms = nn.ModuleDict({m: RaggedLSTM(config.feature_sizes[m], size) for m, size in sizes.items()})
        self.attention = DeltaMemoryAttention(config, 2 * total)
        self.memory = GatedMemory(config, 2 * total)
        return {"fusion": total + config.memory_size} | sizes | {"memory": config.memory_size}

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task."""
        if task.view != "fusion":
            return nn.Linear(size, task.num_outputs)
        return HiddenLayer(size, self.config.head_size, task.num_outputs, self.config.head_dropout_prob)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        streams = of_one_length(streams)
        words = TimePackedRows(torch.stack([stream.mask for stream in streams.values()]).any(0))
        views, cells = {}, []
        for m, (values, mask) in streams.items():
            own = TimePackedRows(mask)
            hidden, cell = cast(RaggedLSTM, self.lstms[m]).states(own.pack(values), own.sizes)
            views[m] = own.last(hidden)
            cells.append(take_packed(cell, words.pack(own.latest)))
        now = torch.cat(cells, dim=1)
        attended, proposal = self.attention(torch.cat([words.before(now), now], dim=1))
        views["memory"] = words.last(self.memory(attended, proposal, words.sizes))
        return FusionOutput({"fusion": torch.cat(list(views.values()), dim=1)} | views)


AutoConfig.register(MFNConfig.model_type, MFNConfig)
AutoModel.register(MFNConfig, MFNForAffect)
