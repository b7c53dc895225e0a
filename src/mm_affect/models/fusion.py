# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Early, late and hybrid fusion (EF, LF, EF-LF) with averaging, LSTM or Transformer branches.

Paper: Dai, Cahyawijaya, Bang, Fung (2021), "Weakly-supervised Multi-task Learning for Multimodal Affect Recognition".
Early fusion concatenates the features of all modalities at every step and encodes them as one stream. Late fusion
encodes each modality with its own branch. The hybrid concatenates both, and they share no weights. A branch turns a
stream into one vector:

* `avg`: mean over time, linear layer, ReLU, dropout;
* `lstm`: one bidirectional LSTM layer, read at the last real step;
* `trans`: a learned [CLS] step before the stream, two post-norm Transformer blocks, read at [CLS].

Differences from the paper or from the earlier public code of the first author:

* The paper calls the hybrid a "weighted sum", but its branches differ in width. Here the early and the late part each
  have a linear head, and the logits are summed with one learned weight per part (`head="weighted_sum"`). Alternatives
  are one linear layer (`"concat"`) and the two-layer head of the earlier code (`"concat_mlp"`).
* The LSTM is read at the last real step instead of the last index of a padded batch (the same without padding). Its
  backward direction has read only one step there; `pooling="final_states"` reads each direction at its own end
  instead.
* The dropout of 0.1 between LSTM layers has no effect with one layer; here it is applied to the pooled vector.
  `reference()` sets it to 0.
* The number of heads must divide the width, which is impossible for 409 features and 5 heads, so streams are padded
  with zero features (409 to 410).
* Streams need not be word-aligned. For early fusion every row is resampled to the length of its longest stream by area
  averaging, which does not change streams of equal length.
