# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EMO-EMB: what was felt is compared with the vectors of the words for it, so that words never trained on can be asked for.

Paper: Dai, Liu, Yu, Fung (2020), "Modality-Transferable Emotion Embeddings for Low-Resource Multimodal Emotion Recognition",
AACL; a peer of the fusion models in Dai et al. (2021), section 4.2. The word vectors E of the labels are frozen, and mapped to
the size of each modality by a learned affine map; a bidirectional LSTM per modality gives a vector of that size, whose
product with a mapped label is the modality's score of it; the scores are summed with one learned weight per modality.

Computed here the other way round, which gives the same numbers: as (W e + b) h = e (W' h) + b h, each modality's vector is
mapped to the space of the words instead. So every view is a point of that space and an offset, `(batch, size + 1)`, the
weighted sum of the modalities is the view `"fusion"`, and a head is nothing but the vectors of its labels: no parameter
belongs to a label, and `with_labels` asks a trained model for others.

Where this file differs from the paper or from the authors' public code, and why:

* The LSTMs are read at the last real step, not at the last index of a padded batch (the same without padding). There the
  backward direction of the last layer has read one step only, and its recurrent weights multiply zeros, as in the code.
* One modality alone has a weight, too, where the code leaves it out; a missing one scores nothing, and the weights of
  the others stay.
* A regression, which neither knows, has a linear head.
* The vectors are read from a GloVe-format file. The default, `"hashed"`, is the stand-in for word vectors that feature
  extraction has without such a file: then words mean nothing but themselves.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..features.word_vectors import HashedWordVectors, WordVectors
from ..tasks import Task
from .configuration import AffectConfig, check_dropouts, check_sizes, published_emotions
from .layers.cpu_lstm import RaggedLSTM
from .layers.packing import TimePackedRows
from .layers.streams import Stream
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class EmoEmbConfig(AffectConfig):
    """Configuration of EMO-EMB; the defaults are the paper's, but for the word vectors.

    Args:
        hidden_sizes: units per direction of the LSTM of each modality; that of the text is the size of the word vectors,
            whether the model reads text or not.
        num_hidden_layers: of each LSTM.
        hidden_dropout_prob: between these layers.
        label_words: per task the words for its labels; default: their names. Of several words the mean vector counts.
        label_vectors: `"hashed"`, or a file of vectors in GloVe's format, from which a new model takes those of its words.
            Afterwards it is None: they are among the weights.
    """

    model_type = "mm_affect_emo_emb"

    hidden_sizes: dict | None = None
    num_hidden_layers: int = 2
    hidden_dropout_prob: float | int = 0.15
    label_words: dict | None = None
    label_vectors: str | None = "hashed"

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.hidden_sizes = {"text": 300, "audio": 200, "visual": 100} | (self.hidden_sizes or {})
        self.label_words = self.label_words or {}

    def validate_sizes(self):
        check_sizes(self, ("num_hidden_layers",), by_modality=("hidden_sizes",))
        check_dropouts(self, ("hidden_dropout_prob",))

    def validate_label_words(self):
        labels = {task.name: task.labels for task in self.tasks}
        for name, words in self.label_words.items():
            if name not in labels:
                raise ValueError(f"`label_words` names the task {name!r}; `tasks` has {', '.join(labels)}.")
            if len(words) != len(labels[name]) or not all(str(word).split() for word in words):
                raise ValueError(
                    f"`label_words[{name!r}]` is {list(words)}; expected words for each of {', '.join(labels[name])}."
                )

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "EmoEmbConfig":
        """The paper's settings, with the emotions of `"cmu_mosei"` or `"iemocap"`."""
        return cls(**published_emotions(corpus) | fields)

    @classmethod
    def reference(cls, **fields) -> "EmoEmbConfig":
        """As the authors' public code, whose checkpoints it can hold; it has the paper's settings."""
        return cls(**fields)


class LabelWords(nn.Module):
    """A head that has no parameters: a label's logit is the product of its word vector with a view.

    `vectors`: `(labels, size)`, or None if they come with the weights.
    """

    def __init__(self, labels: Sequence[str], size: int, vectors: np.ndarray | None):
        super().__init__()
        self.labels, self.given = labels, vectors
        self.register_buffer("vectors", torch.zeros(len(labels), size) if vectors is None else torch.tensor(vectors))

    def reset_parameters(self):
        if getattr(self.vectors, "_is_hf_initialized", False):  # they came with the weights
            return
        if self.given is None:
            raise ValueError(
                f"The labels {', '.join(self.labels)} have no word vectors: neither the weights hold some, nor does "
                "`label_vectors` say where to find them; give it a file of vectors in GloVe's format."
            )
        self.vectors.copy_(torch.from_numpy(self.given))

    def forward(self, view):
        point, offset = view[:, :-1], view[:, -1:]
        return point @ self.vectors.t() + offset


class WordSpaceEncoder(GradientCheckpointingLayer):
    """A stream as a point of the space of the words and an offset, `(batch, size + 1)`."""

    def __init__(self, config: EmoEmbConfig, modality: str):
        super().__init__()
        size, words = config.hidden_sizes[modality], config.hidden_sizes["text"]
        dropout = config.hidden_dropout_prob if config.num_hidden_layers > 1 else 0.0
        self.lstm = RaggedLSTM(config.feature_sizes[modality], size, config.num_hidden_layers, dropout, True)
        self.affine = None if modality == "text" else nn.Linear(words, size)  # maps label words to the modality

    def forward(self, values, mask):
        steps = TimePackedRows(mask)
        hidden = self.lstm.last_step(steps.pack(values), steps).unflatten(-1, (2, -1)).sum(1)
        if self.affine is None:
            return F.pad(hidden, (0, 1))
        return hidden @ torch.cat([self.affine.weight, self.affine.bias.unsqueeze(1)], dim=1)


class ModalityWeights(nn.Module):
    """The sum of the views of the modalities, each with a learned weight."""

    def __init__(self, number: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number))

    def reset_parameters(self):
        nn.init.constant_(self.weight, 1 / len(self.weight))

    def forward(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        return sum(weight * view for weight, view in zip(self.weight, views, strict=True))


class EmoEmbForAffect(AffectPreTrainedModel):
    """EMO-EMB; views: `"fusion"` and one per modality, all in the space of the words."""

    config_class = EmoEmbConfig
    supports_gradient_checkpointing = True
    _no_split_modules = ("WordSpaceEncoder",)

    def build(self, config: EmoEmbConfig) -> dict[str, int]:
        self.label_vectors = read_label_vectors(config)
        if config.label_vectors != "hashed":
            config.label_vectors = None
        self.encoders = nn.ModuleDict({m: WordSpaceEncoder(config, m) for m in config.modalities})
        self.modality_weights = ModalityWeights(len(config.modalities))
        return dict.fromkeys(("fusion", *config.modalities), config.hidden_sizes["text"] + 1)

    def build_head(self, task: Task, size: int) -> nn.Module:
        if task.problem_type == "regression":
            return nn.Linear(size, 1)
        return LabelWords(task.labels, size - 1, self.label_vectors.get(task.name))

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        views = {m: encoder(*streams[m]) for m, encoder in self.encoders.items()}
        return FusionOutput({"fusion": self.modality_weights(list(views.values()))} | views)

    def with_labels(self, task: str, labels: Sequence[str], vectors: np.ndarray) -> "EmoEmbForAffect":
        """A copy of this model that answers other labels of a task: those it was never trained on, too (zero-shot).

        Args:
            task: name of a classification task.
            labels: the new ones, in the order of the logits.
            vectors: `(labels, size)`, of their words, from where those of the training came from: for instance
                `WordVectors.from_glove(path, set(labels))(labels)`.

        Raises:
            ValueError: no such task, vectors of another shape, or a label without one (all zeros).
        """
        known = {known.name: known for known in self.config.tasks if known.problem_type != "regression"}
        if task not in known:
            raise ValueError(f"There is no task {task!r} whose labels could be replaced; there is {', '.join(known)}.")
        vectors, size = np.asarray(vectors, np.float32), self.config.hidden_sizes["text"]
        if vectors.shape != (len(labels), size):
            raise ValueError(f"`vectors` has shape {vectors.shape}; expected {(len(labels), size)}, one per label.")
        check_vectors(labels, vectors, "`vectors`")
        threshold = known[task].threshold if isinstance(known[task].threshold, float | int) else 0.5
        changed = replace(known[task], labels=tuple(labels), class_weights=None, threshold=threshold)
        model = copy.deepcopy(self)
        model.config.tasks = [changed if other.name == task else other for other in self.config.tasks]
        model.config.label_words.pop(task, None)
        model.config.label_vectors = None
        head = LabelWords(labels, size, vectors).to(self.device, self.dtype)
        model.heads.tasks[task], model.heads.heads[task] = changed, head
        return model


def read_label_vectors(config: EmoEmbConfig) -> dict[str, np.ndarray]:
    """The vectors `(labels, size)` of the label words of each classification task; none if they are among the weights.

    Raises:
        FileNotFoundError, ValueError: no such file, vectors of another size, or label words without vectors.
    """
    tasks = [task for task in config.tasks if task.problem_type != "regression"]
    words = {task.name: config.label_words.get(task.name, task.labels) for task in tasks}
    source, size = config.label_vectors, config.hidden_sizes["text"]
    if source is None:
        return {}
    if source == "hashed":
        vectors = HashedWordVectors(size)
    else:
        vectors = WordVectors.from_glove(
            source, {word for labels in words.values() for label in labels for word in label.split()}
        )
    if vectors.size != size:
        raise ValueError(
            f"The word vectors in {source} have {vectors.size} numbers, but `hidden_sizes['text']` is {size}; the product of "
            "the two needs one size."
        )
    found = {name: np.stack([vectors(label.split()).mean(0) for label in labels]) for name, labels in words.items()}
    for name, labels in words.items():
        check_vectors(labels, found[name], source)
    return found


def check_vectors(labels: Sequence[str], vectors: np.ndarray, source: str) -> None:
    """Refuse label words whose vectors are missing, that is, zeros."""
    lacking = [label for label, vector in zip(labels, vectors, strict=True) if not vector.any()]
    if lacking:
        raise ValueError(
            f"The label words {', '.join(lacking)} have no vector in {source}; choose other words for them (`label_words`)."
        )


AutoConfig.register(EmoEmbConfig.model_type, EmoEmbConfig)
AutoModel.register(EmoEmbConfig, EmoEmbForAffect)
