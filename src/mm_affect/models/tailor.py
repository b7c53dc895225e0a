# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR: adversarial refinement, a hierarchical cross-modal encoder, and a label-guided decoder.

Paper: Zhang, Chen, Shen, Wang (2022), "Tailor Versatile Multi-modal Learning for Multi-label Emotion Recognition",
AAAI. Each modality is encoded and split into a private and a common part by adversarial training with a modality
discriminator. A hierarchy of cross-modal encoders fuses the parts one by one, and each label reads what is relevant
to it from the fusion.

Differences from the paper or from the public code:

* The orthogonal loss is added: as printed (Eq. 6, with a minus) it would reward overlap. Losses are means over
  samples and steps, as in the public code, which the printed weights belong to.
* In the paper, discriminator and label classifiers are linear, there is one classifier per label, and the common part
  of every modality predicts the labels (Eq. 2, 15, 7; pooled over time, which the paper leaves open). The public code
  has a two-layer discriminator and one classifier for all labels, and predicts from the first step of the summed
  common part; it also keeps the private parts of any two modalities orthogonal, and applies dropout to logits.
  `TailorConfig.reference()` selects all of this.
* The paper concatenates [visual; audio], [visual-audio; text], [visual-audio-text; common]; the public code puts the
  new part first, except for the common part (`concat_order="reference"`).
* Layer norm of the inputs, learned positions, dropout and inner sizes are taken from the public code; its unused
  poolers are not.
* Padding is masked everywhere, positions count from the first real step, and a step beyond the table of positions
  uses its last entry. A missing modality has no steps and does not contribute to its losses.
* Streams of different length are aligned to the text by CTC, as in the paper and the public code, or read as they
  are; their common parts are then averaged to the length of the shortest stream before they are summed. The CTC loss
  is a mean over samples and target steps instead of the sum over the batch (`ctc_reduction="sum"`).
