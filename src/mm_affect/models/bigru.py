# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Late fusion of bidirectional GRUs: the baseline of Khare et al. (2021).

Paper: Khare, Parthasarathy, Sundaram (2021), "Multi-modal embeddings using multi-task learning for emotion
recognition", section 4.1. Each modality is encoded by a bidirectional GRU of two layers with 200 units per direction.
The outputs at the last step of all modalities are concatenated and classified by a hidden layer of 100 units. There
is no public code.

Differences from the paper, and choices where it is silent:

* The GRUs are read at the last real step, so that padding has no influence. The backward direction of the last layer
  has read only one step there and does not train its recurrent weights (120,000 per modality);
  `pooling="final_states"` reads each direction at its own end instead.
* The hidden layer is followed by a ReLU. Dropout is applied between GRU layers and before the output; the paper does
  not state a probability, and 0.1 is used.
* A missing modality contributes zeros.
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..tasks import Task
from .config_checks import check_choices, check_dropouts, check_sizes
from .configuration import AffectConfig
from .layers.streams import Stream, last_real, take_steps, to_front
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class BiGRUConfig(AffectConfig):
    """Configuration of the late-fusion BiGRU; the defaults are those of the paper (8,530,306 parameters).

    Args:
        hidden_size: Number of units per direction.
        num_hidden_layers: Number of GRU layers per modality.
        head_size: Width of the hidden layer before the output.
        pooling: Part of the GRU outputs that is read: `"last_step"` or `"final_states"`.
        hidden_dropout_prob: Dropout between GRU layers and before the output.
    """

    model_type = "mm_affect_bigru"

    hidden_size: int = 200
    num_hidden_layers: int = 2
    head_size: int = 100
    pooling: str = "last_step"
    hidden_dropout_prob: float | int = 0.1

    def __post_init__(self, **kwargs):
        self.feature_sizes = {"text": 300, "audio": 200, "visual": 4096} | (self.feature_sizes or {})
        super().__post_init__(**kwargs)

    def validate_layers(self):
        """Check sizes, dropout and pooling."""
        check_sizes(self, ("hidden_size", "num_hidden_layers", "head_size"))
        check_dropouts(self, ("hidden_dropout_prob",))
        check_choices(self, {"pooling": ("last_step", "final_states")})


class BiGRU(nn.Module):
    """One bidirectional GRU layer over streams whose real steps stand at the front.

    The two directions are unidirectional GRUs, and the backward one reads each row reversed within its own length.
    This equals packed sequences and is several times faster on a CPU.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.forward_gru = nn.GRU(input_size, hidden_size, batch_first=True)
        self.backward_gru = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, stream: Stream) -> Stream:
        """Return the outputs of both directions, `2 * hidden_size` features per step."""
        values, mask = stream
        position = torch.arange(mask.shape[1], device=mask.device)
        reverse = (mask.sum(1, keepdim=True) - 1 - position).clamp_min(0)
        ahead, _ = self.forward_gru(values)
        back, _ = self.backward_gru(take_steps(values, reverse))
        return Stream(torch.cat([ahead, take_steps(back, reverse)], dim=-1), mask).cleaned()


class GRUBranch(GradientCheckpointingLayer):
    """GRU layers of one modality with pooling."""

    def __init__(self, config: BiGRUConfig, input_size: int):
        super().__init__()
        sizes = [input_size] + [2 * config.hidden_size] * (config.num_hidden_layers - 1)
        self.layers = nn.ModuleList(BiGRU(size, config.hidden_size) for size in sizes)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pooling = config.pooling

    def forward(self, values, mask):
        """Return the pooled outputs, `(batch, 2 * hidden_size)`."""
        stream = to_front(Stream(values, mask))
        for i, layer in enumerate(self.layers):
            stream = layer(Stream(self.dropout(stream.values), stream.mask) if i else stream)
        last = last_real(*stream)
        if self.pooling == "last_step":
            return last
        half = last.shape[-1] // 2
        return torch.cat([last[:, :half], stream.values[:, 0, half:]], dim=-1)


class BiGRUForAffect(AffectPreTrainedModel):
    """Late-fusion BiGRU; its views are `"fusion"` and one per modality."""

    config_class = BiGRUConfig
    supports_gradient_checkpointing = True

    def build(self, config: BiGRUConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        self.branches = nn.ModuleDict({m: GRUBranch(config, size) for m, size in config.feature_sizes.items()})
        size = 2 * config.hidden_size
        return {"fusion": size * len(config.modalities)} | dict.fromkeys(config.modalities, size)

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task."""
        dropout = nn.Dropout(self.config.hidden_dropout_prob)
        hidden = self.config.head_size
        return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), dropout, nn.Linear(hidden, task.num_outputs))

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        views = {m: branch(*streams[m]) for m, branch in self.branches.items()}
        return FusionOutput({"fusion": torch.cat([views[m] for m in self.config.modalities], dim=-1)} | views)


AutoConfig.register(BiGRUConfig.model_type, BiGRUConfig)
AutoModel.register(BiGRUConfig, BiGRUForAffect)
