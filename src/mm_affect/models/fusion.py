# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Early, late and hybrid fusion (EF, LF, EF-LF) with averaging, LSTM or Transformer branches.

Paper: Dai, Cahyawijaya, Bang, Fung (2021), "Weakly-supervised Multi-task Learning for Multimodal Affect Recognition".
Early fusion concatenates the modalities step by step and encodes them as one stream; late fusion encodes each modality
by a branch of its own; the hybrid has both, side by side, sharing no weights. A branch turns a stream into one vector:

* `avg`: mean over time, linear layer, ReLU, dropout;
* `lstm`: one bidirectional LSTM layer, read at the last real step;
* `trans`: a learned [CLS] step before the stream, two post-norm Transformer blocks, read at [CLS].

Where this file differs from the paper or from the first author's earlier public code, and why:

* The paper calls the hybrid a "weighted sum", but its branches differ in width. Each of the early and late parts has a
  linear head, and the logits are summed with one learned weight per part (`head="weighted_sum"`). One linear layer
  (`"concat"`) and the two-layer head of the earlier code (`"concat_mlp"`) can be chosen.
* Their LSTM is read at the last index of a padded batch; here it is the last real step (the same without padding). Its
  backward direction has then seen one step only. `pooling="final_states"` reads each direction at its own end instead.
* Their dropout of 0.1 sits between LSTM layers, of which there is one, so it does nothing; here it acts on the pooled
  vector. `reference()` sets it to 0.
* Heads must divide the width: 409 features and 5 heads cannot be, so streams are padded with zero features (409 -> 410).
* The streams need not be word-aligned: for early fusion every row is brought to the length of its longest stream by area
  averaging, which changes nothing for streams of equal length.
"""

from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.output_capturing import OutputRecorder

from ..tasks import Task
from .configuration import AffectConfig, check_choices, check_dropouts, check_sizes, published_emotions
from .layers.attention import Attention, TransformerBlock, TransformerEncoder
from .layers.bilstm import BiLSTM
from .layers.positions import SinusoidalPositions
from .layers.streams import Stream, extent, longest, masked_mean, masked_segments, masked_statistics, resample
from .modeling import AffectPreTrainedModel, FusionOutput


# Sizes of the paper (CMU-MOSEI, section 5 and appendix): width of AVG, units per direction of LSTM, inner width of TRANS.
EARLY_SIZES = {"avg": 128, "lstm": 512, "trans": 512}
LATE_SIZES = {
    "avg": {"text": 128, "audio": 64, "visual": 32},
    "lstm": {"text": 300, "audio": 128, "visual": 128},
    "trans": {"text": 300, "audio": 128, "visual": 64},
}
POOLINGS = {
    "avg": ("mean", "statistics", "segments"),
    "lstm": ("last_step", "final_states", "mean", "statistics"),
    "trans": ("cls",),
}


@strict
class FusionConfig(AffectConfig):
    """Configuration of the EF / LF / EF-LF family; the defaults are the paper's EF-LF-LSTM for CMU-MOSEI.

    Args:
        fusion: `"ef"`, `"lf"` or `"ef_lf"`.
        encoder: `"avg"`, `"lstm"` or `"trans"`.
        early_size: width of the early branch (LSTM: units per direction; TRANS: inner width of its blocks).
        late_sizes: the same for the branch of each modality.
        pooling: how a branch reads its stream; AVG: `"mean"`, `"statistics"` (mean and standard deviation) or
            `"segments"` (`layers.masked_segments`); LSTM: `"last_step"`, `"final_states"`, `"mean"` or `"statistics"`;
            TRANS: `"cls"`.
        head: `"weighted_sum"`, `"concat"` or `"concat_mlp"`.
        num_hidden_layers, early_heads, late_heads: of TRANS.
        sinusoidal_positions: of TRANS; the paper does not mention positions and the earlier code has none.
        pooled_norm: batch normalization of AVG's pooled vector, before its linear layer.
        input_dropout_prob: dropout of what a branch reads: of AVG's pooled vector, or of whole features of the stream,
            for all steps at once.
        hidden_dropout_prob: of pooled vectors and inside TRANS.
    """

    model_type = "mm_affect_fusion"

    fusion: str = "ef_lf"
    encoder: str = "lstm"
    early_size: int | None = None
    late_sizes: dict | None = None
    pooling: str | None = None
    head: str = "weighted_sum"
    num_hidden_layers: int = 2
    early_heads: int = 5
    late_heads: dict | None = None
    sinusoidal_positions: bool = False
    pooled_norm: bool = False
    input_dropout_prob: float | int = 0.0
    hidden_dropout_prob: float | int = 0.1

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.encoder in POOLINGS:
            self.early_size = EARLY_SIZES[self.encoder] if self.early_size is None else self.early_size
            self.late_sizes = LATE_SIZES[self.encoder] | (self.late_sizes or {})
            self.pooling = self.pooling or POOLINGS[self.encoder][0]
        self.late_heads = {"text": 4, "audio": 2, "visual": 2} | (self.late_heads or {})

    def validate_fusion(self):
        check_choices(self, {"fusion": ("ef", "lf", "ef_lf"), "encoder": tuple(POOLINGS)})
        check_choices(self, {"head": ("weighted_sum", "concat", "concat_mlp"), "pooling": POOLINGS[self.encoder]})

    def validate_sizes(self):
        if self.encoder in POOLINGS:
            check_sizes(self, ("early_size", "num_hidden_layers", "early_heads"), ("late_sizes", "late_heads"))
        check_dropouts(self, ("input_dropout_prob", "hidden_dropout_prob"))

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "FusionConfig":
        """The paper's settings for `"cmu_mosei"` or `"iemocap"` (`fusion` and `encoder` may be given in `fields`)."""
        fields = published_emotions(corpus) | fields
        if corpus == "iemocap":
            encoder = fields.get("encoder", "lstm")
            early = {"avg": 128, "lstm": 300, "trans": 512}[encoder]
            late = {"avg": {"audio": 32, "visual": 16}}.get(encoder)
            defaults = {"early_size": early, "late_sizes": late}
            fields = defaults | fields
        return cls(**fields)

    @classmethod
    def reference(cls, corpus: str = "cmu_mosei", **fields) -> "FusionConfig":
        """As the first author's earlier public code: the two-layer head, and no dropout before it."""
        return cls.paper(corpus, **({"head": "concat_mlp", "hidden_dropout_prob": 0.0} | fields))


