# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint embeddings of speech, face and words, made by multi-task pretraining.

Paper: Khare, Parthasarathy, Sundaram (2021), "Multi-modal embeddings using multi-task learning for emotion recognition". Text and
video are brought into the time of the audio: of three Transformer encoders one reads the audio, and two start from the audio
and read the words, or the pictures, by cross-modal attention. Their weighted sum is the joint embedding, one step per step
of audio. It is pretrained by speech recognition (a decoder over characters) and person identification (a linear layer on the
mean over time), and then tuned on emotions (another linear layer on the mean).

No code is public. Where the paper is silent, or this file differs, and why:

* Projections have a bias; sinusoidal positions and dropout of 0.1 follow. Layers norm first, as in MulT, whose cross-modal
  layers these are, with one norm for queries and keys; `norm_first=False` norms behind. There is no norm after the last layer;
  `final_norm` adds it, to the decoder too.
* The cross-modal encoders start from the projected audio, and read the projected words or pictures in every layer;
  `cross_query="encoded"` starts from what the audio encoder gives.
* The feed-forward step is narrower (200) than the model (512): unusual, but stated.
* The head of emotions reads the mean over time, as that of persons does.
* A modality that a row lacks gets the weight 0 and the others keep theirs, as in the paper's ablation;
  `renormalize_weights` lets them grow to the same sum.
* A row without audio has no embedding in the paper, "one of the major drawbacks". `missing_audio="text_query"` starts from the
  projected words instead, `"learned_query"` from learned steps. Where there is audio, neither changes anything.
* The decoder predicts each character from those before it; its loss is the mean over the characters of a batch. It has no label
  smoothing and no CTC loss, and embedding and output share no weights.

`JointEmbeddingsForAffect` has the tasks of its config and nothing else; `JointEmbeddingsForPreTraining` adds the decoder. Person
identification is a task like any other. A transcript is none: its loss needs the characters as input too, which no view can
give, so `forward` takes them, `characters`, beside the labels.
"""

from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from ..tasks import Task
from ..vocabulary import MODALITIES
from .configuration import AffectConfig, check_choices, check_dropouts, check_heads, check_sizes
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
    """Configuration of the joint embeddings; the defaults are the paper's for emotions.

    Args:
        hidden_size, num_attention_heads, intermediate_size: of each of the three encoders, and of the decoder.
        encoder_layers: of each encoder.
        norm_first: layer norm before each step of a layer, or, if False, after the sums.
        final_norm: a norm behind each encoder and the decoder.
        cross_query: what the cross-modal encoders start from: `"projected"` audio, or `"encoded"`.
        modality_weights: factor of each modality's encoder in the sum; default: equal ones, of sum 1.
        renormalize_weights: where a row lacks modalities, the weights of the others grow to the same sum.
        missing_audio: what stands in for the audio of a row that has none: `"text_query"`, `"learned_query"`, or None, and
            such a row has no embedding.
        num_queries: steps of the learned query.
        decoder_layers, vocab_size, pad_token_id, bos_token_id, eos_token_id: of the decoder over characters.
        embedding_dropout_prob: of what is projected and of embedded characters.
        attention_dropout: of attention weights.
        hidden_dropout_prob: of what attention and feed-forward step add, and inside the latter.
    """

    model_type = "mm_affect_joint_embeddings"

    hidden_size: int = 512
    num_attention_heads: int = 4
    intermediate_size: int = 200
    encoder_layers: int = 4
    norm_first: bool = True
    final_norm: bool = False
    cross_query: str = "projected"
    modality_weights: dict | None = None
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
        check_sizes(self, ("hidden_size", "num_attention_heads", "intermediate_size", "encoder_layers"))
        check_sizes(self, ("num_queries", "decoder_layers", "vocab_size"))
        check_dropouts(self, ("embedding_dropout_prob", "attention_dropout", "hidden_dropout_prob"))
        check_choices(self, {"cross_query": ("projected", "encoded")})
        check_heads(self)

    def validate_weights(self):
        weights = self.modality_weights.values()
        if not all(isinstance(w, float | int) and w >= 0 for w in weights) or not sum(weights) > 0:
            raise ValueError(
                f"`modality_weights` is {self.modality_weights}; expected numbers of at least 0, and one above it."
            )

    def validate_missing_audio(self):
        check_choices(self, {"missing_audio": (None, "text_query", "learned_query")})
        queries = {None: ["audio"], "text_query": ["audio", "text"]}.get(self.missing_audio, MODALITIES)
        if not set(queries) & set(self.modalities):
            raise ValueError(
                f"The model reads {', '.join(self.modalities)}, and has nothing to bring them to: add "
                f"{' or '.join(queries)} to `modalities`, or set `missing_audio` to 'learned_query'."
            )

    @classmethod
    def pretraining(cls, speakers: list[str] | tuple[str, ...], **fields) -> "JointEmbeddingsConfig":
        """The paper's pretraining: 0.8 of speech recognition, 0.2 of telling these `speakers` apart, and its weights."""
        person = Task("person", "single_label_classification", tuple(speakers), weight=0.2)
        weights = {"text": 0.2, "audio": 0.4, "visual": 0.4}
        ours = {"tasks": [person], "loss_weights": {"speech": 0.8}, "modality_weights": weights}
        return cls(**(ours | fields))