"""

from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.output_capturing import OutputRecorder

from ..tasks import Task
from .config_checks import check_choices, check_dropouts, check_sizes
from .configuration import AffectConfig, FilledDict, FilledInt, FilledStr, published_emotions
from .layers.attention import Attention, TransformerBlock, TransformerEncoder
from .layers.bilstm import BiLSTM
from .layers.positions import SinusoidalPositions
from .layers.streams import (
    Stream,
    extent,
    longest,
    masked_mean,
    masked_segments,
    masked_statistics,
    resample,
    weighted_sum,
)
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
    """Configuration of the EF, LF and EF-LF models; the defaults are the EF-LF-LSTM of the paper for CMU-MOSEI.

    Args:
        fusion: Kind of fusion: `"ef"`, `"lf"` or `"ef_lf"`.
        encoder: Kind of branch: `"avg"`, `"lstm"` or `"trans"`.
        early_size: Width of the early branch (LSTM: units per direction; TRANS: inner width of the blocks).
        late_sizes: Width of the late branch of each modality, as `early_size`.
        pooling: Pooling of a branch over time. AVG: `"mean"`, `"statistics"` (mean and standard deviation) or
            `"segments"` (see `layers.streams.masked_segments`); LSTM: `"last_step"`, `"final_states"`, `"mean"` or
            `"statistics"`; TRANS: `"cls"`.
        head: Kind of head on the fusion view: `"weighted_sum"`, `"concat"` or `"concat_mlp"`.
        num_hidden_layers: Number of Transformer blocks of a TRANS branch.
        early_heads: Number of attention heads of the early TRANS branch.
        late_heads: Number of attention heads of the late TRANS branch of each modality.
        sinusoidal_positions: Add positions in TRANS branches; neither the paper nor the earlier code does.
        pooled_norm: Apply batch normalization to the pooled vector of AVG branches, before the linear layer.
        input_dropout_prob: Dropout of the pooled vector (AVG), or of whole features of the stream at all steps.
        hidden_dropout_prob: Dropout of pooled vectors, and inside TRANS branches.
    """

    model_type = "mm_affect_fusion"

    fusion: str = "ef_lf"
    encoder: str = "lstm"
    early_size: FilledInt = None  # type: ignore[assignment]
    late_sizes: FilledDict = None  # type: ignore[assignment]
    pooling: FilledStr = None  # type: ignore[assignment]
    head: str = "weighted_sum"
    num_hidden_layers: int = 2
    early_heads: int = 5
    late_heads: FilledDict = None  # type: ignore[assignment]
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
        """Check the kind of fusion, branch, head and pooling."""
        check_choices(self, {"fusion": ("ef", "lf", "ef_lf"), "encoder": tuple(POOLINGS)})
        check_choices(self, {"head": ("weighted_sum", "concat", "concat_mlp"), "pooling": POOLINGS[self.encoder]})

    def validate_sizes(self):
        """Check sizes and dropout probabilities."""
        if self.encoder in POOLINGS:
            check_sizes(self, ("early_size", "num_hidden_layers", "early_heads"), ("late_sizes", "late_heads"))
        check_dropouts(self, ("input_dropout_prob", "hidden_dropout_prob"))

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "FusionConfig":
        """Return the settings of the paper.

        Args:
            corpus: `"cmu_mosei"` or `"iemocap"`.
            **fields: other fields, among them `fusion` and `encoder`.
        """
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
        """Return the settings of the earlier public code: the two-layer head, and no dropout before it."""
        return cls.paper(corpus, **({"head": "concat_mlp", "hidden_dropout_prob": 0.0} | fields))


class FeatureDropout(nn.Dropout1d):
    """Dropout of whole features of `(batch, length, size)`, at all steps of a row."""

    def forward(self, values):
        """Return `values` with some features set to 0."""
        return super().forward(values.transpose(1, 2)).transpose(1, 2)


class AverageBranch(GradientCheckpointingLayer):
    """Branch with pooling over time, a linear layer and a ReLU."""

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
        """Return one vector per row, `(batch, size)`."""
        pooled = self.pool(values, mask)
        if self.norm is not None:
            pooled = self._normalize(self.norm, pooled)
        return self.dropout(F.relu(self.linear(self.input_dropout(pooled))))

    def _normalize(self, norm: nn.BatchNorm1d, pooled: torch.Tensor) -> torch.Tensor:
        alone = self.training and len(pooled) == 1  # a single row has no variance: use the running statistics
        return F.batch_norm(
            pooled,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=self.training and not alone,
        )


class LSTMBranch(GradientCheckpointingLayer):
    """Branch with one bidirectional LSTM layer."""

    def __init__(self, config: FusionConfig, input_size: int, size: int, num_heads: int):
        super().__init__()
        self.size = size * (4 if config.pooling == "statistics" else 2)
        self.pooling = config.pooling
        self.input_dropout = FeatureDropout(config.input_dropout_prob)
        self.lstm = BiLSTM(input_size, size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, values, mask):
        """Return one vector per row, `(batch, 2 * units)`; twice as wide for statistics."""
        stream = Stream(self.input_dropout(values), mask)
        if self.pooling == "last_step":
            pooled = self.lstm.last_step(stream)
        elif self.pooling == "final_states":
            pooled = self.lstm.final_states(stream)
        else:
            pooled = (masked_mean if self.pooling == "mean" else masked_statistics)(*self.lstm(stream))
        return self.dropout(pooled)


class TransformerBranch(GradientCheckpointingLayer):
    """Branch with a learned [CLS] step before the stream and post-norm Transformer blocks."""

    def __init__(self, config: FusionConfig, input_size: int, size: int, num_heads: int):
        super().__init__()
        self.size = input_size + -input_size % num_heads  # padded so that the heads divide it
        self.input_dropout = FeatureDropout(config.input_dropout_prob)
        self.cls = nn.Parameter(torch.zeros(self.size))
        self.positions = SinusoidalPositions() if config.sinusoidal_positions else None
        self.encoder = TransformerEncoder(
            config, self.size, config.num_hidden_layers, num_heads, size, config.hidden_dropout_prob
        )

    def reset_parameters(self):
        """Draw the [CLS] step from a standard normal distribution."""
        nn.init.normal_(self.cls)

    def forward(self, values, mask):
        """Return the encoded [CLS] step, `(batch, size)`; zeros for a row without real steps."""
        values = F.pad(self.input_dropout(values), (0, self.size - values.shape[-1]))
        if self.positions is not None:
            values = self.positions(Stream(values, mask)).values
        values = torch.cat([self.cls.expand(values.shape[0], 1, -1), values], dim=1)
        encoded = self.encoder(Stream(values, F.pad(mask, (1, 0), value=True))).values[:, 0]
        return encoded.masked_fill(~mask.any(1, keepdim=True), 0.0)


BRANCHES = {"avg": AverageBranch, "lstm": LSTMBranch, "trans": TransformerBranch}


class WeightedSumHead(nn.Module):
    """Head with one linear layer per part of the view; logits are summed with one learned weight per part."""

    def __init__(self, sizes: list[int], num_outputs: int):
        super().__init__()
        self.sizes = sizes
        self.parts = nn.ModuleList(nn.Linear(size, num_outputs) for size in sizes)
        self.part_weights = nn.Parameter(torch.empty(len(sizes)))

    def reset_parameters(self):
        """Give all parts the same weight, with a sum of 1."""
        nn.init.constant_(self.part_weights, 1 / len(self.sizes))

    def forward(self, view):
        """Return the logits `(batch, outputs)` of a view `(batch, sum of sizes)`."""
        parts = [part(values) for part, values in zip(self.parts, view.split(self.sizes, dim=-1))]
        return weighted_sum(self.part_weights, parts)


class FusionForAffect(AffectPreTrainedModel):
    """EF, LF or EF-LF fusion; its views are `"fusion"` and, with late fusion, one per modality."""

    config_class = FusionConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["AverageBranch", "LSTMBranch", "TransformerBranch"]  # type: ignore[misc]
    _can_record_outputs: ClassVar = {  # type: ignore[misc]  # an instance variable in transformers
        "hidden_states": [
            OutputRecorder(nn.LSTM, capture_initial_hidden_state=False),
            OutputRecorder(TransformerBlock, capture_initial_hidden_state=False),
        ],
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: FusionConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        branch: Any = BRANCHES[config.encoder]
        early_input = sum(config.feature_sizes.values())
        self.early = (
            branch(config, early_input, config.early_size, config.early_heads) if "ef" in config.fusion else None
        )
        self.late = nn.ModuleDict()
        if "lf" in config.fusion:
            for m in config.modalities:
                self.late[m] = branch(config, config.feature_sizes[m], config.late_sizes[m], config.late_heads[m])
        late_sizes: dict[str, Any] = {m: part.size for m, part in self.late.items()}
        self.part_sizes = [sum(late_sizes.values())] if late_sizes else []
        if self.early is not None:
            self.part_sizes.append(self.early.size)
        return {"fusion": sum(self.part_sizes)} | late_sizes

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task."""
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
        """Compute the views of a batch from its streams."""
        views = {m: branch(*streams[m]) for m, branch in self.late.items()}
        parts = [views[m] for m in self.late]
        if self.early is not None:
            parts.append(self.early(*self._early_stream(streams)))
        return FusionOutput({"fusion": torch.cat(parts, dim=-1)} | views)

    @staticmethod
    def _early_stream(streams: dict[str, Stream]) -> Stream:
        """Concatenate the features of all modalities, with each row resampled to its longest stream."""
        lengths = torch.stack([extent(stream.mask)[1] for stream in streams.values()]).amax(0)
        resampled = [resample(stream, lengths, longest(streams.values())) for stream in streams.values()]
        mask = torch.stack([stream.mask for stream in resampled]).any(0)
        return Stream(torch.cat([stream.values for stream in resampled], dim=-1), mask)


AutoConfig.register(FusionConfig.model_type, FusionConfig)
AutoModel.register(FusionConfig, FusionForAffect)