class FeatureDropout(nn.Dropout1d):
    """Drops whole features of `(batch, length, size)`, each for all steps of a row."""

    def forward(self, values):
        return super().forward(values.transpose(1, 2)).transpose(1, 2)


class AverageBranch(GradientCheckpointingLayer):
    """Mean over time, linear layer, ReLU: `(batch, size)`."""

    def __init__(self, config: FusionConfig, input_size: int, size: int, num_heads: int):
        super().__init__()
        self.size = size
        self.pool, copies = {
            "mean": (masked_mean, 1),
            "statistics": (masked_statistics, 2),
            "segments": (masked_segments, 12),
        }[config.pooling]
        self.norm = nn.BatchNorm1d(input_size * copies) if config.pooled_norm else None
        self.input_dropout = nn.Dropout(config.input_dropout_prob)
        self.linear = nn.Linear(input_size * copies, size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, values, mask):
        pooled = self.pool(values, mask)
        if self.norm is not None:
            pooled = self._normalized(pooled)
        return self.dropout(F.relu(self.linear(self.input_dropout(pooled))))

    def _normalized(self, pooled):
        alone = self.training and len(pooled) == 1  # one row has no spread: the running statistics stand in
        return F.batch_norm(
            pooled,
            self.norm.running_mean,
            self.norm.running_var,
            self.norm.weight,
            self.norm.bias,
            training=self.training and not alone,
        )


class LSTMBranch(GradientCheckpointingLayer):
    """One bidirectional LSTM layer, pooled over time: `(batch, 2 * units)`, twice that for statistics."""

    def __init__(self, config: FusionConfig, input_size: int, size: int, num_heads: int):
        super().__init__()
        self.size = size * (4 if config.pooling == "statistics" else 2)
        self.pooling = config.pooling
        self.input_dropout = FeatureDropout(config.input_dropout_prob)
        self.lstm = BiLSTM(input_size, size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, values, mask):
        stream = Stream(self.input_dropout(values), mask)
        if self.pooling == "last_step":
            pooled = self.lstm.last_step(stream)
        elif self.pooling == "final_states":
            pooled = self.lstm.final_states(stream)
        else:
            pooled = (masked_mean if self.pooling == "mean" else masked_statistics)(*self.lstm(stream))
        return self.dropout(pooled)


