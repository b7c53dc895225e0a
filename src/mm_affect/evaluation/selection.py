# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Selection on the validation split: the best epoch of every seed, and the best seed.

The selection metric is a metric such as `emotion.wacc`, or the mean of several, joined by `+`: Khare et al. (2021, section 5)
select by `emotion.wacc+emotion.f1_weighted`.
"""

from pathlib import Path
from statistics import fmean

import numpy as np

from ..messages import did_you_mean
from ..tasks import Task
from .evaluator import without_warnings
from .metrics import compute_task_metrics, get_primary_metric
from .results import SeedResult, read_results


LESS_IS_BETTER = ("mae", "hamming_loss")


def get_selection_metric(select_by: str | None, tasks: list[Task]) -> tuple[str, bool]:
    """Return the name of the selection metric, and True if greater is better.

    Args:
        select_by: a metric, several joined by `+`, or `"loss"`; None: the primary metric of the first task.
        tasks: tasks of the run.
    """
    if select_by == "loss":
        return "loss", False
    if select_by is None:
        name, greater = get_primary_metric(tasks[0].to_label_field().to_dict())
        return f"{tasks[0].name}.{name}", greater
    return select_by, select_by.split("+")[0].split(".")[-1] not in LESS_IS_BETTER


def add_selection_mean(metrics: dict, selection: str) -> dict:
    """Add the mean of the joined metrics under the name of the selection metric, such as `a.wacc+a.f1_weighted`."""
    if "+" not in selection:
        return metrics
    return metrics | {selection: fmean(metrics[name] for name in selection.split("+"))}


def check_selection(select_by: str | None, tasks: list[Task], measured: list[Task]) -> None:
    """Check, before training, that the selection metric will be available.

    Args:
        select_by: see `get_selection_metric`.
        tasks: tasks of the run.
        measured: the tasks that have labels in the validation split.

    Raises:
        ValueError: the metric is not measured, or joins metrics whose mean is meaningless.
    """
    truth = {"regression": np.zeros(2), "single_label_classification": np.zeros(2, int)}
    known = ["loss"]
    for task in measured:
        scores = np.zeros((2, task.num_outputs))
        zeros = truth.get(task.problem_type, scores)
        field = task.to_label_field().to_dict()
        known += [f"{task.name}.{name}" for name in without_warnings(compute_task_metrics)(field, zeros, scores)]
    selection = get_selection_metric(select_by, tasks)[0]
    parts = selection.split("+")
    for name in parts:
        if name not in known:
            origin = "The first task selects by" if select_by is None else "Config training.select_by is"
            raise ValueError(f"{origin} {name!r}, which is not measured.{did_you_mean(name, known)}")
    directions = {name.split(".")[-1] in LESS_IS_BETTER for name in parts}
    if len(parts) > 1 and ("loss" in parts or len(directions) > 1):
        raise ValueError(
            f"Config training.select_by is {selection!r}, whose mean is meaningless: greater is better for some of these "
            "metrics and worse for others."
        )


def read_best_seed(output: Path) -> int:
    """Return the best seed of a finished run by its validation scores; `output` is the run's folder."""
    results = read_results(output / "results.json")
    tasks = [Task.from_dict({"name": t["name"], "problem_type": t["problem_type"],
                             "labels": t["labels"] if t["problem_type"] != "regression" else []})
             for t in results.tasks]  # fmt: skip
    return select_best_seed(results.config["training"].get("select_by"), tasks, results.seeds)


def select_best_seed(select_by: str | None, tasks: list[Task], seeds: dict[str, SeedResult]) -> int:
    """Return the seed with the best validation score; the first of equal ones."""
    metric, greater = get_selection_metric(select_by, tasks)
    scores = {seed: score for seed, run in seeds.items() if (score := run.validation[metric]) is not None}
    return int((max if greater else min)(scores, key=lambda seed: scores[seed]))
