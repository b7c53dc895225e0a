# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""LMR-CBT: modality-fused representations with the CB-Transformer, from unaligned streams.

Paper: Fu, Liu, Wang, Zhang, Zhou, Qi (2021), "LMR-CBT: Learning Modality-fused Representations with CB-Transformer for
Multimodal Emotion Recognition from Unaligned Multimodal Sequences". Audio and visual pass a temporal convolution with
batch norm, and text passes a BiLSTM. Encoders represent each source by one vector, cross-modal blocks add the vectors
to the target, and a third encoder reads the result (global self-attention). The three vectors are concatenated and
passed to the head.

Differences from the paper or from the public code:

* The BiLSTM runs along time. In the public code it runs along the batch, so predictions depend on the other rows.
* The following is not in the paper and taken from the public code, with a config field each: the softmax of a
  cross-modal block is over features; blocks are applied in sequence, visual first; encoders are read at their last
  step; layer norm comes first; there is a future mask; dropouts; the head has three linear layers, of which only the
  first has a ReLU.
* The residual connection spans both blocks (Eq. 5, and the public code); the figure draws it from elsewhere.
* Padding does not enter the statistics of batch norm. `masked_batch_norm=False` includes it, as the public code does.
* One unused layer of the cross-modal blocks (82 parameters) is omitted.
* An emotion has one logit instead of two: the same probability with half the parameters of the last layer.
* Any modality can be the target, as in Table 2, and any may be missing: a missing source is a vector of zeros.

Parameter counts: the 0.41M of the paper for CMU-MOSEI is matched exactly (406,523 with the unused 82), and so is the
0.38M of the convolutional variant (381,083). With the settings of Table 1, IEMOCAP has 0.41M and CMU-MOSI 0.20M,
where the paper prints 0.34M and 0.35M; no reading of the paper gives all three. With the 40 features of the public
code and 4 layers they have 0.35M and 0.34M, so the two were probably swapped. `LMRCBTConfig.paper(corpus)` is Table 1
and `LMRCBTConfig.reference(corpus)` the latter.
"""

from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.utils.output_capturing import OutputRecorder

from ..tasks import Task
from .config_checks import check_choices, check_dropouts
from .configuration import FilledList, FilledStr, published_emotions
from .cross_modal_configuration import CrossModalConfig
from .layers.attention import Attention
from .layers.bilstm import BiLSTM
from .layers.cpu_dropout import Dropout
from .layers.cross_modal_encoder import CrossModalEncoder, TemporalConvolution
from .layers.streams import Stream, last_real, masked_mean
from .modeling import AffectPreTrainedModel, FusionOutput


CHOICES = {
    "text_layer": ("bilstm", "conv"),
    "cross_mode": ("sequential", "parallel"),
    "cross_softmax": ("features", "time"),
    "pooling": ("last_step", "mean", "first_step"),
    "head_layers": (2, 3),
}
SENTIMENT = (Task("sentiment", "regression", value_range=(-3.0, 3.0)),)


@strict
class LMRCBTConfig(CrossModalConfig):
    """Configuration of LMR-CBT, in addition to the fields of `CrossModalConfig`.

    Args:
        target: Modality that the others are fused into; default: the first modality of the model.
        cross_order: Order in which the sources are fused; default: visual, text, audio without the target.
        cross_mode: `"sequential"`: each block reads the output of the previous one; `"parallel"`: all blocks read the
            target and are summed.
        cross_softmax: Axis of the softmax in the cross-modal blocks: `"features"` or `"time"`.
        text_layer: Input layer of the text: `"bilstm"`, or `"conv"` with the kernel of `kernel_sizes`.
        pooling: Step at which an encoder is read: `"last_step"` or `"first_step"`; or the `"mean"` over steps.
        head_layers: Number of linear layers from the three vectors to a prediction: 3, or 2 as in Eq. 7.
        masked_batch_norm: Compute batch statistics from real steps only.
        recurrent_dropout: Dropout between the two layers of the BiLSTM.
    """

    model_type = "mm_affect_lmr_cbt"

    tasks: list | tuple = SENTIMENT
    num_hidden_layers: int = 5
    hidden_dropout_prob: float | int = 0.2
    target: FilledStr = None  # type: ignore[assignment]
    cross_order: FilledList = None  # type: ignore[assignment]
    cross_mode: str = "sequential"
    cross_softmax: str = "features"
    text_layer: str = "bilstm"
    pooling: str = "last_step"
    head_layers: int = 3
    masked_batch_norm: bool = True
    recurrent_dropout: float | int = 0.5

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.kernel_sizes = {"text": 3, "audio": 3, "visual": 3} | (self.kernel_sizes or {})
        self.target = self.modalities[0] if self.target is None else self.target
        if self.cross_order is None:
            self.cross_order = [m for m in ("visual", "text", "audio") if m in self.modalities and m != self.target]
        self.cross_order = list(self.cross_order)

    def validate_fusion(self):
        """Check the target, the order of the sources and the choices."""
        check_choices(self, CHOICES | {"target": tuple(self.modalities)})
        sources = [m for m in self.modalities if m != self.target]
        if sorted(self.cross_order) != sorted(sources):
            raise ValueError(
                f"`cross_order` is {self.cross_order}; expected each of {', '.join(sources) or 'nothing'} once."
            )

    def validate_recurrence(self):
        """Check the BiLSTM's dropout and that its two directions fit `hidden_size`."""
        check_dropouts(self, ("recurrent_dropout",))
        if self.text_layer == "bilstm" and "text" in self.modalities and self.hidden_size % 2:
            raise ValueError(
                f"`hidden_size` is {self.hidden_size}; expected an even number, half for each direction of the BiLSTM."
            )

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "LMRCBTConfig":
        """Return the settings of Table 1 for `"cmu_mosei"`, `"cmu_mosi"` or `"iemocap"`."""
        settings = {
            "cmu_mosei": {},
            "cmu_mosi": {
                "hidden_size": 30, "num_attention_heads": 10, "num_hidden_layers": 4, "kernel_sizes": {"audio": 1},
            },
            "iemocap": {"num_attention_heads": 5, "kernel_sizes": {"audio": 5}} | published_emotions("iemocap"),
        }  # fmt: skip
        if corpus not in settings:
            raise ValueError(f"There are published settings for {', '.join(settings)}, not for {corpus!r}.")
        return cls(**settings[corpus] | fields)

    @classmethod
    def reference(cls, corpus: str = "cmu_mosei", **fields) -> "LMRCBTConfig":
        """Return the settings of the public code, whose checkpoints can be converted.

        The number of layers is the one that the printed parameter counts imply.
        """
        public = {
            "hidden_size": 40, "num_hidden_layers": 5 if corpus == "cmu_mosei" else 4, "kernel_sizes": None,
            "conv_padding": "valid", "pe_zero_first_channel": True, "masked_batch_norm": False,
        }  # fmt: skip
        return cls.paper(corpus, **public | fields)