class TransformerBranch(GradientCheckpointingLayer):
    """A learned [CLS] step before the stream, post-norm blocks, read at [CLS]: `(batch, size)`."""

    def __init__(self, config: FusionConfig, input_size: int, size: int, num_heads: int):
        super().__init__()
        self.size = input_size + -input_size % num_heads  # zero features make the heads fit
        self.input_dropout = FeatureDropout(config.input_dropout_prob)
        self.cls = nn.Parameter(torch.zeros(self.size))
        self.positions = SinusoidalPositions() if config.sinusoidal_positions else None
        self.encoder = TransformerEncoder(
            config, self.size, config.num_hidden_layers, num_heads, size, config.hidden_dropout_prob
        )

    def reset_parameters(self):
        nn.init.normal_(self.cls)

    def forward(self, values, mask):
        values = F.pad(self.input_dropout(values), (0, self.size - values.shape[-1]))
        if self.positions is not None:
            values = self.positions(Stream(values, mask)).values
        values = torch.cat([self.cls.expand(values.shape[0], 1, -1), values], dim=1)
        encoded = self.encoder(Stream(values, F.pad(mask, (1, 0), value=True))).values[:, 0]
        return encoded.masked_fill(~mask.any(1, keepdim=True), 0.0)


BRANCHES = {"avg": AverageBranch, "lstm": LSTMBranch, "trans": TransformerBranch}


class WeightedSumHead(nn.Module):
    """A linear head per part of the fusion view; the logits are summed with one learned weight per part."""

    def __init__(self, sizes: list[int], num_outputs: int):
        super().__init__()
        self.sizes = sizes
        self.parts = nn.ModuleList(nn.Linear(size, num_outputs) for size in sizes)
        self.part_weights = nn.Parameter(torch.empty(len(sizes)))

    def reset_parameters(self):
        nn.init.constant_(self.part_weights, 1 / len(self.sizes))

    def forward(self, view):
        parts = [part(values) for part, values in zip(self.parts, view.split(self.sizes, dim=-1))]
        return sum(weight * logits for weight, logits in zip(self.part_weights, parts))


class FusionForAffect(AffectPreTrainedModel):
    """EF, LF or EF-LF fusion; views: `"fusion"` and, with late fusion, one per modality."""

    config_class = FusionConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["AverageBranch", "LSTMBranch", "TransformerBranch"]
    _can_record_outputs: ClassVar = {
        "hidden_states": [
            OutputRecorder(nn.LSTM, capture_initial_hidden_state=False),
            OutputRecorder(TransformerBlock, capture_initial_hidden_state=False),
        ],
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: FusionConfig) -> dict[str, int]:
        branch = BRANCHES[config.encoder]
        early_input = sum(config.feature_sizes.values())
        self.early = (
            branch(config, early_input, config.early_size, config.early_heads) if "ef" in config.fusion else None
        )
        self.late = nn.ModuleDict()
        if "lf" in config.fusion:
            for m in config.modalities:
                self.late[m] = branch(config, config.feature_sizes[m], config.late_sizes[m], config.late_heads[m])
        late_sizes = {m: part.size for m, part in self.late.items()}
        self.part_sizes = [sum(late_sizes.values())] if late_sizes else []
        if self.early is not None:
            self.part_sizes.append(self.early.size)
        return {"fusion": sum(self.part_sizes)} | late_sizes

    def build_head(self, task: Task, size: int) -> nn.Module:
        if task.view != "fusion" or self.config.head == "concat":
            return nn.Linear(size, task.num_outputs)
        if self.config.head == "concat_mlp":
            return nn.Sequential(
                nn.Linear(size, size // 2), nn.ReLU(), nn.Dropout(0.1), nn.Linear(size // 2, task.num_outputs)
            )
        if len(self.part_sizes) == 1:  # nothing to sum
            return nn.Linear(size, task.num_outputs)
        return WeightedSumHead(self.part_sizes, task.num_outputs)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        views = {m: branch(*streams[m]) for m, branch in self.late.items()}
        parts = [views[m] for m in self.late]
        if self.early is not None:
            parts.append(self.early(*self._early_stream(streams)))
        return FusionOutput({"fusion": torch.cat(parts, dim=-1)} | views)

    @staticmethod
    def _early_stream(streams: dict[str, Stream]) -> Stream:
        """The modalities side by side, each row as long as its longest stream."""
        lengths = torch.stack([extent(stream.mask)[1] for stream in streams.values()]).amax(0)
        brought = [resample(stream, lengths, longest(streams.values())) for stream in streams.values()]
        mask = torch.stack([stream.mask for stream in brought]).any(0)
        return Stream(torch.cat([stream.values for stream in brought], dim=-1), mask)


AutoConfig.register(FusionConfig.model_type, FusionConfig)
AutoModel.register(FusionConfig, FusionForAffect)