* Labels may belong to several tasks of any kind; each label of a task on the fusion view has an embedding.
"""

import itertools
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, ClassVar, cast

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.utils.output_capturing import OutputRecorder

from ..messages import did_you_mean
from ..tasks import Task
from ..vocabulary import EMOTIONS
from .config_checks import check_choices, check_dropouts, check_heads, check_sizes
from .configuration import AffectConfig, FilledDict, FilledInt, FilledList
from .layers.attention import Attention
from .layers.cpu_dropout import Dropout
from .layers.ctc_aligner import CTCAligner
from .layers.gradient_reversal import reverse_gradient
from .layers.streams import (
    Stream,
    exporting,
    extent,
    longest,
    masked_mean,
    resample,
    starting_at,
    to_front,
    word_aligned,
)
from .layers.tailor_encoder import AttentionStep, FeedForwardStep, TailorEncoder, layer_norm
from .modeling import AffectPreTrainedModel, FusionOutput


LOSS_WEIGHTS = {
    "common_adversarial": 0.01,
    "private_adversarial": 0.01,
    "orthogonal": 5e-6,
    "common_semantics": 0.5,
    "ctc": 0.5,
}
CHOICES = {
    "refinement": ("full", "common", "private", "none"),
    "decoder": ("label_guided", "label_correlations", "label_embeddings", "identical"),
    "aligner": ("given", "ctc", "none"),
    "discriminator": ("linear", "mlp"),
    "common_loss": ("per_modality", "sum_first"),
    "concat_order": ("paper", "reference"),
    "ctc_reduction": ("mean", "sum"),
}
STEPS_OF_PAPER = 60  # length that the published weight of the orthogonal loss belongs to


@strict
class TailorConfig(AffectConfig):
    """Configuration of TAILOR; the defaults are those of the paper for word-aligned CMU-MOSEI.

    Args:
        hidden_size: Number of features per step of every Transformer layer.
        num_attention_heads: Number of attention heads of every Transformer layer.
        intermediate_size: Width of the feed-forward step of every Transformer layer.
        encoder_layers: Number of layers of the encoder of each modality.
        cross_layers: Number of layers of each cross-modal encoder.
        max_position_embeddings: Number of learned positions of a modality; default: 60, or 500 with `aligner="none"`.
            The cross-modal encoders have four times as many.
        aligner: `"given"`: the streams are word-aligned; `"ctc"`: audio and visual are aligned to the text; `"none"`:
            streams of any length are read as they are.
        aligned_length: Number of target steps of the CTC aligner.
        fusion_order: Order in which `"text"`, `"audio"`, `"visual"` and `"common"` are fused; default: visual, audio,
            text, common, without those that the model does not have.
        refinement: Parts that are fused: `"full"`, `"common"` or `"private"`; `"none"` fuses the encoded streams.
        decoder: `"label_guided"`; `"label_correlations"` and `"label_embeddings"` read the mean of the fusion instead
            of attending to it, the latter without attention among labels; `"identical"` is one linear layer on that
            mean.
        modality_token_embeddings: Mark the two inputs of a cross-modal encoder by an embedding.
        discriminator: Kind of modality discriminator: `"linear"` or `"mlp"`.
        common_loss: `"per_modality"`: the mean of each common part predicts the labels; `"sum_first"`: the first step
            of their sum does.
        concat_order: Order of the inputs of the cross-modal encoders: `"paper"` or `"reference"`.
        shared_label_classifier: Use one classifier for all labels of a task instead of one per label.
        orthogonal_private_pairs: Also keep the private parts of any two modalities orthogonal.
        normalize_orthogonality: Scale the orthogonal loss, which grows with the square of the length, as if every row
            had 60 steps.
        ctc_reduction: `"mean"` over samples and target steps, or `"sum"` over samples.
        hidden_dropout_prob: Dropout in the Transformer layers, of their inputs and of the common parts.
        private_dropout_prob: Dropout of the private parts.
        logit_dropout: Dropout of logits.
        initializer_range: Standard deviation of new weights.
    """

    model_type = "mm_affect_tailor"

    tasks: list | tuple = (Task("emotion", labels=EMOTIONS, threshold=0.35),)
    hidden_size: int = 256
    num_attention_heads: int = 8
    intermediate_size: int = 256
    encoder_layers: FilledDict = None  # type: ignore[assignment]
    cross_layers: int = 3
    max_position_embeddings: FilledInt = None  # type: ignore[assignment]
    aligner: str = "given"
    aligned_length: int = 50
    fusion_order: FilledList = None  # type: ignore[assignment]
    refinement: str = "full"
    decoder: str = "label_guided"
    modality_token_embeddings: bool = True
    discriminator: str = "linear"
    common_loss: str = "per_modality"
    concat_order: str = "paper"
    shared_label_classifier: bool = False
    orthogonal_private_pairs: bool = False
    normalize_orthogonality: bool = False
    ctc_reduction: str = "mean"
    hidden_dropout_prob: float | int = 0.3
    private_dropout_prob: float | int = 0.1
    logit_dropout: float | int = 0.0
    initializer_range: float | int = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.encoder_layers = {"text": 6, "audio": 4, "visual": 4} | (self.encoder_layers or {})
        self.loss_weights = LOSS_WEIGHTS | (self.loss_weights or {})
        if self.max_position_embeddings is None:
            self.max_position_embeddings = 500 if self.aligner == "none" else 60
        if self.fusion_order is None:
            self.fusion_order = [part for part in ("visual", "audio", "text", "common") if part in self.parts]
        self.fusion_order = list(self.fusion_order)

    @property
    def parts(self) -> list[str]:
        """Return the parts that are fused: the modalities and, with full refinement, their common part."""
        return [*self.modalities, *(["common"] if self.refinement == "full" else [])]

    def validate_choices(self):
        """Check the choices, the fusion order and the loss weights."""
        check_choices(self, CHOICES)
        if sorted(self.fusion_order) != sorted(self.parts):
            raise ValueError(f"`fusion_order` is {self.fusion_order}; expected each of {', '.join(self.parts)} once.")
        if self.aligner == "ctc" and "text" not in self.modalities:
            raise ValueError("`aligner` 'ctc' aligns to the text, but `modalities` does not contain text; use 'none'.")
        for name in self.loss_weights or {}:
            if name not in LOSS_WEIGHTS:
                raise ValueError(f"`loss_weights` has the unknown loss {name!r}.{did_you_mean(name, LOSS_WEIGHTS)}")

    def validate_sizes(self):
        """Check sizes, dropout probabilities and heads."""
        sizes = ("hidden_size", "num_attention_heads", "intermediate_size", "cross_layers", "max_position_embeddings")
        check_sizes(self, (*sizes, "aligned_length"), by_modality=("encoder_layers",))
        check_dropouts(self, ("hidden_dropout_prob", "private_dropout_prob", "logit_dropout"))
        check_heads(self)

    @classmethod
    def reference(cls, **fields) -> "TailorConfig":
        """Return the settings of the public code, whose checkpoints can be converted."""
        settings: dict[str, Any] = {
            "discriminator": "mlp", "common_loss": "sum_first", "concat_order": "reference", "logit_dropout": 0.1,
            "shared_label_classifier": True, "orthogonal_private_pairs": True, "ctc_reduction": "sum",
        }  # fmt: skip
        return cls(**settings | fields)


class UnimodalEncoder(nn.Module):
    """Projection and encoder of one modality."""

    def __init__(self, config: TailorConfig, modality: str):
        super().__init__()
        self.projection = nn.Linear(config.feature_sizes[modality], config.hidden_size)
        self.encoder = TailorEncoder(config, config.encoder_layers[modality], config.max_position_embeddings)

    def forward(self, stream: Stream) -> Stream:
        """Return the stream with `hidden_size` features per step."""
        return self.encoder(Stream(self.projection(stream.values), stream.mask))


class TailorCrossModalEncoder(nn.Module):
    """Cross-modal encoder CME(A, B) (Eq. 8 and Fig. 3): encodes the concatenation of two streams in time."""

    def __init__(self, config: TailorConfig):
        super().__init__()
        self.modality_token = nn.Embedding(2, config.hidden_size) if config.modality_token_embeddings else None
        self.encoder = TailorEncoder(config, config.cross_layers, 4 * config.max_position_embeddings)

    def forward(self, first: Stream, second: Stream) -> Stream:
        """Return the encoded concatenation of the two streams."""
        values = [first.values, second.values]
        if self.modality_token is not None:
            values = [stream + token for stream, token in zip(values, self.modality_token.weight)]
        return self.encoder(to_front(Stream(torch.cat(values, 1), torch.cat([first.mask, second.mask], 1))))


class LabelDecoder(nn.Module):
    """Decoder of the fused stream into one representation per label (Eq. 9 to 14)."""

    def __init__(self, config: TailorConfig, tasks: list[Task]):
        super().__init__()
        self.config = config
        self.labels = nn.ModuleDict({task.name: nn.Embedding(task.num_outputs, config.hidden_size) for task in tasks})
        self.norm = layer_norm(config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.correlation = None if config.decoder == "label_embeddings" else AttentionStep(config, Attention)
        guided = config.decoder == "label_guided"
        self.guidance = AttentionStep(config, Attention) if guided else layer_norm(config.hidden_size)
        self.feed_forward = FeedForwardStep(config)

    def forward(self, fused: Stream) -> torch.Tensor:
        """Return the representations of all labels of the tasks, `(batch, labels, size)`."""
        labels = torch.cat([cast(nn.Embedding, table).weight for table in self.labels.values()])
        labels = self.dropout(self.norm(labels)).expand(fused.mask.shape[0], -1, -1)
        if self.correlation is not None:
            labels = self.correlation(labels)
        if isinstance(self.guidance, AttentionStep):
            keys = fused.mask | ~fused.mask.any(1, keepdim=True)  # a row without steps attends to zeros
            mask = create_bidirectional_mask(self.config, labels, keys, encoder_hidden_states=fused.values)
            labels = self.guidance(labels, mask, fused.values)
        else:
            labels = self.guidance(labels + masked_mean(*fused).unsqueeze(1))
        return self.feed_forward(labels)


class LabelClassifier(nn.Linear):
    """One linear output per label, each from its own representation (Eq. 15), or a shared one.

    Args:
        config: configuration of TAILOR.
        labels: positions of the labels of this task among those of the decoder.
    """

    def __init__(self, config: TailorConfig, labels: range):
        super().__init__(config.hidden_size, 1 if config.shared_label_classifier else len(labels))
        self.labels, self.dropout = labels, nn.Dropout(config.logit_dropout)

    def forward(self, view):
        """Return the logits `(batch, labels)`."""
        own = view.unflatten(-1, (-1, self.in_features))[:, self.labels.start : self.labels.stop]
        return self.dropout((own * self.weight).sum(-1) + self.bias)


class TailorForAffect(AffectPreTrainedModel):
    """TAILOR; its views are `"fusion"` and the parts that the config has.

    The view `"fusion"` is the concatenation of the representations of all labels; `"private_<modality>"` and
    `"common_<modality>"` are means over time.
    """

    config_class = TailorConfig
    label_dependent_weights = ("heads.", "common_classifiers.", "decoder.labels.")
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["TailorLayer"]  # type: ignore[misc]
    _can_record_outputs: ClassVar = {  # type: ignore[misc]  # an instance variable in transformers
        "hidden_states": OutputRecorder(TailorEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    @torch.no_grad()
    def _init_weights(self, module):
        """Draw weights from a normal distribution with zero biases, as in BERT; LSTMs keep that of PyTorch."""
        super()._init_weights(module)
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def build(self, config: TailorConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        size, modalities = config.hidden_size, config.modalities
        self.private, self.common = nn.ModuleDict(), None
        self.input_norms = nn.ModuleDict({m: layer_norm(config.feature_sizes[m]) for m in modalities})
        long = [m for m in modalities if config.aligner == "ctc" and m != "text"]
        self.aligners = nn.ModuleDict({m: CTCAligner(config.feature_sizes[m], config.aligned_length) for m in long})
        self.encoders = nn.ModuleDict({m: UnimodalEncoder(config, m) for m in modalities})
        if config.refinement in ("full", "private"):
            for m in modalities:
                self.private[m] = nn.Sequential(nn.Linear(size, size), Dropout(config.private_dropout_prob), nn.Tanh())
        if config.refinement in ("full", "common"):
            self.common = nn.Sequential(nn.Linear(size, size), Dropout(config.hidden_dropout_prob), nn.Tanh())
            self.common_classifiers = nn.ModuleDict({task.name: self._plain_head(task, size) for task in config.tasks})
        if config.refinement != "none":
            hidden = [nn.Linear(size, size // 2), nn.Dropout(0.1), nn.ReLU()] if config.discriminator == "mlp" else []
            width = size // 2 if hidden else size
            self.discriminator = nn.Sequential(*hidden, nn.Linear(width, len(modalities)))
        self.cross_encoders = nn.ModuleList(TailorCrossModalEncoder(config) for _ in config.fusion_order[1:])
        tailored = [task for task in config.tasks if task.view == "fusion" and config.decoder != "identical"]
        self.decoder = LabelDecoder(config, tailored) if tailored else None
        num_labels = sum(task.num_outputs for task in tailored) or 1
        refined = [part for part in ("private", "common") if config.refinement in ("full", part)]
        return {"fusion": size * num_labels} | {f"{part}_{m}": size for part in refined for m in modalities}

    def _plain_head(self, task: Task, size: int) -> nn.Module:
        return nn.Sequential(nn.Linear(size, task.num_outputs), nn.Dropout(self.config.logit_dropout))

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task."""
        if self.decoder is None or task.name not in self.decoder.labels:
            return self._plain_head(task, size)
        before = itertools.takewhile(lambda name: name != task.name, self.decoder.labels)
        first = sum(cast(nn.Embedding, self.decoder.labels[name]).num_embeddings for name in before)
        return LabelClassifier(cast(TailorConfig, self.config), range(first, first + task.num_outputs))

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        encoded, ctc = self._encode(streams)
        private, common = self._refine(encoded)
        parts = private or common or encoded
        if private and common:
            parts = parts | {"common": self._sum(common)}
        fused = self._cross_encode(parts)
        views = {"fusion": masked_mean(*fused) if self.decoder is None else self.decoder(fused).flatten(1)}
        views |= {f"private_{m}": masked_mean(*stream) for m, stream in private.items()}
        views |= {f"common_{m}": masked_mean(*stream) for m, stream in common.items()}
        return FusionOutput(views, lambda supervise: self._losses(private, common, ctc, supervise))

    def refined(self, **inputs) -> tuple[dict[str, Stream], dict[str, Stream]]:
        """Return the private and the common stream of each modality; `inputs` as in `forward`."""
        return self._refine(self._encode(self._streams(**inputs))[0])

    def _encode(self, streams):
        normed = {m: Stream(self.input_norms[m](values), mask).cleaned() for m, (values, mask) in streams.items()}
        ctc: dict[str, Callable[[], torch.Tensor]] = {}
        if self.config.aligner == "given":
            aligned = word_aligned(normed)
        else:
            aligned = {m: starting_at(extent(stream.mask)[0], stream) for m, stream in normed.items()}
        if self.config.aligner == "ctc":
            words = extent(aligned["text"].mask)[1]
            words = torch.where(words > 0, words, self.config.aligned_length).clamp_max(self.config.aligned_length)
            for m, aligner in self.aligners.items():
                aligned[m], loss = aligner(aligned[m], words)
                count = words * aligned[m].mask.any(1).sum().clamp_min(1) if self.config.ctc_reduction == "mean" else 1
                ctc[m] = partial(self._sum_losses, loss, count)
        return {m: self.encoders[m](stream) for m, stream in aligned.items()}, ctc

    @staticmethod
    def _sum_losses(loss: Callable[[], torch.Tensor], count: torch.Tensor | int) -> torch.Tensor:
        return (loss() / count).sum()

    def _refine(self, encoded):
        private = {m: Stream(part(encoded[m].values), encoded[m].mask).cleaned() for m, part in self.private.items()}
        common = {
            m: Stream(self.common(values), mask).cleaned() for m, (values, mask) in encoded.items() if self.common
        }
        return private, common

    def _sum(self, common: dict[str, Stream]) -> Stream:
        """Return the sum of the common parts, C = C_t + C_v + C_a.

        Streams of different length are averaged to the length of the shortest one.
        """
        streams = list(common.values())
        if self.config.aligner != "given":
            lengths = torch.stack([extent(stream.mask)[1] for stream in streams])
            shortest = torch.where(lengths > 0, lengths, lengths.amax(0)).amin(0)
            steps = longest(common.values()) if exporting() else max(1, int(shortest.max()))
            streams = [resample(stream, shortest, steps) for stream in streams]
        return Stream(
            reduce(torch.add, (stream.values for stream in streams)), torch.stack([s.mask for s in streams]).any(0)
        )

    def _cross_encode(self, parts: dict[str, Stream]) -> Stream:
        """Fuse the parts in the fusion order (Eq. 8)."""
        fused = parts[self.config.fusion_order[0]]
        for name, encoder in zip(self.config.fusion_order[1:], self.cross_encoders):
            new_part_first = self.config.concat_order == "reference" and name != "common"
            fused = encoder(parts[name], fused) if new_part_first else encoder(fused, parts[name])
        return fused

    def _losses(self, private, common, ctc, supervise) -> dict[str, torch.Tensor]:
        losses = {"ctc": sum(loss() for loss in ctc.values())} if ctc else {}
        if common:
            reversed_ = {m: Stream(reverse_gradient(values), mask) for m, (values, mask) in common.items()}
            losses["common_adversarial"] = self._discrimination(reversed_)
            losses["common_semantics"] = self._common_semantics(common, supervise)
        if private:
            losses["private_adversarial"] = self._discrimination(private)
        pairs = [(common[m], private[m]) for m in private if m in common]
        if self.config.orthogonal_private_pairs:
            pairs += itertools.combinations(private.values(), 2)
        if pairs:
            losses["orthogonal"] = sum(self._overlap(*pair) for pair in pairs)
        return losses

    def _discrimination(self, streams: dict[str, Stream]) -> torch.Tensor:
        """Return the cross-entropy of the modality of each step, summed over modalities (Eq. 4 and 5)."""
        total = torch.zeros(())
        for index, (values, mask) in enumerate(streams.values()):
            logits = self.discriminator(values).float()
            loss = -logits.log_softmax(-1)[..., index].masked_fill(~mask, 0.0)
            total = total + loss.sum() / mask.sum().clamp_min(1)
        return total

    def _common_semantics(self, common, supervise) -> torch.Tensor:
        """Return the loss of predicting the labels from the common parts (Eq. 7)."""
        streams = [self._sum(common)] if self.config.common_loss == "sum_first" else list(common.values())
        pool = masked_mean if self.config.common_loss == "per_modality" else lambda values, mask: values[:, 0]
        logits = lambda pooled: {name: head(pooled) for name, head in self.common_classifiers.items()}  # noqa: E731
        return sum(supervise(logits(pool(*stream)), stream.mask.any(1)) for stream in streams)

    def _overlap(self, first: Stream, second: Stream) -> torch.Tensor:
        """Return the mean over samples of the squared Frobenius norm of the inner products of two streams (Eq. 6).

        The inner products are those of all pairs of steps.
        """
        squares = (first.values.float() @ second.values.float().transpose(1, 2)).square().sum((1, 2))
        if self.config.normalize_orthogonality:
            cells = first.mask.sum(1) * second.mask.sum(1)
            squares = squares * STEPS_OF_PAPER**2 / cells.clamp_min(1)
        both = first.mask.any(1) & second.mask.any(1)
        return squares.sum() / both.sum().clamp_min(1)


AutoConfig.register(TailorConfig.model_type, TailorConfig)
AutoModel.register(TailorConfig, TailorForAffect)
