# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SPT: the Sparse Phased Transformer.

Paper: Cheng, Fostiropoulos, Boehm, Soleymani (2021), "Multimodal Phased Transformer for Sentiment Analysis", EMNLP.
The sparse phased encoder gives one vector per modality. The vectors are concatenated and pass a residual step, and
the heads read the sum.

The defaults are the published settings, as in the public code.

Differences from the public code, in addition to those of the encoder (`layers/phased_encoder.py`):

* Attention dropout is applied; the public code has the setting but does not use it. `SPTConfig.reference()` turns it
  off, and gives no position to a step whose first feature is 0, as the public code does.

The public configuration requests the shifts "S", "P" and "R" of input attention as one string, which its code
ignores, so the published results were obtained without them. That is the default here; `input_shift=["S", "P", "R"]`
is the intended setting.
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
    """Configuration of SPT, with the fields of `PhasedConfig`."""

    model_type = "mm_affect_spt"

    @classmethod
    def reference(cls, **fields) -> "SPTConfig":
        """Return the settings of the public code, whose checkpoints can be converted."""
        return cls(**({"attention_dropout": 0.0, "pe_zero_first_channel": True} | fields))


class SPTForAffect(AffectPreTrainedModel):
    """SPT with one linear head per task.

    The view `"fusion"` has `hidden_size` features per modality. Each modality has a view of its own, which is its
    last hidden state.
    """

    config_class = SPTConfig
    supports_gradient_checkpointing = True

    def build(self, config: SPTConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        self.encoder = PhasedEncoder(config)
        size = config.hidden_size * len(config.modalities)
        self.expand, self.shrink = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = Dropout(config.head_dropout_prob)
        return {"fusion": size} | dict.fromkeys(config.modalities, config.hidden_size)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        views = self.encoder(streams)
        joint = torch.cat(list(views.values()), dim=-1)
        return FusionOutput({"fusion": joint + self.shrink(self.dropout(F.relu(self.expand(joint))))} | views)


AutoConfig.register(SPTConfig.model_type, SPTConfig)
AutoModel.register(SPTConfig, SPTForAffect)
