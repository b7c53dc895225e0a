# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SUGRM: recalibrated features, the sparse phased encoder, and unimodal tasks whose labels are generated in training.

Paper: Hwang, Kim (2023), "Self-Supervised Unimodal Label Generation Strategy Using Recalibrated Modality Representations for
Multimodal Sentiment Analysis", Findings of EACL. Each modality's features are rescaled by what all modalities say on average
(MRM, after squeeze and excitation), the sparse phased encoder turns each into a vector, and these are projected to a common
space, together ("fusion") and alone. The heads read the common space; the labels of the unimodal tasks are generated there,
by the trainer: the model only has their heads.

Where this file differs from the paper or from the authors' public code, and why:

* The paper's view is `ReLU(W1 h)`; the code has a further linear layer and dropout (`head="mlp2"`, `reference()`).
* MRM's bottleneck is a quarter of the features, which only the code says. It concatenates audio, visual and text as the code
  does; the paper names them in another order, which is a permutation of weights and no other model.
* Averages over time are over real steps, where the code counts padding; the encoder's differences are in `phased.py`.
* Text is given as features, or as `input_ids` with a text encoder (`from_encoders_pretrained`), BERT in the paper.
* Views of a modality exist where a task reads them.
* The extractors that the paper compares SPT with (Table 4) are named only: `"lstm"` is one LSTM per modality, `"transformer"`
  has full attention where SPT has windows, each modality on the others, then on itself. Both are read at the last real step.
"""

import itertools

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..tasks import Task
from .configuration import check_choices, check_sizes
from .layers.attention import TransformerEncoder
from .layers.cpu_dropout import Dropout
from .layers.phased_encoder import PhasedEncoder
from .layers.positions import SinusoidalPositions
from .layers.streams import Stream, last_real, masked_mean, to_front
from .modeling import AffectPreTrainedModel, FusionOutput
from .phased_configuration import PhasedConfig


@strict
class SUGRMConfig(PhasedConfig):
    """Configuration of SUGRM; the defaults are the paper's for CMU-MOSEI.

    Args:
        recalibration: whether the modality recalibration module (MRM) comes first.
        extractor: `"spt"`, `"lstm"` or `"transformer"`.
        common_size: width of the common semantic space.
        head: `"paper"`: views are `ReLU(W1 h)`; `"mlp2"`: `W2 Drop(ReLU(W1 h))`, as in the public code.
        unimodal: modalities with tasks of their own, default all: every regression task that reads the fusion gets one more
            per modality, named `<task>_<modality>`, whose labels are generated in training.
    """

    model_type = "mm_affect_sugrm"

    num_attention_heads: int = 4
    embedding_dropout_prob: float | int = 0.2
    attention_dropout: float | int = 0.1
    recalibration: bool = True
    extractor: str = "spt"
    common_size: int = 32
    head: str = "paper"
    unimodal: list | tuple | None = None

    def __post_init__(self, **kwargs):
        text = (self.feature_sizes or {}).get("text")
        self.feature_sizes = {"text": 768} | (self.feature_sizes or {})
        super().__post_init__(**kwargs)
        if self.text_config is not None and text not in (None, self.feature_sizes.get("text")):
            raise ValueError(
                f"`feature_sizes['text']` is {text}, but the text encoder gives {self.feature_sizes['text']} features; "
                "leave the size out or take another encoder."
            )
        self.unimodal = list(self.modalities if self.unimodal is None else self.unimodal)
        known = {task.name for task in self.tasks}
        self.tasks += [
            task
            for origin in self.tasks
            if origin.problem_type == "regression" and origin.view == "fusion"
            for task in (unimodal_task(origin, m) for m in self.unimodal)
            if task.name not in known
        ]

    def validate_sugrm(self):
        check_choices(self, {"extractor": ("spt", "lstm", "transformer"), "head": ("paper", "mlp2")})
        check_sizes(self, ("common_size",))
        if unknown := [m for m in self.unimodal if m not in self.modalities]:
            raise ValueError(f"`unimodal` names {unknown[0]!r}; this model reads {', '.join(self.modalities)}.")

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "SUGRMConfig":
        """The paper's settings (Table 7) for `"cmu_mosei"` or `"cmu_mosi"`, whose audio and visual features are others."""
        if corpus not in ("cmu_mosei", "cmu_mosi"):
            raise ValueError(f"The paper has settings for cmu_mosei and cmu_mosi, not for {corpus!r}.")
        if corpus == "cmu_mosi":
            dropouts = ("embedding_dropout_prob", "attention_dropout", "activation_dropout", "hidden_dropout_prob")
            sizes = {"feature_sizes": {"audio": 5, "visual": 20}, "num_attention_heads": 8}
            fields = sizes | dict.fromkeys((*dropouts, "head_dropout_prob"), 0.3) | fields
        return cls(**fields)

    @classmethod
    def reference(cls, corpus: str = "cmu_mosei", **fields) -> "SUGRMConfig":
        """As the authors' public code, whose checkpoints it can hold."""
        ours = {"head": "mlp2", "attention_dropout": 0.0, "pe_zero_first_channel": True}
        return cls.paper(corpus, **(ours | fields))


