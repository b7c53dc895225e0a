# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Label fields: the label columns of a corpus, with their classes, their range and the source of weak labels."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .vocabulary import PROBLEM_TYPES


@dataclass(frozen=True)
class WeakLabels:
    """Source of labels that a model predicted.

    Args:
        model: name of the model.
        weights_sha256: hash of its weights.
        task: task of the model whose predictions became labels.
        metric: metric of the model's score on its own validation split.
        confidence: that score, from 0 to 1.
        threshold: probability above which a label is present, one number or one per label; None if not applicable.
        least_confidence: rows with less certain predictions have no label.
        soft: True if the labels are probabilities, kept as intensities of a multi-label field.
    """

    model: str
    weights_sha256: str
    task: str
    metric: str
    confidence: float
    threshold: float | tuple[float, ...] | None
    least_confidence: float
    soft: bool

    def __post_init__(self):
        if isinstance(self.threshold, list):
            object.__setattr__(self, "threshold", tuple(self.threshold))

    def to_dict(self) -> dict:
        """Return the JSON form."""
        threshold = list(self.threshold) if isinstance(self.threshold, tuple) else self.threshold
        return asdict(self) | {"threshold": threshold}


@dataclass(frozen=True)
class LabelField:
    """A label column of a corpus.

    Args:
        name: name of the column.
        problem_type: `"regression"`, `"single_label_classification"` or `"multi_label_classification"`.
        labels: class names in the order of class indices or intensities; a regression has its own name.
        range: lowest and highest value, or None.
        strict: False if `range` is that of the scale and the corpus publishes labels outside of it, which are kept.
        weak: source of the labels if a model predicted them.

    Raises:
        ValueError: a value is invalid; the message names the field and the value.
    """

    name: str
    problem_type: str
    labels: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    strict: bool = True
    weak: WeakLabels | None = None

    def __post_init__(self):
        name, kind = self.name, self.problem_type
        if not isinstance(name, str) or not name:
            raise ValueError(f"A label field needs a `name`, a text that is not empty; found {name!r}.")
        if kind not in PROBLEM_TYPES:
            raise ValueError(
                f"Label field `{name}` has problem_type {kind!r}; it must be one of {', '.join(PROBLEM_TYPES)}."
            )
        labels = self.labels or ((name,) if kind == "regression" else ())
        if not isinstance(labels, list | tuple) or not labels or not all(isinstance(x, str) and x for x in labels):
            raise ValueError(f"Label field `{name}` needs `labels`, a list of class names; found {labels!r}.")
        if len(set(labels)) != len(labels):
            raise ValueError(f"Label field `{name}` names a class twice: {list(labels)!r}.")
        if kind == "regression" and len(labels) != 1:
            raise ValueError(f"Label field `{name}` is a regression, which has one value; found {len(labels)} labels.")
        if kind == "single_label_classification" and len(labels) < 2:
            raise ValueError(
                f"Label field `{name}` has the single class {labels[0]!r}; a classification needs two or more."
            )
        object.__setattr__(self, "labels", tuple(labels))
        object.__setattr__(self, "range", _check_range(self.range, name))
        if not isinstance(self.strict, bool):
            raise ValueError(f"Label field `{name}` has strict {self.strict!r}; it must be true or false.")
        if self.weak is not None:
            object.__setattr__(self, "weak", _check_weak(self.weak, name))

    @classmethod
    def from_dict(cls, field: "LabelField | Mapping") -> "LabelField":
        """Build a label field from its JSON form; a label field is returned as it is."""
        if isinstance(field, LabelField):
            return field
        if not isinstance(field, Mapping) or not isinstance(field.get("name"), str) or not field["name"]:
            raise ValueError(f"A label field needs a `name`, a text that is not empty; found {field!r}.")
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(field) - set(known))
        if unknown:
            raise ValueError(
                f"Label field `{field['name']}` has the unknown key `{unknown[0]}`; known: {', '.join(known)}."
            )
        values: dict[str, Any] = {"problem_type": None, **field}
        return cls(**values)

    def to_dict(self) -> dict:
        """Return the JSON form; `strict` and `weak` are present only if they are not the default."""
        field: dict[str, Any] = {"name": self.name, "problem_type": self.problem_type, "labels": list(self.labels)}
        field["range"] = None if self.range is None else list(self.range)
        strict = {} if self.strict else {"strict": False}
        return field | strict | ({} if self.weak is None else {"weak": self.weak.to_dict()})


def check_label_fields(label_fields: Iterable[LabelField | Mapping]) -> list[LabelField]:
    """Return the label fields, read from their JSON form where needed.

    Raises:
        ValueError: a field is invalid, or two have the same name.
    """
    checked = [LabelField.from_dict(field) for field in label_fields]
    names = [field.name for field in checked]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"Label field `{repeated[0]}` is declared twice.")
    return checked


def is_finite_number(value) -> bool:
    """Return True if `value` is a finite number (not a bool)."""
    return not isinstance(value, bool | str) and hasattr(value, "__float__") and math.isfinite(value)


def _check_range(bounds, name: str) -> tuple[float, float] | None:
    if bounds is None:
        return None
    if not (isinstance(bounds, list | tuple) and len(bounds) == 2 and all(map(is_finite_number, bounds))):
        raise ValueError(f"Label field `{name}` has range {bounds!r}; it must be [low, high] or null.")
    low, high = float(bounds[0]), float(bounds[1])
    if not low < high:
        raise ValueError(f"Label field `{name}` has range {[low, high]!r}; low must be less than high.")
    return low, high


def _check_weak(weak: WeakLabels | Mapping, name: str) -> WeakLabels:
    if not isinstance(weak, WeakLabels):
        known = [entry.name for entry in fields(WeakLabels)]
        if not isinstance(weak, Mapping) or set(weak) != set(known):
            raise ValueError(f"Label field `{name}` has `weak` {weak!r}; expected the keys {', '.join(known)}.")
        weak = WeakLabels(**weak)
    if not is_finite_number(weak.confidence) or not 0 <= weak.confidence <= 1:
        raise ValueError(f"Label field `{name}` has confidence {weak.confidence!r}; expected a number from 0 to 1.")
    return weak
