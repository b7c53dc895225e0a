# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every architecture is configured with: the modalities it reads and the tasks it answers."""

import difflib
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

import numpy as np
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


MODALITIES = ("text", "audio", "visual")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")


@dataclass(frozen=True)
class Task:
    """One head: what it predicts, from which view, and how much its loss counts.

    Args:
        name: key of the task in `labels`, `logits` and `losses`.
        problem_type: `"regression"`, `"single_label_classification"` or `"multi_label_classification"`.
        labels: class names in the order of the logits; empty for a regression, which has one output.
        view: the view the head reads, `"fusion"` or a modality that the architecture offers as a view.
        weight: factor of the task's loss in the total (lambda_j of Dai et al. 2021, section 4).
        column: label column of the rows that the task is read from; default: the task's own name.
        positive_above: an intensity counts as "present" above this value (multi-label), and a regression column
            read as two classes is class 1 above it. CMU-MOSEI's convention is 0. (Read as an odd number of classes,
            lowest first, such a column is rounded: see `label_encoder`.)
        class_weights: one factor per class: `pos_weight` of the binary cross-entropy (multi-label) or the class
            weights of the cross-entropy (single-label).
        label_smoothing: of the single-label cross-entropy, in training only.
        threshold: probability from which a label is predicted (multi-label): one number or one per label.
        metric_thresholds: thresholds, one per label, of metrics that are measured with their own, by the metrics' names;
            predictions, and the other metrics, use `threshold`.
        value_range: lowest and highest meaningful value of a regression, or None.
        clip: whether the targets of a regression are clipped to `value_range`, in training and in evaluation.
        regression_loss: `"l1"`, `"l2"` or `"huber"`.
        generated_from: the regression task from whose labels this task's are generated during training (ULGM of SUGRM,
            Self-MM); the rows have none, so in evaluation the task is predicted, not measured.
    """

    name: str
    problem_type: str = "multi_label_classification"
    labels: tuple[str, ...] = ()
    view: str = "fusion"
    weight: float = 1.0
    column: str | None = None
    positive_above: float = 0.0
    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    threshold: float | tuple[float, ...] = 0.5
    metric_thresholds: dict[str, list[float]] | None = None
    value_range: tuple[float, float] | None = None
    clip: bool = False
    regression_loss: str = "l1"
    generated_from: str | None = None

    def __post_init__(self):
        for name in ("labels", "class_weights", "threshold", "value_range"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.name:
            raise ValueError("A task needs a name.")
        if "." in self.name:  # nn.ModuleDict keys and metric names are dotted
            raise ValueError(f"Task name {self.name!r} contains a dot; use letters, digits and underscores.")
        if self.problem_type not in PROBLEM_TYPES:
            raise ValueError(
                f"Task {self.name!r} has problem_type {self.problem_type!r}; expected one of {', '.join(PROBLEM_TYPES)}."
            )
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"Task {self.name!r} has the weight {self.weight}; expected 0 or more.")
        if self.problem_type == "regression":
            if len(self.labels) > 1:
                raise ValueError(f"Regression task {self.name!r} has {len(self.labels)} labels; it has one output.")
        elif len(self.labels) < (2 if self.problem_type == "single_label_classification" else 1):
            raise ValueError(f"Task {self.name!r} ({self.problem_type}) has too few labels: {list(self.labels)}.")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"Task {self.name!r} names a label twice: {list(self.labels)}.")
        for name in ("class_weights", "threshold"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.num_outputs:
                raise ValueError(
                    f"Task {self.name!r} has {len(value)} {name} for {self.num_outputs} labels; give one per label."
                )
        for metric, thresholds in (self.metric_thresholds or {}).items():
            if len(thresholds) != self.num_outputs:
                raise ValueError(
                    f"Task {self.name!r} has {len(thresholds)} thresholds of {metric} for {self.num_outputs} labels; give "
                    "one per label."
                )
        if self.clip and (self.problem_type != "regression" or self.value_range is None):
            raise ValueError(f"Task {self.name!r} has `clip`, which needs a regression with a `value_range`.")
        if self.regression_loss not in ("l1", "l2", "huber"):
            raise ValueError(
                f"Task {self.name!r} has regression_loss {self.regression_loss!r}; expected l1, l2 or huber."
            )
        if self.generated_from is not None and self.problem_type != "regression":
            raise ValueError(
                f"Task {self.name!r} ({self.problem_type}) has `generated_from`; only labels of a regression are generated."
            )

    @classmethod
    def from_dict(cls, task: "Task | dict") -> "Task":
        if isinstance(task, Task):
            return task
        known = [field.name for field in fields(cls)]
        for name in task:
            if name not in known:
                raise ValueError(f"Unknown task field {name!r}.{suggestion(name, known)}")
        return cls(**task)

    def to_dict(self) -> dict:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def num_outputs(self) -> int:
        return 1 if self.problem_type == "regression" else len(self.labels)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits `(n, outputs)` as scores: values `(n,)`, class probabilities or label probabilities `(n, labels)`."""
        logits = np.asarray(logits, np.float64)
        if self.problem_type == "regression":
            return logits[:, 0]
        if self.problem_type == "multi_label_classification":
            return 1 / (1 + np.exp(-logits))
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        return shifted / shifted.sum(-1, keepdims=True)

    @property
    def source(self) -> str:
        """The label column the task is read from."""
        return self.column or self.name


def suggestion(name: str, known) -> str:
    """` Did you mean ...?` or a list of what is known."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(known))}."


def check_choices(config, choices: dict[str, tuple]) -> None:
    """Refuse a field of `config` that is none of its choices."""
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; expected one of {', '.join(map(str, allowed))}.")


def check_sizes(config, names: tuple[str, ...], by_modality: tuple[str, ...] = ()) -> None:
    """Refuse sizes of `config` that are not positive whole numbers, or are given for an unknown modality."""
    sizes = {name: getattr(config, name) for name in names}
    for name in by_modality:
        for modality, size in getattr(config, name).items():
            if modality not in MODALITIES:
                raise ValueError(f"`{name}` names the unknown modality {modality!r}.")
            sizes[f"{name}[{modality!r}]"] = size
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"`{name}` is {size!r}; it must be a positive whole number.")


