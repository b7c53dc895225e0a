# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SPT: the Sparse Phased Transformer.

Paper: Cheng, Fostiropoulos, Boehm, Soleymani (2021), "Multimodal Phased Transformer for Sentiment Analysis", EMNLP. The sparse
phased encoder (`phased.py`, which says where it differs from the public code) gives one vector per modality; they are
concatenated, pass a residual step, and the heads read the sum.

The defaults are those of the public code, which are the published settings, with the attention dropout that it names and
does not apply; `SPTConfig.reference()` does not apply it either, and gives no position to a step whose first feature is 0.
The public configuration asks for the shifts "S", "P" and "R" of the input attention in one string, and so gets none; that is
what its numbers are made with, and the default here: `input_shift=["S", "P", "R"]` is what it meant.
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from .layers.cpu_dropout import Dropout
from .layers.phased_encoder import PhasedEncoder
from .layers.streams import Stream
from .modeling import AffectPreTrainedModel, FusionOutput
from .phased_configuration import PhasedConfig


@strict
class SPTConfig(PhasedConfig):
    """Configuration of SPT: its fields are those of `PhasedConfig`."""

    model_type = "mm_affect_spt"

    @classmethod
    def reference(cls, **fields) -> "SPTConfig":
        """As the authors' public code, whose checkpoints it can hold."""
        return cls(**({"attention_dropout": 0.0, "pe_zero_first_channel": True} | fields))


class SPTForAffect(AffectPreTrainedModel):
    """SPT with one linear head per task.

    The view `"fusion"` has `hidden_size` features per modality; a modality's own view is its last hidden state.
    """

    config_class = SPTConfig
    supports_gradient_checkpointing = True

    def build(self, config: SPTConfig) -> dict[str, int]:
        self.encoder = PhasedEncoder(config)
        size = config.hidden_size * len(config.modalities)
        self.expand, self.shrink = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = Dropout(config.head_dropout_prob)
        return {"fusion": size} | dict.fromkeys(config.modalities, config.hidden_size)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        views = self.encoder(streams)
        joint = torch.cat(list(views.values()), dim=-1)
        return FusionOutput({"fusion": joint + self.shrink(self.dropout(F.relu(self.expand(joint))))} | views)


AutoConfig.register(SPTConfig.model_type, SPTConfig)
AutoModel.register(SPTConfig, SPTForAffect)
