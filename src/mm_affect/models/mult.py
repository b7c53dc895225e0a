# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MulT: the Multimodal Transformer for unaligned streams.

Paper: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov (2019), "Multimodal Transformer for Unaligned Multimodal
Language Sequences", ACL. Each modality is convolved along time to a common width. As a target it attends to each
other modality through a cross-modal encoder, the results are concatenated, a self-attention encoder reads them, and
its last step represents the target. The targets are concatenated and pass a residual step, and the heads read the sum.

The defaults are those with which Dai et al. (2021), "Weakly-supervised Multi-task Learning for Multimodal Affect
Recognition", trained it as a baseline. `MulTConfig.reference()` gives the settings of the public code: kernels of 1,
and 30 features per step.

Differences from the public code, in addition to those of the encoders and convolutions
(`layers/cross_modal_encoder.py`):

* Any set of modalities is supported: each target reads all others, and a single modality is read by its self-attention
  encoder alone.
* The last step is the last real step of each row. A row without a target has zeros for it.
"""

from typing import Any, ClassVar, cast

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils.output_capturing import OutputRecorder

from ..messages import did_you_mean
from ..tasks import Task
from ..vocabulary import MODALITIES
from .configuration import FilledDict, FilledList, published_emotions
from .cross_modal_configuration import CrossModalConfig
from .layers.attention import Attention
from .layers.cpu_dropout import Dropout
from .layers.cross_modal_encoder import CrossModalEncoder, TemporalConvolution
from .layers.streams import Stream
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class MulTConfig(CrossModalConfig):
    """Configuration of MulT, in addition to the fields of `CrossModalConfig`.

    Args:
        targets: Modalities that read the others, in the order text, audio, visual; default: all.
        source_dropouts: Dropout of attention weights when a target attends to each modality; default:
            `attention_dropout`, which also applies to the self-attention encoders.
    """

    model_type = "mm_affect_mult"

    targets: FilledList = None  # type: ignore[assignment]
    source_dropouts: FilledDict = None  # type: ignore[assignment]
    embedding_dropout_prob: float | int = 0.2
    attention_dropout: float | int = 0.2

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.kernel_sizes = {"text": 3, "audio": 5, "visual": 3} | (self.kernel_sizes or {})
        self.source_dropouts = dict.fromkeys(MODALITIES, self.attention_dropout) | (self.source_dropouts or {})
        targets = self.modalities if self.targets is None else self.targets
        self.targets = [m for m in self.modalities if m in targets] + [m for m in targets if m not in self.modalities]

    def validate_targets(self):
        """Check that targets are modalities of the model and that dropouts are probabilities."""
        if not self.targets:
            raise ValueError(f"`targets` is empty; expected one or more of {', '.join(self.modalities)}.")
        for target in self.targets:
            if target not in self.modalities:
                raise ValueError(
                    f"`targets` has {target!r}, which is not in `modalities`: {', '.join(self.modalities)}."
                )
        for modality, probability in self.source_dropouts.items():
            if modality not in MODALITIES:
                raise ValueError(
                    f"`source_dropouts` has the unknown modality {modality!r}.{did_you_mean(modality, MODALITIES)}"
                )
            if not 0 <= probability < 1:
                raise ValueError(
                    f"`source_dropouts[{modality!r}]` is {probability!r}; expected at least 0 and less than 1."
                )

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "MulTConfig":
        """Return the settings of Dai et al. (2021), as far as their public code has them.

        Args:
            corpus: `"cmu_mosei"` or `"iemocap"`. There are no settings for the emotions of CMU-MOSEI; those of its
                sentiment are used instead.
            **fields: other fields.
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
        """Return the default settings of the public code, whose checkpoints can be converted."""
        settings: dict[str, Any] = {
            "hidden_size": 30, "num_attention_heads": 5, "num_hidden_layers": 5, "conv_padding": "valid",
            "kernel_sizes": {"text": 1, "audio": 1, "visual": 1}, "pe_zero_first_channel": True,
            "embedding_dropout_prob": 0.25, "attention_dropout": 0.1, "source_dropouts": {"audio": 0.0, "visual": 0.0},
            "head_dropout_prob": 0.0, "tasks": [Task("sentiment", "regression", value_range=(-3.0, 3.0))],
        }  # fmt: skip
        return cls(**settings | fields)


class MulTForAffect(AffectPreTrainedModel):
    """MulT with one linear head per task.

    The view `"fusion"` has `2 * hidden_size` features per target for three modalities. Each target has a view of its
    own, which is its last step.
    """

    config_class = MulTConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["EncoderLayer"]  # type: ignore[misc]
    _can_record_outputs: ClassVar = {  # type: ignore[misc]  # an instance variable in transformers
        "hidden_states": OutputRecorder(CrossModalEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: MulTConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
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
        """Compute the views of a batch from its streams."""
        if "text" in streams:
            streams = streams | {"text": Stream(self.dropout(streams["text"].values), streams["text"].mask)}
        projected = {m: self.projections[m](stream) for m, stream in streams.items()}
        views = {target: self._last_step(target, projected) for target in self.config.targets}
        joint = torch.cat(list(views.values()), dim=-1)
        return FusionOutput({"fusion": joint + self.residual_step(joint)} | views)

    def _last_step(self, target: str, projected: dict[str, Stream]) -> torch.Tensor:
        """Return the last step of a target that has read the other modalities, `(batch, width)`."""
        own, encoders = projected[target], cast(nn.ModuleDict, self.cross_encoders[target])
        read = [encoder(own, projected[source]).values for source, encoder in encoders.items()] or [own.values]
        return self.self_encoders[target](Stream(torch.cat(read, dim=-1), own.mask), last_only=True).values[:, 0]


AutoConfig.register(MulTConfig.model_type, MulTConfig)
AutoModel.register(MulTConfig, MulTForAffect)