def check_dropouts(config, names: tuple[str, ...]) -> None:
    """Refuse probabilities of `config` that are negative, or 1 or more."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; it must be at least 0 and less than 1.")


def check_heads(config) -> None:
    """Refuse attention heads that do not share `hidden_size` equally."""
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"`hidden_size` is {config.hidden_size}, which {config.num_attention_heads} attention heads do not divide."
        )


def published_emotions(corpus: str) -> dict:
    """The config's field `tasks` for the emotions of `"iemocap"`; nothing for `"cmu_mosei"`, whose emotions are the default."""
    if corpus not in ("cmu_mosei", "iemocap"):
        raise ValueError(f"The paper has settings for cmu_mosei and iemocap, not for {corpus!r}.")
    return {"tasks": [Task("emotion", labels=("neutral", "happy", "sad", "anger"))]} if corpus == "iemocap" else {}


DEFAULT_TASKS = (Task("emotion", "multi_label_classification", EMOTIONS),)

# Names that transformers itself stores in a config beside the declared fields.
_TRANSFORMERS_EXTRAS = {
    "attn_implementation", "_attn_implementation_internal", "auto_map", "_commit_hash", "dtype", "torch_dtype", "model_type",
    "_experts_implementation_internal", "name_or_path", "_name_or_path", "num_labels", "output_attentions",
    "transformers_version", "experts_implementation", "use_cache",
}  # fmt: skip


@strict
class AffectConfig(PreTrainedConfig):
    """Fields that every architecture shares.

    Args:
        modalities: the streams the model reads; always kept in the order text, audio, visual, because a JSON
            object forgets the order of its keys.
        feature_sizes: features per step of each modality.
        tasks: the heads, as `Task` or as dicts of its fields.
        loss_weights: factor of each loss of the architecture's own (not of the tasks, which carry their weight).
        text_config: configuration of a pretrained text encoder; with it the model takes `input_ids`.
    """

    model_type = "mm_affect"
    sub_configs_defaults: ClassVar = {"text_config": SubConfigSpec(AutoConfig, model_type="bert", optional=True)}
    keys_to_ignore_at_inference: ClassVar = [
        "pooler_output", "losses", "representations", "hidden_states", "attentions",
    ]  # fmt: skip

    modalities: list | tuple = MODALITIES
    feature_sizes: dict | None = None
    tasks: list | tuple = DEFAULT_TASKS
    loss_weights: dict | None = None
    text_config: dict | PreTrainedConfig | None = None

    def __post_init__(self, **kwargs):
        known = {field.name for field in fields(self)}
        for name in kwargs:
            if name not in _TRANSFORMERS_EXTRAS | known:
                raise ValueError(f"Unknown field {name!r} of {type(self).__name__}.{suggestion(name, known)}")
        unknown = [m for m in self.modalities if m not in MODALITIES]
        if unknown or not self.modalities:
            raise ValueError(f"Unknown modalities {unknown}; expected some of {', '.join(MODALITIES)}.")
        self.modalities = [m for m in MODALITIES if m in self.modalities]
        sizes = {"text": 300, "audio": 74, "visual": 35} | (self.feature_sizes or {})
        surplus = set(sizes) - set(MODALITIES)
        if surplus:
            raise ValueError(f"`feature_sizes` names the unknown modality {sorted(surplus)[0]!r}.")
        self.feature_sizes = {m: sizes[m] for m in self.modalities}
        self.tasks = [Task.from_dict(task) for task in self.tasks]
        super().__post_init__(**kwargs)
        if self.text_config is not None and "text" in self.modalities:
            self.feature_sizes["text"] = self.text_config.hidden_size

    @classmethod
    def paper(cls, **fields) -> "AffectConfig":
        """The paper's settings: the defaults, where an architecture does not say otherwise."""
        return cls(**fields)

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """Of the text encoder, if there is one. Here `decoder` and the like are names of choices; transformers would take a
        field of such a name for a configuration."""
        return self if self.text_config is None else self.text_config

    def validate_tasks(self):
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"`tasks` must have at least one task and no name twice; got {names}.")
        origins = [t.name for t in self.tasks if t.problem_type == "regression" and t.generated_from is None]
        for task in self.tasks:
            if task.generated_from is not None and task.generated_from not in origins:
                raise ValueError(
                    f"Labels of the task {task.name!r} are to be generated from {task.generated_from!r}, which must be a "
                    f"regression whose own labels the rows have; there are: {', '.join(origins) or 'none'}."
                )

    def validate_feature_sizes(self):
        for modality, size in self.feature_sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`feature_sizes[{modality!r}]` is {size!r}; it must be a positive whole number.")

    def to_dict(self) -> dict:
        return super().to_dict() | {"tasks": [task.to_dict() for task in self.tasks]}
