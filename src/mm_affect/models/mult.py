# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MulT: the Multimodal Transformer for unaligned streams.

Paper: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov (2019), "Multimodal Transformer for Unaligned Multimodal Language
Sequences", ACL. Each modality is convolved along time to one width. As a target it reads each other modality through an
encoder of its own, the results stand side by side, a self-attention encoder reads them, and its last step represents the
target. The targets are concatenated and pass a residual step; the heads read the sum.

The defaults are those with which Dai et al. (2021), "Weakly-supervised Multi-task Learning for Multimodal Affect
Recognition", trained it as a peer, and `MulTConfig.reference()` is the authors' public code: kernels of 1, 30 features per
step. `cross_modal.py` says where the encoders and convolutions differ from that code. Besides:

* Whatever modalities there are, each reads all others; one alone is read by its self-attention encoder.
* The last step is the last real one of each row. A row without a target has zeros for it.
"""

from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils.output_capturing import OutputRecorder

from ..messages import did_you_mean
from ..tasks import Task
from ..vocabulary import MODALITIES
from .configuration import published_emotions
from .cross_modal_configuration import CrossModalConfig
from .layers.attention import Attention
from .layers.cpu_dropout import Dropout
from .layers.cross_modal_encoder import CrossModalEncoder, TemporalConvolution
from .layers.streams import Stream
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class MulTConfig(CrossModalConfig):
    """Configuration of MulT: the fields of `CrossModalConfig`, and

    Args:
        targets: the modalities that read the others, in the order text, audio, visual; default: all.
        source_dropouts: dropout of the weights by which a target attends to each modality; default: `attention_dropout`,
            which is that of the self-attention encoders.
    """

    model_type = "mm_affect_mult"

    targets: list | tuple | None = None
    source_dropouts: dict | None = None
    embedding_dropout_prob: float | int = 0.2
    attention_dropout: float | int = 0.2

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.kernel_sizes = {"text": 3, "audio": 5, "visual": 3} | (self.kernel_sizes or {})
        self.source_dropouts = dict.fromkeys(MODALITIES, self.attention_dropout) | (self.source_dropouts or {})
        wanted = self.modalities if self.targets is None else self.targets
        self.targets = [m for m in self.modalities if m in wanted] + [m for m in wanted if m not in self.modalities]

    def validate_targets(self):
        if not self.targets:
            raise ValueError(f"`targets` is empty; name at least one of {', '.join(self.modalities)}.")
        for target in self.targets:
            if target not in self.modalities:
                raise ValueError(f"`targets` names {target!r}, which `modalities` has not.")
        for modality, probability in self.source_dropouts.items():
            if modality not in MODALITIES:
                raise ValueError(f"`source_dropouts` names {modality!r}.{did_you_mean(modality, MODALITIES)}")
            if not 0 <= probability < 1:
                raise ValueError(
                    f"`source_dropouts[{modality!r}]` is {probability!r}; it must be at least 0 and less than 1."
                )

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "MulTConfig":
        """The settings of Dai et al. for `"cmu_mosei"` or `"iemocap"`, as far as their public code tells them.

        It has none for the emotions of CMU-MOSEI; those of its sentiment stand in.
        """
        fields = published_emotions(corpus) | fields
        if corpus == "iemocap":
            fields = {
                "num_attention_heads": 10, "future_mask": False, "attention_dropout": 0.25,
                "embedding_dropout_prob": 0.3,
            } | fields  # fmt: skip
        return cls(**fields)

    @classmethod
    def reference(cls, **fields) -> "MulTConfig":
        """As the authors' public code and its default settings; its checkpoints can be held."""
        return cls(**(
            {"hidden_size": 30, "num_attention_heads": 5, "num_hidden_layers": 5, "conv_padding": "valid",
             "kernel_sizes": {"text": 1, "audio": 1, "visual": 1}, "pe_zero_first_channel": True,
             "embedding_dropout_prob": 0.25, "attention_dropout": 0.1, "source_dropouts": {"audio": 0.0, "visual": 0.0},
             "head_dropout_prob": 0.0, "tasks": [Task("sentiment", "regression", value_range=(-3.0, 3.0))]} | fields
        ))  # fmt: skip


class MulTForAffect(AffectPreTrainedModel):
    """MulT with one linear head per task.

    The view `"fusion"` has `2 * hidden_size` features per target, of three modalities; a target's own view is its last step.
    """

    config_class = MulTConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["EncoderLayer"]
    _can_record_outputs: ClassVar = {
        "hidden_states": OutputRecorder(CrossModalEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: MulTConfig) -> dict[str, int]:
        width, layers = config.hidden_size * max(1, len(config.modalities) - 1), config.num_hidden_layers
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.projections = nn.ModuleDict({m: TemporalConvolution(config, m) for m in config.modalities})
        self.cross_encoders, self.self_encoders = nn.ModuleDict(), nn.ModuleDict()
        for target in config.targets:
            self.cross_encoders[target] = nn.ModuleDict(
                {
                    source: CrossModalEncoder(config, config.hidden_size, layers, config.source_dropouts[source])
                    for source in config.modalities
                    if source != target
                }
            )
            self.self_encoders[target] = CrossModalEncoder(config, width, max(layers, 3), config.attention_dropout)
        size = width * len(config.targets)
        dropout = Dropout(config.head_dropout_prob)
        self.residual_step = nn.Sequential(nn.Linear(size, size), nn.ReLU(), dropout, nn.Linear(size, size))
        return {"fusion": size} | dict.fromkeys(config.targets, width)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        if "text" in streams:
            streams = streams | {"text": Stream(self.dropout(streams["text"].values), streams["text"].mask)}
        projected = {m: self.projections[m](stream) for m, stream in streams.items()}
        views = {target: self._last_step(target, projected) for target in self.config.targets}
        joint = torch.cat(list(views.values()), dim=-1)
        return FusionOutput({"fusion": joint + self.residual_step(joint)} | views)

    def _last_step(self, target: str, projected: dict[str, Stream]) -> torch.Tensor:
        """What the target knows at its last step, having read the other modalities."""
        own, encoders = projected[target], self.cross_encoders[target]
        read = [encoder(own, projected[source]).values for source, encoder in encoders.items()] or [own.values]
        return self.self_encoders[target](Stream(torch.cat(read, dim=-1), own.mask), last_only=True).values[:, 0]


AutoConfig.register(MulTConfig.model_type, MulTConfig)
AutoModel.register(MulTConfig, MulTForAffect)
