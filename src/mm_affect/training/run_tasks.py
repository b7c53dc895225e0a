# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tasks of a run, from its config and the label columns of its rows: weights, class weights, and missing classes."""

import warnings
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..features.label_encoding import label_encoder
from ..label_field import LabelField
from ..tasks import Task
from .config import RunConfig


def make_tasks(config: RunConfig, fields: list[LabelField], train: Iterable[dict]) -> list[Task]:
    """Create the tasks of the config, or one per label column, with class weights if `balance` is set.

    The default weight of a task is the confidence of its labels if they are weak, otherwise 1. A task of weight 0 is not
    used (Dai et al. 2021, Table 9): the model has no head for it.

    Args:
        config: Config of the run.
        fields: Label fields of the training rows.
        train: Training rows.

    Raises:
        ValueError: If a task reads a missing column, or no task is left.
    """
    columns = {field.name: field for field in fields}
    declared = config.tasks or [
        {"name": name, "problem_type": column.problem_type, "value_range": column.range,
         "labels": column.labels if column.problem_type != "regression" else ()}
        for name, column in columns.items()
    ]  # fmt: skip
    tasks = []
    for values in declared:
        task = Task.from_dict(values)
        if task.generated_from is None and task.source not in columns:
            raise ValueError(
                f"Task {task.name!r} reads {task.source!r}; the rows have the labels {', '.join(columns)}."
            )
        weak = columns[task.source].weak if task.source in columns else None
        if weak is not None and "weight" not in values:
            task = replace(task, weight=weak.confidence)
        if task.weight:
            tasks.append(task)
    if not tasks:
        raise ValueError("Every task has weight 0, so nothing would be trained; give one a weight.")
    if not config.training.balance:
        return tasks
    return [add_class_weights(task, columns.get(task.source), train) for task in tasks]


def label_columns(config: RunConfig) -> set[str] | None:
    """Return the label columns that the tasks of the config read; None: all columns of the rows."""
    if config.tasks is None:
        return None
    tasks = [Task.from_dict(task) for task in config.tasks]
    return {task.source for task in tasks if task.weight and task.generated_from is None}


def record_tasks(tasks: list[Task], fields: list[LabelField]) -> list[dict]:
    """Return the label fields of the measured tasks for results.json, with the source of weak labels."""
    weak = {field.name: field.weak for field in fields}
    measured = [task for task in tasks if task.generated_from is None]
    return [replace(task.to_label_field(), weak=weak.get(task.source)).to_dict() for task in measured]


def add_class_weights(task: Task, column: LabelField | None, train: Iterable[dict]) -> Task:
    """Return a task with class weights from the training rows.

    The weights are N_negative / N_positive per label of a multi-label task, or N / (K N_k) per class; a regression, and a
    task that has class weights, is returned unchanged.

    Args:
        task: The task.
        column: Label field that it reads.
        train: Training rows.
    """
    if column is None or task.class_weights is not None or task.problem_type == "regression":
        return task
    samples, known = _count_samples(task, column, train)
    if task.problem_type == "multi_label_classification":
        weights = (known - samples) / np.maximum(samples, 1)
    else:
        weights = samples.sum() / (len(samples) * np.maximum(samples, 1))
    return Task.from_dict(task.to_dict() | {"class_weights": [round(float(w), 4) for w in weights]})


def _count_samples(task: Task, column: LabelField, rows: Iterable[dict]) -> tuple[np.ndarray, np.ndarray | int]:
    """Count the samples of each class and the labeled rows (of multi-label tasks: per label)."""
    encode = label_encoder(task, column)
    targets = np.array([encode(row["labels"].get(task.source)) for row in rows], dtype=np.float64)
    if targets.ndim == 1:
        samples = np.array([(targets == i).sum() for i in range(task.num_outputs)])
        return samples, samples.sum()
    return np.nansum(targets, 0), (~np.isnan(targets)).sum(0)


def check_classes(tasks: list[Task], fields: list[LabelField], rows: Iterable[dict], where: str) -> list[Task]:
    """Warn of classes without samples, and return the tasks that any row has a label of.

    Args:
        tasks: Tasks of the run.
        fields: Label fields of the rows.
        rows: The rows.
        where: Name of the rows for the warning, such as "the validation split of rows/mosei".
    """
    columns = {field.name: field for field in fields}
    labels = [row["labels"] for row in rows]
    known_tasks = []
    for task in tasks:
        column = columns.get(task.source) if task.generated_from is None else None
        if column is None or not any(label.get(task.source) is not None for label in labels):
            continue
        known_tasks.append(task)
        if task.problem_type == "regression":
            continue
        samples, _ = _count_samples(task, column, [{"labels": label} for label in labels])
        missing = [name for name, count in zip(task.labels, samples, strict=True) if not count]
        if missing:
            warnings.warn(
                f"{', '.join(missing)} of the task {task.name!r} has no sample in {where}, so it can be neither learned nor "
                "measured there.",
                stacklevel=2,
            )
    return known_tasks