class CrossModalLayer(ResidualLayer):
    """Attention to the memory, or to the steps themselves, and the feed-forward step; all packed, `(steps, size)`."""

    def __init__(self, config: JointEmbeddingsConfig):
        super().__init__(config)
        self.attention = PackedAttention(
            config, config.hidden_size, config.num_attention_heads, config.attention_dropout
        )
        self.attention_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, values, pairs: AttentionPairs, memory=None):
        if memory is not None and self.norm_first:
            memory = self.attention_norm(memory)
        values = self.add(values, self.attention_norm, lambda given: self.attention(given, pairs, memory)[0])
        return self.feed_forward(values)


class JointEncoder(nn.Module):
    """A stack of layers over the steps of `query`, each of which reads `memory`, or the steps themselves."""

    def __init__(self, config: JointEmbeddingsConfig):
        super().__init__()
        self.layers = nn.ModuleList(CrossModalLayer(config) for _ in range(config.encoder_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size) if config.final_norm else nn.Identity()

    def forward(self, query: Stream, memory: Stream | None = None) -> Stream:
        rows = PackedRows(query.mask)
        read = None if memory is None else PackedRows(memory.mask)
        packed, pairs = rows.pack(query.values), AttentionPairs(rows, read)
        memory = None if memory is None else read.pack(memory.values)
        for layer in self.layers:
            packed = layer(packed, pairs, memory)
        return Stream(rows.unpack(self.final_norm(packed)), query.mask)


class LearnedQuery(nn.Module):
    """Learned steps, the same for every row."""

    def __init__(self, num_queries: int, size: int):
        super().__init__()
        self.steps = nn.Parameter(torch.empty(num_queries, size))

    def reset_parameters(self):
        nn.init.normal_(self.steps)

    def forward(self, batch_size: int) -> Stream:
        values = self.steps.expand(batch_size, -1, -1)
        return Stream(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))