def unimodal_task(origin: Task, modality: str) -> Task:
    """The task whose labels are generated for a modality from those of `origin`."""
    return Task(
        f"{origin.name}_{modality}",
        "regression",
        view=modality,
        value_range=origin.value_range,
        regression_loss=origin.regression_loss,
        generated_from=origin.name,
    )


class Recalibration(nn.Module):
    """MRM: every feature is multiplied by 0 to 2, as the averages of all modalities say (section 3.2.1)."""

    order = ("audio", "visual", "text")

    def __init__(self, sizes: dict[str, int]):
        super().__init__()
        total = sum(sizes.values())
        self.squeeze = nn.Linear(total, max(1, total // 4))
        self.excite = nn.ModuleDict({m: nn.Linear(max(1, total // 4), size) for m, size in sizes.items()})

    def forward(self, streams: dict[str, Stream]) -> dict[str, Stream]:
        averages = torch.cat([masked_mean(*streams[m]) for m in self.order if m in streams], dim=-1)
        joint = F.relu(self.squeeze(averages))
        gates = {m: 2 * torch.sigmoid(excite(joint)).unsqueeze(1) for m, excite in self.excite.items()}
        return {m: Stream(gates[m] * values, mask) for m, (values, mask) in streams.items()}


class LSTMExtractor(GradientCheckpointingLayer):
    """One LSTM per modality, read at the last real step."""

    def __init__(self, config: SUGRMConfig):
        super().__init__()
        sizes = config.feature_sizes
        self.lstms = nn.ModuleDict({m: nn.LSTM(sizes[m], config.hidden_size, batch_first=True) for m in sizes})

    def forward(self, streams: dict[str, Stream]) -> dict[str, torch.Tensor]:
        fronts = {m: to_front(stream) for m, stream in streams.items()}
        return {m: last_real(self.lstms[m](values)[0], mask) for m, (values, mask) in fronts.items()}


class TransformerExtractor(nn.Module):
    """Transformer encoders with full attention: each modality reads every other one, then itself."""

    def __init__(self, config: SUGRMConfig):
        super().__init__()
        size, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
        encoder = lambda: TransformerEncoder(config, size, layers, heads, 4 * size, config.hidden_dropout_prob)  # noqa: E731
        self.projections = nn.ModuleDict({m: nn.Linear(n, size) for m, n in config.feature_sizes.items()})
        self.positions = SinusoidalPositions(first=1, skip_zeros=config.pe_zero_first_channel)
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.cross = nn.ModuleDict(
            {f"{m}_{other}": encoder() for m, other in itertools.permutations(config.modalities, 2)}
        )
        self.own = nn.ModuleDict({m: encoder() for m in config.modalities})

    def forward(self, streams: dict[str, Stream]) -> dict[str, torch.Tensor]:
        streams = {
            m: self.positions(Stream(self.projections[m](stream.values), stream.mask)) for m, stream in streams.items()
        }
        streams = {m: Stream(self.dropout(values), mask) for m, (values, mask) in streams.items()}
        found = {}
        for m, (values, mask) in streams.items():
            read = [self.cross[f"{m}_{other}"](streams[m], streams[other]).values for other in streams if other != m]
            found[m] = last_real(*self.own[m](Stream(values + sum(read), mask)))
        return found


EXTRACTORS = {"spt": PhasedEncoder, "lstm": LSTMExtractor, "transformer": TransformerExtractor}


class CommonSpace(nn.Sequential):
    """A representation in the common semantic space, `(batch, common_size)`."""

    def __init__(self, config: SUGRMConfig, size: int):
        layers = [nn.Linear(size, config.common_size), nn.ReLU()]
        if config.head == "mlp2":
            layers += [Dropout(config.head_dropout_prob), nn.Linear(config.common_size, config.common_size)]
        super().__init__(*layers)


class SUGRMForAffect(AffectPreTrainedModel):
    """SUGRM with one linear head per task; views, `(batch, common_size)` each: `"fusion"` and the modalities."""

    config_class = SUGRMConfig
    supports_gradient_checkpointing = True

    def build(self, config: SUGRMConfig) -> dict[str, int]:
        self.recalibration = Recalibration(config.feature_sizes) if config.recalibration else None
        self.encoder = EXTRACTORS[config.extractor](config)
        read = {task.view for task in config.tasks}
        sizes = {"fusion": config.hidden_size * len(config.modalities)}
        sizes |= {m: config.hidden_size for m in config.modalities if m in read}
        self.common = nn.ModuleDict({view: CommonSpace(config, size) for view, size in sizes.items()})
        return dict.fromkeys(sizes, config.common_size)

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        if self.recalibration is not None:
            streams = self.recalibration(streams)
        found = self.encoder(streams)
        found["fusion"] = torch.cat([found[m] for m in self.config.modalities], dim=-1)
        return FusionOutput({view: space(found[view]) for view, space in self.common.items()})


AutoConfig.register(SUGRMConfig.model_type, SUGRMConfig)
AutoModel.register(SUGRMConfig, SUGRMForAffect)
