# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The tasks of a run, from its config and the label columns of its rows: weights, class weights, classes that are absent."""

import warnings
from dataclasses import replace

import numpy as np

from ..features.label_encoding import label_encoder
from ..label_field import LabelField
from ..tasks import Task
from .config import RunConfig


def make_tasks(config: RunConfig, fields: list[LabelField], train) -> list[Task]:
    """The tasks of the config, or one per label column, with class weights if `balance` asks for them.

    A task counts by its `weight`; without one by the confidence of its labels if they are weak, else by 1. A task of weight
    0 is not used (Dai et al. 2021, Table 9): the model has no head for it.

    Args:
        fields: the label fields of the training rows.
        train: the training rows.

    Raises:
        ValueError: a task reads a column that is not there, or no task is left.
    """
    columns = {field.name: field for field in fields}
    described = config.tasks or [
        {"name": name, "problem_type": column.problem_type, "value_range": column.range,
         "labels": column.labels if column.problem_type != "regression" else ()}
        for name, column in columns.items()
    ]  # fmt: skip
    tasks = []
    for task in described:
        read = Task.from_dict(task)
        if read.generated_from is None and read.source not in columns:
            raise ValueError(
                f"Task {read.name!r} reads {read.source!r}; the rows have the labels {', '.join(columns)}."
            )
        weak = columns[read.source].weak if read.source in columns else None
        if weak is not None and "weight" not in task:
            read = Task.from_dict(task | {"weight": weak.confidence})
        if read.weight:
            tasks.append(read)
    if not tasks:
        raise ValueError("Every task has weight 0, so nothing would be trained; give one a weight.")
    if not config.training.balance:
        return tasks
    return [add_class_weights(task, columns.get(task.source), train) for task in tasks]


def label_columns(config: RunConfig) -> set[str] | None:
    """The label columns that the tasks of the config read; None: all that there are."""
    if config.tasks is None:
        return None
    tasks = [Task.from_dict(task) for task in config.tasks]
    return {task.source for task in tasks if task.weight and task.generated_from is None}


def record_tasks(tasks: list[Task], fields: list[LabelField]) -> list[dict]:
    """The tasks that are measured as results tell them: as label fields, with the source of their labels if those are weak."""
    weak = {field.name: field.weak for field in fields}
    measured = [task for task in tasks if task.generated_from is None]
    return [replace(task.to_label_field(), weak=weak.get(task.source)).to_dict() for task in measured]


def add_class_weights(task: Task, column: LabelField | None, train) -> Task:
    """The task with class weights from the training rows: N_negative / N_positive per label, or N / (K N_k) per class."""
    if task.class_weights is not None or task.problem_type == "regression":
        return task
    samples, known = _count_samples(task, column, train)
    if task.problem_type == "multi_label_classification":
        weights = (known - samples) / np.maximum(samples, 1)
    else:
        weights = samples.sum() / (len(samples) * np.maximum(samples, 1))
    return Task.from_dict(task.to_dict() | {"class_weights": [round(float(w), 4) for w in weights]})


def _count_samples(task: Task, column: LabelField, rows) -> tuple[np.ndarray, np.ndarray | int]:
    """How many samples each class has, and how many rows are known (of several labels: per label)."""
    encode = label_encoder(task, column)
    targets = np.array([encode(row["labels"].get(task.source)) for row in rows], dtype=np.float64)
    if targets.ndim == 1:
        samples = np.array([(targets == i).sum() for i in range(task.num_outputs)])
        return samples, samples.sum()
    return np.nansum(targets, 0), (~np.isnan(targets)).sum(0)


def check_classes(tasks: list[Task], fields: list[LabelField], rows, where: str) -> list[Task]:
    """Warn of classes without a sample among these rows; return the tasks of which any row has a label.

    Args:
        where: the rows in words, such as "the validation split of rows/mosei".
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
        absent = [name for name, count in zip(task.labels, samples, strict=True) if not count]
        if absent:
            warnings.warn(
                f"{', '.join(absent)} of the task {task.name!r} has no sample in {where}: there it can be neither learned "
                "nor measured.",
                stacklevel=2,
            )
    return known_tasks
