# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint embeddings of speech, face and text, learned by multi-task pretraining.

Paper: Khare, Parthasarathy, Sundaram (2021), "Multi-modal embeddings using multi-task learning for emotion
recognition". Text and video are mapped to the time axis of the audio: one of three Transformer encoders reads the
audio, and two start from the audio and attend to the words or the video frames. Their weighted sum is the joint
embedding, with one step per step of audio. It is pretrained by speech recognition (a decoder over characters) and
person identification (a linear layer on the mean over time), and then fine-tuned on emotions (another linear layer on
the mean). There is no public code.

Differences from the paper, and choices where it is silent:

* Projections have a bias and are followed by sinusoidal positions and dropout of 0.1. Layers are pre-norm, as in
  MulT, whose cross-modal layers these are, with one norm for queries and keys; `norm_first=False` makes them
  post-norm. There is no norm after the last layer; `final_norm` adds one, also in the decoder.
* The cross-modal encoders start from the projected audio and read the projected words or frames in every layer;
  `cross_query="encoded"` starts from the output of the audio encoder.
* The feed-forward step is narrower (200) than the model (512): unusual, but stated.
* The emotion head reads the mean over time, like the person head.
* A missing modality has the weight 0 and the others keep theirs, as in the ablation of the paper;
  `renormalize_weights` scales them to the same sum.
* A row without audio has no embedding in the paper, "one of the major drawbacks". `missing_audio="text_query"` starts
  from the projected words instead, and `"learned_query"` from learned steps. Neither changes rows with audio.
* The decoder predicts each character from the previous ones; its loss is the mean over the characters of a batch.
  There is no label smoothing and no CTC loss, and embedding and output layer do not share weights.

