# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predict rows with a model and measure the predictions, for every subset of the modalities."""

import warnings

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


def without_warnings(function):
    """`function` without its warnings: what is undefined on a small validation split is said once, at the end."""

    def quiet(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)

    return quiet


def compute_metrics(tasks: list[Task], prediction: EvalPrediction) -> dict[str, float]:
    """Metrics of every task with labels, keyed `<task>.<metric>`; those of `metric_thresholds` with thresholds of their own."""
    metrics = {}
    for task in tasks:
        if task.name in prediction.label_ids:
            truth, scores = prediction.label_ids[task.name], task.scores(prediction.predictions[task.name])
            field = task.to_label_field().to_dict()
            found = compute_task_metrics(field, truth, scores, task.threshold)
            for metric, thresholds in (task.metric_thresholds or {}).items():
                own = without_warnings(compute_task_metrics)(field, truth, scores, thresholds)
                found |= {name: value for name, value in own.items() if name.split(".")[0] == metric}
            metrics |= {f"{task.name}.{name}": value for name, value in found.items()}
    return metrics


@torch.no_grad()
def predict(model: AffectPreTrainedModel, collator: AffectCollator, rows, batch_size: int = 64) -> EvalPrediction:
    """Logits and labels of every row, in order, per task."""
    model.eval()
    logits, labels = {}, {}
    for start in range(0, len(rows), batch_size):
        batch = collator([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
        truth = batch.pop("labels")
        output = model(**{name: values.to(model.device) for name, values in batch.items()})
        for name, values in output.logits.items():
            logits.setdefault(name, []).append(values.float().cpu().numpy())
        for name, values in truth.items():
            labels.setdefault(name, []).append(values.numpy())
    join = lambda parts: {name: np.concatenate(values) for name, values in parts.items()}  # noqa: E731
    return EvalPrediction(predictions=join(logits), label_ids=join(labels))


def list_modality_subsets(modalities) -> list[tuple[str, ...]]:
    """Every non-empty subset of the modalities, the fullest first."""
    count = len(modalities)
    subsets = [
        tuple(m for i, m in enumerate(modalities) if bits >> (count - 1 - i) & 1) for bits in range(1, 2**count)
    ]
    return sorted(subsets, key=lambda subset: (-len(subset), [MODALITIES.index(m) for m in subset]))


def predict_subsets(
    model, processor: AffectProcessor, rows, label_fields, batch_size: int = 64
) -> dict[str, EvalPrediction]:
    """`predict` with every subset of the model's modalities, all of them first, keyed like `"text+audio"`."""
    collator = AffectCollator(processor, model.config.tasks, label_fields)
    return {
        "+".join(subset): predict(model, collator, RowDataset(rows, subset), batch_size)
        for subset in list_modality_subsets(model.config.modalities)
    }


def evaluate_subsets(model, processor: AffectProcessor, rows, label_fields, batch_size: int = 64) -> dict[str, dict]:
    """Metrics with every subset of the model's modalities, keyed like `"text+audio"`; the others are missing."""
    answers = predict_subsets(model, processor, rows, label_fields, batch_size)
    return {subset: compute_metrics(model.config.tasks, answer) for subset, answer in answers.items()}


def tune_task_thresholds(tasks: list[Task], validation: EvalPrediction, metrics: str | list[str]) -> list[Task]:
    """The tasks, multi-label ones with a threshold per label chosen on validation predictions.

    Args:
        metrics: one of `metrics.TUNABLE`, such as `"f1_binary"`; or several, each of which is then measured with thresholds of
            its own (Khare et al. 2021, section 5), while predictions and all other metrics use those of the first.
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    names = {function: name for name, function in PER_LABEL.items()}
    tuned = []
    for task in tasks:
        if task.problem_type == "multi_label_classification" and task.name in validation.label_ids:
            truth, scores = validation.label_ids[task.name], task.scores(validation.predictions[task.name])
            found = {metric: np.round(tune_thresholds(truth, scores, metric), 4).tolist() for metric in metrics}
            own = {names[TUNABLE[m]]: thresholds for m, thresholds in found.items() if TUNABLE[m] in names}
            chosen = {"threshold": found[metrics[0]], "metric_thresholds": own if len(metrics) > 1 else None}
            task = Task.from_dict(task.to_dict() | chosen)
        tuned.append(task)
    return tuned
