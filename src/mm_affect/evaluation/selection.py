# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How the validation split chooses: the epoch of every seed, and the seed that is kept.

One metric does, such as `emotion.wacc`, or the mean of several, joined by `+`: Khare et al. (2021, section 5) choose by
`emotion.wacc+emotion.f1_weighted`.
"""

from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import numpy as np

from ..messages import did_you_mean
from ..tasks import Task
from .evaluator import without_warnings
from .metrics import compute_task_metrics, get_primary_metric
from .results import SeedResult, read_results


LESS_IS_BETTER = ("mae", "hamming_loss")


def get_selection_metric(config, tasks: list[Task]) -> tuple[str, bool]:
    """The validation metric, or several joined by `+`, that chooses, and whether greater is better."""
    wanted = config.training.select_by
    if wanted == "loss":
        return "loss", False
    if wanted is None:
        name, greater = get_primary_metric(tasks[0].to_label_field().to_dict())
        return f"{tasks[0].name}.{name}", greater
    return wanted, wanted.split("+")[0].split(".")[-1] not in LESS_IS_BETTER


def add_selection_mean(metrics: dict, selection: str) -> dict:
    """The metrics and, under the name of the selection, the mean of those that it joins."""
    if "+" not in selection:
        return metrics
    return metrics | {selection: fmean(metrics[name] for name in selection.split("+"))}


def check_selection(config, tasks: list[Task], measured: list[Task]) -> None:
    """Refuse, before training, a metric that no epoch will have; `measured` are the tasks with labels in validation."""
    truth = {"regression": np.zeros(2), "single_label_classification": np.zeros(2, int)}
    known = ["loss"]
    for task in measured:
        scores = np.zeros((2, task.num_outputs))
        zeros = truth.get(task.problem_type, scores)
        field = task.to_label_field().to_dict()
        known += [f"{task.name}.{name}" for name in without_warnings(compute_task_metrics)(field, zeros, scores)]
    selection = get_selection_metric(config, tasks)[0]
    parts = selection.split("+")
    for wanted in parts:
        if wanted not in known:
            chosen = (
                "The first task selects by" if config.training.select_by is None else "Config training.select_by is"
            )
            raise ValueError(f"{chosen} {wanted!r}, which is not measured.{did_you_mean(wanted, known)}")
    directions = {name.split(".")[-1] in LESS_IS_BETTER for name in parts}
    if len(parts) > 1 and ("loss" in parts or len(directions) > 1):
        raise ValueError(
            f"Config training.select_by is {selection!r}, whose mean says nothing: of some more is better, of others less."
        )


def read_best_seed(output: Path) -> int:
    """The seed that validation preferred, of a finished run."""
    results = read_results(output / "results.json")
    training = results.config["training"]
    config = SimpleNamespace(training=SimpleNamespace(select_by=training.get("select_by")))
    tasks = [Task.from_dict({"name": t["name"], "problem_type": t["problem_type"],
                             "labels": t["labels"] if t["problem_type"] != "regression" else []})
             for t in results.tasks]  # fmt: skip
    return select_best_seed(config, tasks, results.seeds)


def select_best_seed(config, tasks: list[Task], seeds: dict[str, SeedResult]) -> int:
    """The seed with the best validation score; of equal ones the first."""
    metric, greater = get_selection_metric(config, tasks)
    scores = {seed: score for seed, run in seeds.items() if (score := run.validation[metric]) is not None}
    return int((max if greater else min)(scores, key=lambda seed: scores[seed]))
