# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prediction tasks: what a head predicts, from which view, and the weight of its loss."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from .label_field import LabelField
from .messages import did_you_mean
from .vocabulary import PROBLEM_TYPES


@dataclass(frozen=True)
class Task:
    """One prediction task of a model.

    Args:
        name: Key of the task in `labels`, `logits` and `losses`.
        problem_type: `"regression"`, `"single_label_classification"` or `"multi_label_classification"`.
        labels: Class names in the order of the logits; empty for a regression, which has one output.
        view: View that the head reads: `"fusion"`, or a modality for which the architecture has a view.
        weight: Weight of the loss of the task in the total (lambda_j of Dai et al. 2021, section 4).
        column: Label column that the task is read from; default: the name of the task.
        positive_above: Intensity above which a label is present (multi-label), or above which a regression column read
            as two classes is class 1. The convention of CMU-MOSEI is 0. (A column read as an odd number of classes,
            lowest first, is rounded: see `label_encoder`.)
        class_weights: Weight of each class: `pos_weight` of the binary cross-entropy (multi-label), or the class
            weights of the cross-entropy (single-label).
        label_smoothing: Label smoothing of the single-label cross-entropy, in training only.
        threshold: Probability above which a label is predicted (multi-label): one number, or one per label.
        metric_thresholds: Thresholds per label of metrics that use their own, by name of the metric; predictions and
            other metrics use `threshold`.
        value_range: Lowest and highest meaningful value of a regression, or None.
        clip: Clip the targets of a regression to `value_range`, in training and evaluation.
        regression_loss: Loss of a regression: `"l1"`, `"l2"` or `"huber"`.
        generated_from: Regression task from whose labels those of this task are generated in training (ULGM of SUGRM,
            Self-MM). Rows have no such labels, so the task is predicted but not measured in evaluation.
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
            raise ValueError(f"Task {self.name!r} has weight {self.weight}; expected 0 or more.")
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
        """Return the task with the fields of a dict; a task is returned unchanged.

        Raises:
            ValueError: a field is unknown or has a wrong value.
        """
        if isinstance(task, Task):
            return task
        known = [field.name for field in fields(cls)]
        for name in task:
            if name not in known:
                raise ValueError(f"Unknown task field {name!r}.{did_you_mean(name, known)}")
        return cls(**task)

    def to_dict(self) -> dict:
        """Return the fields as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def num_outputs(self) -> int:
        """Return the number of logits: 1 for a regression, one per label otherwise."""
        return 1 if self.problem_type == "regression" else len(self.labels)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the scores of logits `(n, outputs)`.

        They are values `(n,)` for a regression, else class or label probabilities `(n, labels)`.
        """
        logits = np.asarray(logits, np.float64)
        if self.problem_type == "regression":
            return logits[:, 0]
        if self.problem_type == "multi_label_classification":
            return 1 / (1 + np.exp(-logits))
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        return shifted / shifted.sum(-1, keepdims=True)

    @property
    def source(self) -> str:
        """Return the label column that the task is read from."""
        return self.column or self.name

    def to_label_field(self) -> LabelField:
        """Return the label field that the task predicts."""
        return LabelField(self.name, self.problem_type, self.labels or (self.name,), self.value_range)