class JointEmbeddingsForAffect(AffectPreTrainedModel):
    """The joint embeddings with one linear head per task on their mean over time, the view `"fusion"`.

    Example:
        >>> config = JointEmbeddingsConfig(tasks=[...])  # and the sizes of the pretrained one, if they are not the paper's
        >>> model = AutoModel.from_pretrained("pretrained", config=config, new_heads=True)  # no decoder, no persons
    """

    config_class = JointEmbeddingsConfig
    ignored_weights = ("decoder.",)
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["CrossModalLayer", "DecoderLayer"]
    _can_record_outputs: ClassVar = {
        "hidden_states": OutputRecorder(JointEncoder, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(Attention, index=1),
    }

    def build(self, config: JointEmbeddingsConfig) -> dict[str, int]:
        size = config.hidden_size
        self.projections = nn.ModuleDict({m: nn.Linear(n, size) for m, n in config.feature_sizes.items()})
        self.positions = SinusoidalPositions()
        self.dropout = Dropout(config.embedding_dropout_prob)
        self.queries = LearnedQuery(config.num_queries, size) if config.missing_audio == "learned_query" else None
        self.encoders = nn.ModuleDict({m: JointEncoder(config) for m in config.modalities})
        return {"fusion": size}

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        return FusionOutput({"fusion": masked_mean(*self._joint(streams))})

    def embed(self, **inputs) -> Stream:
        """The joint embedding, `(batch, steps, hidden_size)`, and which steps are real: those of the audio, or of what stands in
        for it. It can be the stream of another model; its mean over time is the fusion view.

        Args:
            inputs: as of `forward`: the modalities, their masks, or `input_ids`.
        """
        return self._joint(self._streams(**inputs))

    def _joint(self, streams: dict[str, Stream]) -> Stream:
        projected = {m: self._project(m, stream) for m, stream in streams.items()}
        query, weights = self._query(projected), self._weights(streams)
        parts = {}
        if "audio" in streams:
            parts["audio"] = self.encoders["audio"](query)
            if self.config.cross_query == "encoded":
                heard = streams["audio"].mask.any(1)[:, None, None]
                query = Stream(torch.where(heard, parts["audio"].values, query.values), query.mask)
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
        """The steps that the encoders start from: audio, or what stands in for it in rows without."""
        audio, words = projected.get("audio"), projected.get("text")
        if self.config.missing_audio is None:
            return audio
        other = words if self.queries is None else self.queries(next(iter(projected.values())).mask.shape[0])
        if audio is None or other is None:
            return audio or other
        heard, steps = audio.mask.any(1), longest([audio, other])
        audio, other = lengthened(audio, steps), lengthened(other, steps)
        values = torch.where(heard[:, None, None], audio.values, other.values)
        return Stream(values, (audio.mask & heard[:, None]) | (other.mask & ~heard[:, None]))

    def _weights(self, streams: dict[str, Stream]) -> dict[str, torch.Tensor]:
        """What each encoder counts in each row, `(batch,)`; 0 where the row lacks the modality."""
        fixed = self.config.modality_weights
        weights = {m: fixed[m] * stream.mask.any(1).to(stream.values.dtype) for m, stream in streams.items()}
        if not self.config.renormalize_weights:
            return weights
        left = sum(weights.values())
        scale = torch.where(left > 0, sum(fixed.values()) / left.clamp_min(1e-6), 0.0)
        return {m: weight * scale for m, weight in weights.items()}


class JointEmbeddingsForPreTraining(JointEmbeddingsForAffect):
    """The joint embeddings with their decoder: the loss `"speech"` beside those of the tasks, and transcripts."""

    ignored_weights = ()

    def build(self, config: JointEmbeddingsConfig) -> dict[str, int]:
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
        """As of every model, with one more argument.

        Args:
            characters: `(batch, length)`, ids of each transcript closed by the end token; -100 = none. With them there is
                the loss `"speech"`, their mean cross-entropy.
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
        """What is said: ids of characters, `(batch, length)`, closed by the end token and padded; for `batch_decode`.

        Args:
            num_beams: transcripts that are followed at a time; 1 takes the most probable character each time (greedy).
            max_length: of a transcript, with the end token; what would be longer is cut.
            length_penalty: the best is that whose log-probability, divided by its length to this power, is greatest.
            inputs: as of `forward`. A row that has no embedding has no characters.

        Raises:
            ValueError: less than one beam, or a length of less than one character.
        """
        for name, value in (("num_beams", num_beams), ("max_length", max_length)):
            if value < 1:
                raise ValueError(f"`{name}` is {value}; it must be a positive whole number.")
        return self.decoder.recognize(self.embed(**inputs), num_beams, max_length, length_penalty)


AutoConfig.register(JointEmbeddingsConfig.model_type, JointEmbeddingsConfig)
AutoModel.register(JointEmbeddingsConfig, JointEmbeddingsForAffect)
AutoModelForPreTraining.register(JointEmbeddingsConfig, JointEmbeddingsForPreTraining)
