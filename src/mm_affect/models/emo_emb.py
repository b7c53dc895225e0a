# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EMO-EMB: classification by similarity to the word vectors of the labels, which allows zero-shot labels.

Paper: Dai, Liu, Yu, Fung (2020), "Modality-Transferable Emotion Embeddings for Low-Resource Multimodal Emotion
Recognition", AACL; a baseline of the fusion models in Dai et al. (2021), section 4.2. The word vectors E of the
labels are frozen and mapped to the size of each modality by a learned affine map. A bidirectional LSTM per modality
gives a vector of that size, and its product with a mapped label is the score of the label in that modality. Scores
are summed with one learned weight per modality.

This file computes the same numbers in the other order: since h (W e + b) = e (W' h) + b h, the vector of each
modality is mapped to the space of the words. Every view is a point of that space and an offset, `(batch, size + 1)`;
the weighted sum of the modalities is the view `"fusion"`; and a head consists of the vectors of its labels. No
parameter belongs to a label, so `with_labels` can give a trained model other labels.

Differences from the paper or from the public code:

* The LSTMs are read at the last real step instead of the last index of a padded batch (the same without padding). The
  backward direction of the last layer has read only one step there, and its recurrent weights multiply zeros, as in
  the public code.
* A single modality has a weight too, which the public code omits. A missing modality has a score of zero, and the
  weights of the others do not change.
* Regression tasks, which the paper does not have, get a linear head.
* Label vectors are read from a file in GloVe format. The default, `"hashed"`, gives every word a pseudo-random vector
  without meaning, as feature extraction does without such a file.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..features.word_vectors import HashedWordVectors, WordVectors
from ..tasks import Task
from .config_checks import check_dropouts, check_sizes
from .configuration import AffectConfig, FilledDict, published_emotions
from .layers.cpu_lstm import RaggedLSTM
from .layers.packing import TimePackedRows
from .layers.streams import Stream, weighted_sum
from .modeling import AffectPreTrainedModel, FusionOutput


@strict
class EmoEmbConfig(AffectConfig):
    """Configuration of EMO-EMB; the defaults are those of the paper, except for the word vectors.

    Args:
        hidden_sizes: Number of LSTM units per direction of each modality; the one of the text is the size of the word
            vectors, even if the model does not read text.
        num_hidden_layers: Number of layers of each LSTM.
        hidden_dropout_prob: Dropout between LSTM layers.
        label_words: Words that stand for the labels of a task, by task name; default: the names of the labels. The
            vectors of several words are averaged.
        label_vectors: `"hashed"`, or a file in GloVe format from which a new model takes the vectors of its label
            words. Afterwards it is None, because the vectors are stored with the weights.
    """

    model_type = "mm_affect_emo_emb"

    hidden_sizes: FilledDict = None  # type: ignore[assignment]
    num_hidden_layers: int = 2
    hidden_dropout_prob: float | int = 0.15
    label_words: FilledDict = None  # type: ignore[assignment]
    label_vectors: str | None = "hashed"

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.hidden_sizes = {"text": 300, "audio": 200, "visual": 100} | (self.hidden_sizes or {})
        self.label_words = self.label_words or {}

    def validate_sizes(self):
        """Check sizes and dropout."""
        check_sizes(self, ("num_hidden_layers",), by_modality=("hidden_sizes",))
        check_dropouts(self, ("hidden_dropout_prob",))

    def validate_label_words(self):
        """Check that label words belong to tasks and that each label has some."""
        labels = {task.name: task.labels for task in self.tasks}
        for name, words in self.label_words.items():
            if name not in labels:
                raise ValueError(f"`label_words` has the unknown task {name!r}; expected {', '.join(labels)}.")
            if len(words) != len(labels[name]) or not all(str(word).split() for word in words):
                raise ValueError(
                    f"`label_words[{name!r}]` is {list(words)}; expected one entry for each of {', '.join(labels[name])}."
                )

    @classmethod
    def paper(cls, corpus: str = "cmu_mosei", **fields) -> "EmoEmbConfig":
        """Return the settings of the paper with the emotions of `"cmu_mosei"` or `"iemocap"`."""
        return cls(**published_emotions(corpus) | fields)

    @classmethod
    def reference(cls, **fields) -> "EmoEmbConfig":
        """Return the settings of the public code, which equal those of the paper; its checkpoints can be converted."""
        return cls(**fields)


class LabelWords(nn.Module):
    """Head without parameters: the logit of a label is the product of its word vector and a view.

    Args:
        labels: names of the labels.
        size: size of the word vectors.
        vectors: `(labels, size)`, or None if they are loaded with the weights.
    """

    def __init__(self, labels: Sequence[str], size: int, vectors: np.ndarray | None):
        super().__init__()
        self.labels, self.given = labels, vectors
        self.vectors: torch.Tensor
        self.register_buffer("vectors", torch.zeros(len(labels), size) if vectors is None else torch.tensor(vectors))

    def reset_parameters(self):
        """Copy the label vectors, unless they were loaded with the weights.

        Raises:
            ValueError: there are no vectors to copy.
        """
        if getattr(self.vectors, "_is_hf_initialized", False):  # loaded with the weights
            return
        if self.given is None:
            raise ValueError(
                f"The labels {', '.join(self.labels)} have no word vectors, neither in the weights nor from "
                "`label_vectors`; set it to a file of vectors in GloVe format."
            )
        self.vectors.copy_(torch.from_numpy(self.given))

    def forward(self, view):
        """Return the logits `(batch, labels)` of a view `(batch, size + 1)`."""
        point, offset = view[:, :-1], view[:, -1:]
        return point @ self.vectors.t() + offset


class WordSpaceEncoder(GradientCheckpointingLayer):
    """Encoder of a modality into the space of the words."""

    def __init__(self, config: EmoEmbConfig, modality: str):
        super().__init__()
        size, words = config.hidden_sizes[modality], config.hidden_sizes["text"]
        dropout = config.hidden_dropout_prob if config.num_hidden_layers > 1 else 0.0
        self.lstm = RaggedLSTM(config.feature_sizes[modality], size, config.num_hidden_layers, dropout, True)
        self.affine = None if modality == "text" else nn.Linear(words, size)

    def forward(self, values, mask):
        """Return a point and an offset for each row, `(batch, size + 1)`."""
        steps = TimePackedRows(mask)
        hidden = self.lstm.last_step(steps.pack(values), steps).unflatten(-1, (2, -1)).sum(1)
        if self.affine is None:
            return F.pad(hidden, (0, 1))
        return hidden @ torch.cat([self.affine.weight, self.affine.bias.unsqueeze(1)], dim=1)


class ModalityWeights(nn.Module):
    """Sum of the views of the modalities with one learned weight each."""

    def __init__(self, number: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number))

    def reset_parameters(self):
        """Give all modalities the same weight, with a sum of 1."""
        nn.init.constant_(self.weight, 1 / len(self.weight))

    def forward(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of `views`."""
        return weighted_sum(self.weight, views)


class EmoEmbForAffect(AffectPreTrainedModel):
    """EMO-EMB; its views are `"fusion"` and one per modality, all in the space of the words."""

    config_class = EmoEmbConfig
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["WordSpaceEncoder"]  # type: ignore[misc]

    def build(self, config: EmoEmbConfig) -> dict[str, int]:
        """Create the layers and return the number of features of each view."""
        self.label_vectors = read_label_vectors(config)
        if config.label_vectors != "hashed":
            config.label_vectors = None
        self.encoders = nn.ModuleDict({m: WordSpaceEncoder(config, m) for m in config.modalities})
        self.modality_weights = ModalityWeights(len(config.modalities))
        return dict.fromkeys(("fusion", *config.modalities), config.hidden_sizes["text"] + 1)

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task."""
        if task.problem_type == "regression":
            return nn.Linear(size, 1)
        return LabelWords(task.labels, size - 1, self.label_vectors.get(task.name))

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Compute the views of a batch from its streams."""
        views = {m: encoder(*streams[m]) for m, encoder in self.encoders.items()}
        return FusionOutput({"fusion": self.modality_weights(list(views.values()))} | views)

    def with_labels(self, task: str, labels: Sequence[str], vectors: np.ndarray) -> "EmoEmbForAffect":
        """Return a copy of this model with other labels for a task, among them labels never trained on (zero-shot).

        Args:
            task: name of a classification task.
            labels: new labels in the order of the logits.
            vectors: `(labels, size)`, word vectors of the labels from the source of the training vectors, for example
                `WordVectors.from_glove(path, set(labels))(labels)`.

        Raises:
            ValueError: there is no such task, `vectors` has another shape, or a label has no vector (all zeros).
        """
        known = {known.name: known for known in self.config.tasks if known.problem_type != "regression"}
        if task not in known:
            raise ValueError(f"There is no classification task {task!r}; expected one of {', '.join(known)}.")
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
    """Return the label vectors `(labels, size)` of each classification task.

    Returns:
        vectors by task name; empty if they are stored with the weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: vectors have another size, or label words have no vector.
    """
    tasks = [task for task in config.tasks if task.problem_type != "regression"]
    words = {task.name: config.label_words.get(task.name, task.labels) for task in tasks}
    source, size = config.label_vectors, config.hidden_sizes["text"]
    if source is None:
        return {}
    vectors: HashedWordVectors | WordVectors
    if source == "hashed":
        vectors = HashedWordVectors(size)
    else:
        vocabulary = {word for labels in words.values() for label in labels for word in label.split()}
        vectors = WordVectors.from_glove(source, vocabulary)
    if vectors.size != size:
        raise ValueError(
            f"The word vectors in {source} have {vectors.size} values, but `hidden_sizes['text']` is {size}; they must be equal."
        )
    result = {name: np.stack([vectors(label.split()).mean(0) for label in labels]) for name, labels in words.items()}
    for name, labels in words.items():
        check_vectors(labels, result[name], source)
    return result


def check_vectors(labels: Sequence[str], vectors: np.ndarray, source: str) -> None:
    """Check that every label has a word vector.

    Raises:
        ValueError: a vector is all zeros.
    """
    missing = [label for label, vector in zip(labels, vectors, strict=True) if not vector.any()]
    if missing:
        raise ValueError(
            f"The label words {', '.join(missing)} have no vector in {source}; choose other words with `label_words`."
        )


AutoConfig.register(EmoEmbConfig.model_type, EmoEmbConfig)
AutoModel.register(EmoEmbConfig, EmoEmbForAffect)