`JointEmbeddingsForAffect` has the tasks of its config only; `JointEmbeddingsForPreTraining` adds the decoder. Person
identification is an ordinary task. Speech recognition is not, because its loss needs the characters as inputs too, so
`forward` takes them as `characters`.
"""

from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from ..tasks import Task
from ..vocabulary import MODALITIES
from .config_checks import check_choices, check_dropouts, check_heads, check_sizes
from .configuration import AffectConfig, FilledDict
from .layers.attention import Attention
from .layers.character_decoder import CharacterDecoder, ResidualLayer
from .layers.cpu_attention import AttentionPairs, PackedAttention
from .layers.cpu_dropout import Dropout
from .layers.packing import PackedRows
from .layers.positions import SinusoidalPositions
from .layers.streams import Stream, lengthened, longest, masked_mean
from .modeling import AffectOutput, AffectPreTrainedModel, FusionOutput


@strict
class JointEmbeddingsConfig(AffectConfig):
    """Configuration of the joint embeddings; the defaults are those of the paper for emotions.

    Args:
        hidden_size: Number of features per step of the encoders and the decoder.
        num_attention_heads: Number of attention heads of the encoders and the decoder.
        intermediate_size: Width of the feed-forward step of the encoders and the decoder.
        encoder_layers: Number of layers of each encoder.
        norm_first: Apply layer norm before each step of a layer; if False, after the residual sums.
        final_norm: Apply layer norm after each encoder and the decoder.
        cross_query: Input of the cross-modal encoders: `"projected"` or `"encoded"` audio.
        modality_weights: Weight of the encoder of each modality in the sum; default: equal weights with a sum of 1.
        renormalize_weights: Scale the weights of the present modalities to the same sum if others are missing.
        missing_audio: Replacement for missing audio: `"text_query"` or `"learned_query"`; None gives such a row no
            embedding.
        num_queries: Number of steps of the learned query.
        decoder_layers: Number of layers of the decoder.
        vocab_size: Number of characters of the decoder, special tokens included.
        pad_token_id: Id of the padding token.
        bos_token_id: Id of the token that begins a transcript.
        eos_token_id: Id of the token that ends a transcript.
        embedding_dropout_prob: Dropout of projected features and of embedded characters.
        attention_dropout: Dropout of attention weights.
        hidden_dropout_prob: Dropout inside the feed-forward step, and of the outputs of attention and feed-forward
            step.
    """

    model_type = "mm_affect_joint_embeddings"

    hidden_size: int = 512
    num_attention_heads: int = 4
    intermediate_size: int = 200
    encoder_layers: int = 4
    norm_first: bool = True
    final_norm: bool = False
    cross_query: str = "projected"
    modality_weights: FilledDict = None  # type: ignore[assignment]
    renormalize_weights: bool = False
    missing_audio: str | None = None
    num_queries: int = 32
    decoder_layers: int = 2
    vocab_size: int = 32
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2
    embedding_dropout_prob: float | int = 0.1
    attention_dropout: float | int = 0.1
    hidden_dropout_prob: float | int = 0.1

    def __post_init__(self, **kwargs):
        self.feature_sizes = {"text": 300, "audio": 200, "visual": 4096} | (self.feature_sizes or {})
        super().__post_init__(**kwargs)
        given = self.modality_weights or {}
        self.modality_weights = {m: given.get(m, 1 / len(self.modalities)) for m in self.modalities}

    def validate_layers(self):
        """Check sizes, dropout probabilities and heads."""
        check_sizes(self, ("hidden_size", "num_attention_heads", "intermediate_size", "encoder_layers"))
        check_sizes(self, ("num_queries", "decoder_layers", "vocab_size"))
        check_dropouts(self, ("embedding_dropout_prob", "attention_dropout", "hidden_dropout_prob"))
        check_choices(self, {"cross_query": ("projected", "encoded")})
        check_heads(self)

    def validate_weights(self):
        """Check that modality weights are not negative and not all 0."""
        weights = self.modality_weights.values()
        if not all(isinstance(w, float | int) and w >= 0 for w in weights) or not sum(weights) > 0:
            raise ValueError(
                f"`modality_weights` is {self.modality_weights}; expected numbers of at least 0 that are not all 0."
            )

    def validate_missing_audio(self):
        """Check that every row can have a query."""
        check_choices(self, {"missing_audio": (None, "text_query", "learned_query")})
        queries = {None: ["audio"], "text_query": ["audio", "text"]}.get(self.missing_audio, MODALITIES)
        if not set(queries) & set(self.modalities):
            raise ValueError(
                f"`modalities` is {', '.join(self.modalities)}, of which none can be the query. Add "
                f"{' or '.join(queries)} to `modalities`, or set `missing_audio` to 'learned_query'."
            )

    @classmethod
    def pretraining(cls, speakers: list[str] | tuple[str, ...], **fields) -> "JointEmbeddingsConfig":
        """Return the settings of the pretraining in the paper.

        The loss is 0.8 times speech recognition plus 0.2 times identification of these speakers.

        Args:
            speakers: names of the speakers in the training data.
            **fields: other fields.
        """
        person = Task("person", "single_label_classification", tuple(speakers), weight=0.2)
        weights = {"text": 0.2, "audio": 0.4, "visual": 0.4}
        ours = {"tasks": [person], "loss_weights": {"speech": 0.8}, "modality_weights": weights}
        return cls(**(ours | fields))


class CrossModalLayer(ResidualLayer):
    """Attention to the memory or to the steps themselves, and a feed-forward step, on packed steps `(steps, size)`."""

    def __init__(self, config: JointEmbeddingsConfig):
        super().__init__(config)
        self.attention = PackedAttention(
            config, config.hidden_size, config.num_attention_heads, config.attention_dropout
        )
        self.attention_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, values, pairs: AttentionPairs, memory=None):
        """Return the steps after attention and feed-forward step."""
        if memory is not None and self.norm_first:
            memory = self.attention_norm(memory)
        values = self.add(values, self.attention_norm, lambda given: self.attention(given, pairs, memory)[0])
        return self.feed_forward(values)


class JointEncoder(nn.Module):
    """Stack of layers over the steps of a query, which attend to a memory or to the query itself."""

    def __init__(self, config: JointEmbeddingsConfig):
        super().__init__()
        self.layers = nn.ModuleList(CrossModalLayer(config) for _ in range(config.encoder_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size) if config.final_norm else nn.Identity()

    def forward(self, query: Stream, memory: Stream | None = None) -> Stream:
        """Return the encoded query."""
        rows = PackedRows(query.mask)
        packed, keys, context = rows.pack(query.values), None, None
        if memory is not None:
            keys = PackedRows(memory.mask)
            context = keys.pack(memory.values)
        pairs = AttentionPairs(rows, keys)
        for layer in self.layers:
            packed = layer(packed, pairs, context)
        return Stream(rows.unpack(self.final_norm(packed)), query.mask)


class LearnedQuery(nn.Module):
    """Learned steps, the same for every row."""

    def __init__(self, num_queries: int, size: int):
        super().__init__()
        self.steps = nn.Parameter(torch.empty(num_queries, size))

    def reset_parameters(self):
        """Draw the steps from a standard normal distribution."""
        nn.init.normal_(self.steps)

    def forward(self, batch_size: int) -> Stream:
        """Return the steps as a stream `(batch_size, num_queries, size)`."""
        values = self.steps.expand(batch_size, -1, -1)
        return Stream(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))


class JointEmbeddingsForAffect(AffectPreTrainedModel):
    """Joint embeddings with one linear head per task on their mean over time, the view `"fusion"`.

    Example:
        >>> config = JointEmbeddingsConfig(tasks=[...])  # and the sizes of the pretrained model, if not those of the
        paper >>> model = AutoModel.from_pretrained("pretrained", config=config, new_heads=True)  # drops decoder and
        person head
    """

    config_class = JointEmbeddingsConfig
    ignored_weights: tuple[str, ...] = ("decoder.",)
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["CrossModalLayer", "DecoderLayer"]  # type: ignore[misc]
    _can_record_outputs: ClassVar = {  # type: ignore[misc]  # an instance variable in transformers
        "hidden_states": OutputRecorder(JointEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: JointEmbeddingsConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        size = config.hidden_size
        self.projections = nn.ModuleDict({m: nn.Linear(n, size) for m, n in config.feature_sizes.items()})
        self.positions = SinusoidalPositions()
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.queries = LearnedQuery(config.num_queries, size) if config.missing_audio == "learned_query" else None
        self.encoders = nn.ModuleDict({m: JointEncoder(config) for m in config.modalities})
        return {"fusion": size}

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        return FusionOutput({"fusion": masked_mean(*self._joint(streams))})

    def embed(self, **inputs) -> Stream:
        """Compute the joint embedding.

        Its mean over time is the fusion view, and it can be used as the stream of another model.

        Args:
            **inputs: modalities and their masks, or `input_ids`, as in `forward`.

        Returns:
            values `(batch, steps, hidden_size)` and the mask of real steps, which are those of the audio or its
            replacement.
        """
        return self._joint(self._streams(**inputs))

    def _joint(self, streams: dict[str, Stream]) -> Stream:
        projected = {m: self._project(m, stream) for m, stream in streams.items()}
        query, weights = self._query(projected), self._weights(streams)
        parts = {}
        if "audio" in streams:
            parts["audio"] = self.encoders["audio"](query)
            if self.config.cross_query == "encoded":
                has_audio = streams["audio"].mask.any(1)[:, None, None]
                query = Stream(torch.where(has_audio, parts["audio"].values, query.values), query.mask)
        for m in streams:
            if m != "audio":
                parts[m] = self.encoders[m](query, projected[m])
        values = sum(weights[m][:, None, None] * part.values for m, part in parts.items())
        some = torch.stack([stream.mask.any(1) for stream in streams.values()]).any(0)
        return Stream(values, query.mask & some.unsqueeze(1)).cleaned()

    def _project(self, modality: str, stream: Stream) -> Stream:
        rows, (values, mask) = PackedRows(stream.mask), stream
        place = rows.pack((mask.cumsum(1) - 1).unsqueeze(-1)).squeeze(-1)
        packed = self.positions.place(self.projections[modality](rows.pack(values)), place, mask.shape[1])
        return Stream(rows.unpack(self.dropout(packed)), mask)

    def _query(self, projected: dict[str, Stream]) -> Stream:
        """Return the query of the encoders: the audio, or its replacement in rows without audio."""
        audio, words = projected.get("audio"), projected.get("text")
        if self.config.missing_audio is None:
            return projected["audio"]
        other = words if self.queries is None else self.queries(next(iter(projected.values())).mask.shape[0])
        if other is None:
            return projected["audio"]
        if audio is None:
            return other
        has_audio, steps = audio.mask.any(1), longest([audio, other])
        audio, other = lengthened(audio, steps), lengthened(other, steps)
        values = torch.where(has_audio[:, None, None], audio.values, other.values)
        return Stream(values, (audio.mask & has_audio[:, None]) | (other.mask & ~has_audio[:, None]))

    def _weights(self, streams: dict[str, Stream]) -> dict[str, torch.Tensor]:
        """Return the weight of each encoder for each row, `(batch,)`; 0 for a missing modality."""
        fixed = self.config.modality_weights
        weights = {m: fixed[m] * stream.mask.any(1).to(stream.values.dtype) for m, stream in streams.items()}
        if not self.config.renormalize_weights:
            return weights
        left = sum(weights.values())
        scale = torch.where(left > 0, sum(fixed.values()) / left.clamp_min(1e-6), 0.0)
        return {m: weight * scale for m, weight in weights.items()}


class JointEmbeddingsForPreTraining(JointEmbeddingsForAffect):
    """Joint embeddings with a decoder, which adds the loss `"speech"` and recognizes transcripts."""

    ignored_weights = ()

    def build(self, config: JointEmbeddingsConfig) -> dict[str, int]:
        """Create the layers, the decoder included, and return the number of features of each view."""
        sizes = super().build(config)
        self.decoder = CharacterDecoder(config)
        return sizes

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        text: torch.Tensor | None = None,
        audio: torch.Tensor | None = None,
        visual: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        visual_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        characters: torch.Tensor | None = None,
        labels: dict[str, torch.Tensor] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> AffectOutput:
        """Predict every task and, with `characters`, compute the loss of speech recognition.

        Args:
            text: as in `AffectPreTrainedModel.forward`, like all arguments but `characters`.
            audio: see `text`.
            visual: see `text`.
            text_mask: see `text`.
            audio_mask: see `text`.
            visual_mask: see `text`.
            input_ids: see `text`.
            attention_mask: see `text`.
            characters: `(batch, length)`, character ids of each transcript with the end token; -100 = none. They add
                the loss `"speech"`, the mean cross-entropy per character.
            labels: see `text`.
            output_attentions: see `text`.
            output_hidden_states: see `text`.
        """
        inputs = (text, audio, visual, text_mask, audio_mask, visual_mask, input_ids, attention_mask)
        joint = self._joint(self._streams(*inputs))
        views = {"fusion": masked_mean(*joint)}
        if characters is None:
            return self._answer(FusionOutput(views), labels)
        fused = FusionOutput(views, lambda supervise: {"speech": self.decoder.loss(characters, joint)})
        return self._answer(fused, labels or {})

    @torch.no_grad()
    def generate_transcript(
        self, num_beams: int = 1, max_length: int = 256, length_penalty: float = 1.0, **inputs
    ) -> torch.Tensor:
        """Recognize speech by beam search.

        Args:
            num_beams: number of beams; 1 = greedy search.
            max_length: most characters per transcript, end token included; longer ones are cut.
            length_penalty: exponent of the length by which the log-probability of a transcript is divided.
            **inputs: as in `forward`. A row without an embedding has no characters.

        Returns:
            character ids `(batch, length)` with the end token and padding, for `batch_decode`.

        Raises:
            ValueError: `num_beams` or `max_length` is less than 1.
        """
        for name, value in (("num_beams", num_beams), ("max_length", max_length)):
            if value < 1:
                raise ValueError(f"`{name}` is {value}; expected a positive integer.")
        return self.decoder.recognize(self.embed(**inputs), num_beams, max_length, length_penalty)


AutoConfig.register(JointEmbeddingsConfig.model_type, JointEmbeddingsConfig)
AutoModel.register(JointEmbeddingsConfig, JointEmbeddingsForAffect)
AutoModelForPreTraining.register(JointEmbeddingsConfig, JointEmbeddingsForPreTraining)
