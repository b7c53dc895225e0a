# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoding of the labels of a row as targets of a task."""

import numpy as np

from ..label_field import LabelField
from ..messages import did_you_mean
from ..tasks import Task


def label_encoder(task: Task, field: LabelField, soft: bool = False):
    """Return a function from the label of a row to the target of a task.

    Targets are a float, a class index (-100 = unknown) or a list of floats (NaN = unknown). A regression column can
    be read as two classes, split at `task.positive_above`, or as an odd number n of classes, clipped to +-(n - 1) / 2
    and rounded half to even, as in Acc-5 and Acc-7 of sentiment. A column of classes can be read as several labels,
    one of which is present. Weak labels that are probabilities become the most probable class, or the labels with a
    probability above 0.5.

    Args:
        task: the task.
        field: label field of the corpus that the task reads.
        soft: keep weak labels as probabilities; those of the classes of a single-label task are normalized to a sum
            of 1.

    Raises:
        ValueError: the field cannot be read as the task, or lacks one of its labels.
    """
    kind, given = task.problem_type, field.problem_type
    if kind == "regression" and given == "regression":
        low, high = task.value_range if task.clip and task.value_range else (-np.inf, np.inf)
        return lambda value: np.nan if value is None else min(max(float(value), low), high)
    if kind == "single_label_classification" and given == "regression":
        classes = len(task.labels)
        if classes == 2:
            return lambda value: -100 if value is None else int(value > task.positive_above)
        if classes % 2 == 0:
            raise ValueError(
                f"Task {task.name!r} reads the regression column {field.name!r} as {classes} classes; expected 2 "
                "or an odd number of labels."
            )
        most = classes // 2
        return lambda value: -100 if value is None else most + round(min(max(value, -most), most))
    probabilities = field.weak is not None and field.weak.soft
    one_of_several = kind == "multi_label_classification" and given == "single_label_classification"
    if kind != given and not one_of_several and not (probabilities and kind == "single_label_classification"):
        raise ValueError(f"Task {task.name!r} ({kind}) cannot be read from the label column {field.name!r} ({given}).")
    for label in task.labels:
        if label not in field.labels:
            raise ValueError(
                f"Task {task.name!r} has the label {label!r}, which the corpus does not have."
                + did_you_mean(label, field.labels)
            )
    order = [field.labels.index(label) for label in task.labels]
    unknown = [np.nan] * len(order)
    if kind == given == "single_label_classification":
        index = {i: task.labels.index(label) for i, label in enumerate(field.labels) if label in task.labels}
        return lambda value: -100 if value is None else index.get(int(value), -100)
    if one_of_several:
        return lambda value: unknown if value is None else [float(i == value) for i in order]

    def encode(value):
        if value is None:
            return -100 if kind == "single_label_classification" and not soft else unknown
        picked = [value[i] for i in order]
        if kind == "single_label_classification":
            total = sum(picked)
            if soft:
                return [v / total for v in picked] if total else unknown
            return int(np.argmax(picked)) if total else -100
        if soft and probabilities:
            return picked
        least = 0.5 if probabilities else task.positive_above
        return [np.nan if v is None or v != v else float(v > least) for v in picked]

    return encode
