# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a seed predicted for every test row, kept beside its checkpoint: a Parquet file that significance is computed from.

    id                 of the row
    <task>.truth       value, class index (-100 = unknown) or list of intensities (NaN = unknown)
    <task>.scores      value, or list of one probability per label

The tasks with their labels and thresholds (also those of single metrics), in the words of `metrics`, are JSON in the file's schema.
"""

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import EvalPrediction

from ..files import write_atomically
from ..tasks import Task


PREDICTIONS_FILE = "predictions.parquet"
_TASKS = b"mm_affect.tasks"


class Predictions(NamedTuple):
    """Truth and scores of the same rows in the same order.

    Args:
        ids: of the rows.
        tasks: per task its label field, as `metrics.compute_task_metrics` reads it, `threshold` and
            `metric_thresholds`.
        truth, scores: per task `(n,)` or `(n, labels)`.
    """

    ids: list[str]
    tasks: dict[str, dict]
    truth: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]


def collect_predictions(ids: list[str], tasks: list[Task], answer: EvalPrediction) -> Predictions:
    """The answer of `training.predict` on the rows of these ids; tasks that the rows have no labels of are left out."""
    known = [task for task in tasks if task.name in answer.label_ids]
    return Predictions(
        ids,
        {
            task.name: task.to_label_field().to_dict()
            | {"threshold": task.threshold, "metric_thresholds": task.metric_thresholds}
            for task in known
        },
        {task.name: answer.label_ids[task.name] for task in known},
        {task.name: task.scores(answer.predictions[task.name]) for task in known},
    )


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write the file whole or not at all."""
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
    """What `write_predictions` wrote.

    Raises:
        FileNotFoundError: there is no such file, as in a run that was trained before they were kept.
        ValueError: the file is damaged, or something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There are no predictions {path}; train the run again, which writes them.")
    try:
        table = pq.read_table(path)
        tasks = json.loads((table.schema.metadata or {})[_TASKS])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        truth, scores = ({name: _array(columns[f"{name}.{kind}"]) for name in tasks} for kind in ("truth", "scores"))
        return Predictions(list(columns["id"]), tasks, truth, scores)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ValueError(f"{path} does not hold predictions ({error}); train the run again.") from None


def _array(column: np.ndarray) -> np.ndarray:
    return np.stack(column) if column.dtype == object else column
