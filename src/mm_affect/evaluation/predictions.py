# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predictions of a seed for every test row: the Parquet file beside its checkpoint that significance is computed from.

Columns:

    id                 id of the row
    <task>.truth       value, class index (-100 = unknown) or list of intensities (NaN = unknown)
    <task>.scores      value, or list of one probability per label

The schema metadata holds the tasks as JSON: label fields, as `metrics` takes them, and their thresholds.
"""

import io
import json
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import EvalPrediction

from ..files import write_atomically
from ..tasks import Task
from .evaluator import TaskArrays


PREDICTIONS_FILE = "predictions.parquet"
_TASKS = b"mm_affect.tasks"


class Predictions(NamedTuple):
    """Truth and scores of the same rows in the same order.

    Args:
        ids: ids of the rows.
        tasks: per task its label field, as `metrics.compute_task_metrics` takes it, with `threshold` and `metric_thresholds`.
        truth: per task, labels `(rows,)` or `(rows, labels)`.
        scores: per task, values `(rows,)` or probabilities `(rows, labels)`.
    """

    ids: list[str]
    tasks: dict[str, dict]
    truth: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]


def collect_predictions(ids: list[str], tasks: list[Task], prediction: EvalPrediction) -> Predictions:
    """Collect the result of `evaluator.predict` for the rows with these ids; tasks without labels in the rows are left out."""
    predictions, labels = cast(TaskArrays, prediction.predictions), cast(TaskArrays, prediction.label_ids)
    known = [task for task in tasks if task.name in labels]
    return Predictions(
        ids,
        {
            task.name: task.to_label_field().to_dict()
            | {"threshold": task.threshold, "metric_thresholds": task.metric_thresholds}
            for task in known
        },
        {task.name: labels[task.name] for task in known},
        {task.name: task.scores(predictions[task.name]) for task in known},
    )


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write the predictions atomically."""
    columns = {"id": pa.array(predictions.ids, pa.string())}
    for name in predictions.tasks:
        for kind in ("truth", "scores"):
            values = getattr(predictions, kind)[name]
            columns[f"{name}.{kind}"] = pa.array(values if values.ndim == 1 else list(values))
    table = pa.table(columns).replace_schema_metadata({_TASKS: json.dumps(predictions.tasks)})
    file = io.BytesIO()
    pq.write_table(table, file)
    write_atomically(path, file.getvalue())


def read_predictions(path: str | Path) -> Predictions:
    """Read a file written by `write_predictions`.

    Raises:
        FileNotFoundError: there is no such file; older runs have none.
        ValueError: the file is damaged, or not a file of predictions.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no predictions file {path}; train the run again to write it.")
    try:
        table = pq.read_table(path)
        tasks = json.loads((table.schema.metadata or {})[_TASKS])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        truth, scores = ({name: _array(columns[f"{name}.{kind}"]) for name in tasks} for kind in ("truth", "scores"))
        return Predictions(list(columns["id"]), tasks, truth, scores)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a predictions file ({error}); train the run again.") from None


def _array(column: np.ndarray) -> np.ndarray:
    return np.stack(list(column)) if column.dtype == object else column
