# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics for the `evaluate` library: a single metric by name, or all metrics of a task.

    AffectMetric("wacc").compute(predictions=[1, 0, 1], references=[1, 0, 0])
    evaluate.load(mm_affect.evaluation.hf_evaluate.__file__, "wacc")  # the same, offline

`evaluate` takes the prediction first; the wrapped numpy functions take the truth first. `evaluate` writes its inputs to Arrow
files, which is many times slower than calling these functions directly, as training does. It is an optional dependency, so
nothing in the package imports this file.
"""

from collections.abc import Callable

import datasets
import numpy as np

# Absolute imports, because `evaluate.load` runs a copy of this file from its cache and parses these lines.
from mm_affect.evaluation import metrics, speech_metrics


try:
    import evaluate
except ImportError as error:
    raise ImportError("AffectMetric needs evaluate: pip install 'mm_affect[metrics]'") from error

NUMBER = datasets.Value("float64")
NUMBERS = datasets.List(NUMBER)
ONE_VALUE = metrics.REGRESSION | metrics.SENTIMENT | metrics.SINGLE_LABEL
TEXT = {"cer": speech_metrics.character_error_rate, "wer": speech_metrics.word_error_rate}
PAIRS = {"eer": speech_metrics.equal_error_rate}
FUNCTIONS: dict[str, Callable] = ONE_VALUE | metrics.PER_LABEL | metrics.ALL_LABELS | TEXT | PAIRS
TASKS = {
    "regression": {"predictions": NUMBER, "references": NUMBER},
    "single_label_classification": {"predictions": NUMBERS, "references": datasets.Value("int64")},
    "multi_label_classification": {"predictions": NUMBERS, "references": NUMBERS},
}


class AffectMetric(evaluate.Metric):
    """A single metric by name, or all metrics of a label field (`metrics.compute_task_metrics`); works offline.

    Args:
        config_name: one of `FUNCTIONS`. Inputs are those of the function: a number (of a class, its index) or a text per
            sample; for `metrics.ALL_LABELS`, a list of 0 and 1, one per label. Metrics in `metrics.PER_LABEL` take either a
            number for one label, or such a list and return the mean over the labels for which they are defined.
        task: a label field with `name`, `problem_type`, `labels` and `range`, instead of a name. Predictions are scores of a
            model: a value, or a list with one score per label.
        threshold: threshold of a multi-label task: one number, or one per label.
        options: options of `evaluate.Metric`, such as `cache_dir`.

    Raises:
        ValueError: neither or both of `config_name` and `task` are given, or the one given is unknown.
    """

    def __init__(self, config_name: str | None = None, task: dict | None = None, threshold=0.5, **options):
        if (config_name is None) == (task is None):
            raise ValueError(f"Expected either the name of a metric, one of {', '.join(FUNCTIONS)}, or a `task`.")
        if task is None and config_name not in FUNCTIONS:
            raise ValueError(f"There is no metric {config_name!r}; expected one of {', '.join(FUNCTIONS)}.")
        if task is not None:
            metrics.get_primary_metric(task)  # raises for an unknown problem type
            config_name = task["name"]
        self.task, self.threshold = task, threshold
        super().__init__(config_name=config_name, **options)

    def _info(self):
        if self.task is not None:
            description, features = metrics.compute_task_metrics.__doc__, [TASKS[self.task["problem_type"]]]
        else:
            description = FUNCTIONS[self.config_name].__doc__
            features = [{"predictions": kind, "references": kind} for kind in list_input_types(self.config_name)]
        return evaluate.MetricInfo(
            description=description,
            citation="",
            inputs_description=AffectMetric.__doc__,
            features=[datasets.Features(kind) for kind in features],
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        truth, prediction = np.asarray(references), np.asarray(predictions)
        if self.task is not None:
            return metrics.compute_task_metrics(self.task, truth, prediction, self.threshold)
        name, function = self.config_name, FUNCTIONS[self.config_name]
        if name in metrics.PER_LABEL and truth.ndim == 2:
            values = [function(truth[:, i], prediction[:, i]) for i in range(truth.shape[1])]
            return {name: metrics.average_over_labels(name, values, [f"label {i}" for i in range(len(values))])}
        return {name: function(truth, prediction)}


def list_input_types(name: str) -> list:
    """List the types that a prediction and a reference of one sample may have for the metric of this name."""
    if name in TEXT:
        return [datasets.Value("string")]
    if name in metrics.ALL_LABELS:
        return [NUMBERS]
    return [NUMBER, NUMBERS] if name in metrics.PER_LABEL else [NUMBER]