class StepNorm(nn.BatchNorm1d):
    """Batch norm over all steps of a stream, or over its real ones; a single step uses the running statistics."""

    def __init__(self, config: LMRCBTConfig):
        super().__init__(config.hidden_size)
        self.masked = config.masked_batch_norm

    def forward(self, stream: Stream) -> Stream:  # type: ignore[override]  # streams instead of tensors
        """Return the normalized stream."""
        values, mask = stream
        if not self.training:  # running statistics apply to all steps alike, so the mask does not matter
            return Stream(super().forward(values.flatten(0, 1)).unflatten(0, mask.shape), mask).cleaned()
        counted = mask if self.masked else torch.ones_like(mask)
        steps = values[counted]
        normed = F.batch_norm(
            steps,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=len(steps) > 1,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        return Stream(torch.zeros_like(values).masked_scatter(counted.unsqueeze(-1), normed), mask).cleaned()


class ConvolvedStream(nn.Module):
    """Convolution along time, then batch norm (Eq. 1)."""

    def __init__(self, config: LMRCBTConfig, modality: str):
        super().__init__()
        self.convolution, self.norm = TemporalConvolution(config, modality), StepNorm(config)

    def forward(self, stream: Stream) -> Stream:
        """Return the stream with `hidden_size` features per step."""
        return self.norm(self.convolution(stream))


class TextStream(nn.Module):
    """Two layers of BiLSTM, or a convolution, then layer norm (Eq. 2)."""

    def __init__(self, config: LMRCBTConfig):
        super().__init__()
        self.input_dropout = Dropout(config.embedding_dropout_prob)
        self.dropout = Dropout(config.recurrent_dropout)
        size = config.hidden_size
        if config.text_layer == "conv":
            self.layers = nn.ModuleList([TemporalConvolution(config, "text")])
        else:
            self.layers = nn.ModuleList([BiLSTM(config.feature_sizes["text"], size // 2), BiLSTM(size, size // 2)])
        self.norm = nn.LayerNorm(size)

    def forward(self, stream: Stream) -> Stream:
        """Return the stream with `hidden_size` features per step."""
        stream = self.layers[0](Stream(self.input_dropout(stream.values), stream.mask))
        for layer in self.layers[1:]:
            stream = layer(Stream(self.dropout(stream.values), stream.mask))
        return Stream(self.norm(stream.values), stream.mask).cleaned()


class CrossModalBlock(nn.Module):
    """Fusion of the vector of a source into the steps of the target (Eq. 11)."""

    def __init__(self, config: LMRCBTConfig):
        super().__init__()
        self.axis = 2 if config.cross_softmax == "features" else 1
        self.of_target = nn.Linear(config.hidden_size, config.hidden_size)
        self.of_source = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, target: Stream, source: torch.Tensor) -> Stream:
        """Return the fused target for a `source` vector `(batch, hidden_size)`."""
        scores = torch.tanh(self.of_target(target.values) + self.of_source(source).unsqueeze(1))
        if self.axis == 1:
            scores = scores.masked_fill(~target.mask.unsqueeze(-1), torch.finfo(scores.dtype).min)
        return Stream(scores.softmax(self.axis), target.mask).cleaned()


class LMRCBTForAffect(AffectPreTrainedModel):
    """LMR-CBT with one linear head per task.

    The view `"fusion"` is the output of the last hidden layer, with `hidden_size` features per modality. Each source
    has a view of its own, which is its vector.
    """

    config_class = LMRCBTConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["EncoderLayer"]  # type: ignore[misc]
    _can_record_outputs: ClassVar = {  # type: ignore[misc]  # an instance variable in transformers
        "hidden_states": OutputRecorder(CrossModalEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: LMRCBTConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        size, sources = config.hidden_size, [m for m in config.modalities if m != config.target]
        self.inputs = nn.ModuleDict(
            {m: TextStream(config) if m == "text" else ConvolvedStream(config, m) for m in config.modalities}
        )
        self.encoders = nn.ModuleDict(
            {
                m: CrossModalEncoder(config, size, config.num_hidden_layers, config.attention_dropout)
                for m in config.modalities
            }
        )
        self.blocks = nn.ModuleDict({m: CrossModalBlock(config) for m in sources})
        width = size * len(config.modalities)
        head = [nn.Linear(width, width), nn.ReLU(), Dropout(config.head_dropout_prob), nn.Linear(width, width)]
        self.head = nn.Sequential(*head[: config.head_layers + 1])
        return {"fusion": width} | dict.fromkeys(sources, size)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        streams = {m: layer(streams[m]) for m, layer in self.inputs.items()}
        vectors = {m: self._vector(m, streams[m]) for m in self.blocks}
        fused = self._vector(self.config.target, self._crossed(streams[self.config.target], vectors))
        return FusionOutput({"fusion": self.head(torch.cat([fused, *vectors.values()], dim=-1))} | vectors)

    def _vector(self, modality: str, stream: Stream) -> torch.Tensor:
        """Encode a stream as one vector, `(batch, hidden_size)` (Eq. 4 and 6)."""
        encoder = self.encoders[modality]
        if self.config.pooling == "last_step":
            return encoder(stream, last_only=True).values[:, 0]
        values, mask = encoder(stream)
        return masked_mean(values, mask) if self.config.pooling == "mean" else last_real(values.flip(1), mask.flip(1))

    def _crossed(self, target: Stream, vectors: dict[str, torch.Tensor]) -> Stream:
        """Fuse the vectors of the sources into the target (Eq. 5)."""
        crossed, added = target, []
        for m in self.config.cross_order:
            crossed = self.blocks[m](target if self.config.cross_mode == "parallel" else crossed, vectors[m])
            added.append(crossed.values)
        added = added if self.config.cross_mode == "parallel" else added[-1:]
        return Stream(sum(added, start=target.values), target.mask)


AutoConfig.register(LMRCBTConfig.model_type, LMRCBTConfig)
AutoModel.register(LMRCBTConfig, LMRCBTForAffect)
