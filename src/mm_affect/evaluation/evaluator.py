# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prediction of rows and computation of metrics, for every subset of the modalities."""

import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from transformers import EvalPrediction

from ..data.ragged import RowDataset
from ..features.collator import AffectCollator
from ..features.processor import AffectProcessor
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from ..vocabulary import MODALITIES
from .metrics import PER_LABEL, TUNABLE, compute_task_metrics, tune_thresholds


TaskArrays = dict[str, np.ndarray]  # of an EvalPrediction here, whose annotations admit single arrays only


def without_warnings(function: Callable) -> Callable:
    """Return `function` with its warnings suppressed, such as those of metrics undefined on a small validation split."""

    def quiet(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)

    return quiet


def compute_metrics(tasks: list[Task], prediction: EvalPrediction) -> dict[str, float]:
    """Compute the metrics of every task that has labels.

    Args:
        tasks: tasks of the model; a metric in `metric_thresholds` uses those thresholds, every other one `threshold`.
        prediction: per task, logits `(rows, outputs)` and labels `(rows,)` or `(rows, labels)`, see `predict`.

    Returns:
        Values by `<task>.<metric>`, see `metrics.compute_task_metrics`.
    """
    predictions, labels = cast(TaskArrays, prediction.predictions), cast(TaskArrays, prediction.label_ids)
    metrics: dict[str, float] = {}
    for task in tasks:
        if task.name in labels:
            truth, scores = labels[task.name], task.scores(predictions[task.name])
            field = task.to_label_field().to_dict()
            values = compute_task_metrics(field, truth, scores, task.threshold)
            for metric, thresholds in (task.metric_thresholds or {}).items():
                own = without_warnings(compute_task_metrics)(field, truth, scores, thresholds)
                values |= {name: value for name, value in own.items() if name.split(".")[0] == metric}
            metrics |= {f"{task.name}.{name}": value for name, value in values.items()}
    return metrics


@torch.no_grad()
def predict(model: AffectPreTrainedModel, collator: AffectCollator, rows, batch_size: int = 64) -> EvalPrediction:
    """Run the model on every row, in order.

    Returns:
        Per task, `predictions` holds logits `(rows, outputs)` and `label_ids` labels `(rows,)` or `(rows, labels)`.
    """
    model.eval()
    logits: dict[str, list[np.ndarray]] = {}
    labels: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(rows), batch_size):
        batch = collator([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
        truth = batch.pop("labels")
        output = model(**{name: values.to(model.device) for name, values in batch.items()})
        for name, values in output.logits.items():
            logits.setdefault(name, []).append(values.float().cpu().numpy())
        for name, values in truth.items():
            labels.setdefault(name, []).append(values.numpy())
    joined: list[Any] = [{name: np.concatenate(parts) for name, parts in side.items()} for side in (logits, labels)]
    return EvalPrediction(predictions=joined[0], label_ids=joined[1])


def list_modality_subsets(modalities) -> list[tuple[str, ...]]:
    """List every non-empty subset of the modalities, largest first."""
    count = len(modalities)
    subsets = [
        tuple(m for i, m in enumerate(modalities) if bits >> (count - 1 - i) & 1) for bits in range(1, 2**count)
    ]
    return sorted(subsets, key=lambda subset: (-len(subset), [MODALITIES.index(m) for m in subset]))


def predict_subsets(
    model, processor: AffectProcessor, rows, label_fields, batch_size: int = 64
) -> dict[str, EvalPrediction]:
    """Run `predict` with every subset of the model's modalities, largest first; keys are like `"text+audio"`."""
    collator = AffectCollator(processor, model.config.tasks, label_fields)
    return {
        "+".join(subset): predict(model, collator, RowDataset(rows, subset), batch_size)
        for subset in list_modality_subsets(model.config.modalities)
    }


def evaluate_subsets(model, processor: AffectProcessor, rows, label_fields, batch_size: int = 64) -> dict[str, dict]:
    """Compute the metrics for every subset of the model's modalities, with the other modalities missing.

    Returns:
        Metrics by subset, such as `"text+audio"`, largest subset first.
    """
    predictions = predict_subsets(model, processor, rows, label_fields, batch_size)
    return {subset: compute_metrics(model.config.tasks, prediction) for subset, prediction in predictions.items()}


def tune_task_thresholds(tasks: list[Task], validation: EvalPrediction, metrics: str | list[str]) -> list[Task]:
    """Choose the threshold of every label of the multi-label tasks on validation predictions.

    Args:
        tasks: tasks of the model.
        validation: predictions for the validation split, see `predict`.
        metrics: one of `metrics.TUNABLE`, such as `"f1_binary"`, or several. Each of several metrics gets thresholds of its
            own (Khare et al. 2021, section 5); predictions and all other metrics use the thresholds of the first.

    Returns:
        The tasks, with thresholds where they are multi-label.
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    names = {function: name for name, function in PER_LABEL.items()}
    predictions, labels = cast(TaskArrays, validation.predictions), cast(TaskArrays, validation.label_ids)
    tuned = []
    for task in tasks:
        if task.problem_type == "multi_label_classification" and task.name in labels:
            truth, scores = labels[task.name], task.scores(predictions[task.name])
            tuned_thresholds = {
                metric: np.round(tune_thresholds(truth, scores, metric), 4).tolist() for metric in metrics
            }
            own = {names[TUNABLE[m]]: thresholds for m, thresholds in tuned_thresholds.items() if TUNABLE[m] in names}
            chosen = {
                "threshold": tuned_thresholds[metrics[0]],
                "metric_thresholds": own if len(metrics) > 1 else None,
            }
            task = Task.from_dict(task.to_dict() | chosen)
        tuned.append(task)
    return tuned
