# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs side by side: one line per run, mean ± standard deviation over its seeds, as Markdown and as CSV."""

import csv
import io

from .metrics import ALL_LABELS, PER_LABEL, REGRESSION, SENTIMENT, SINGLE_LABEL
from .models.configuration import suggestion
from .results import format_score, full_subset, markdown_table


MEASURED = REGRESSION | SENTIMENT | SINGLE_LABEL | PER_LABEL | ALL_LABELS
# What is shown of a task unless other metrics are chosen.
SHOWN = {
    "multi_label_classification": ("jaccard_accuracy", "precision_micro", "recall_micro", "f1_micro"),
    "single_label_classification": ("accuracy", "f1_weighted", "f1_macro"),
    "regression": ("mae", "pearson", "ccc"),
}


def check_metrics(names: list[str]) -> None:
    """Refuse names without a metric in them: `f1_micro`, `emotion.f1_micro` and `emotion.f1_binary.happy` have one."""
    for name in names:
        if not MEASURED.keys() & set(name.split(".")):
            raise ValueError(f"There is no metric {name!r}.{suggestion(name.split('.')[-1], MEASURED)}")


def columns_of(list_of_results: list[dict], metrics: list[str] | None = None, per_label: bool = False) -> list[str]:
    """The keys `task.metric` that a comparison shows.

    Args:
        metrics: of the first task of each run, or with the task's name before them; default: `SHOWN`.
        per_label: add the metrics of every label, of those chosen; default: of `f1_binary`.

    Raises:
        ValueError: no run was measured by one of them.
    """
    measured = {key for results in list_of_results for key in results["summary"][full_subset(results)]}
    columns = {}  # in order, none twice
    for task in (results["tasks"][0] for results in list_of_results):
        for name in metrics or [*SHOWN[task["problem_type"]], *(["f1_binary"] if per_label else [])]:
            key = name if name in measured else f"{task['name']}.{name}"
            keys = [key, *(f"{key}.{label}" for label in task["labels"] if per_label)]
            columns |= dict.fromkeys(key for key in keys if key in measured)
    for name in metrics or []:
        if not any(f".{column}".endswith(f".{name}") for column in columns):
            whole = [key for key in measured if key.count(".") == 1]
            raise ValueError(f"No run was measured by {name!r}.{suggestion(name, whole)}")
    if per_label and all(column.count(".") == 1 for column in columns):
        raise ValueError(f"None of these metrics is known per label; choose some of {', '.join(PER_LABEL)}.")
    return list(columns)


def comparison_table(list_of_results: list[dict], columns: list[str]) -> str:
    """Markdown; every run is shown with all the modalities that it has, a dash is what it was not measured by."""
    lines = [
        [name, corpus, *(format_score(score) for score in scores), seeds, f"{parameters:,}", f"{seconds:.0f}"]
        for name, corpus, scores, seeds, parameters, seconds in _lines(list_of_results, columns)
    ]
    return markdown_table(["run", "corpus", *columns, "seeds", "parameters", "seconds"], lines)


def comparison_csv(list_of_results: list[dict], columns: list[str]) -> str:
    """The same with unrounded numbers, mean and deviation in columns of their own; unknown ones are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    split = [part for column in columns for part in (column, f"{column} std")]
    writer.writerow(["run", "corpus", *split, "seeds", "parameters", "seconds"])
    for name, corpus, scores, *facts in _lines(list_of_results, columns):
        numbers = [(score or {}).get(part) for score in scores for part in ("mean", "std")]
        writer.writerow([name, corpus, *numbers, *facts])
    return file.getvalue()


def _lines(list_of_results, columns):
    """Name, corpus, scores, number of seeds, parameters and seconds of each run."""
    for results in list_of_results:
        corpus, scores = results["corpus"], results["summary"][full_subset(results)]
        yield (
            results["name"],
            corpus["name"] + (" (SYNTHETIC)" if corpus["synthetic"] else ""),
            [scores.get(column) for column in columns],
            len(results["seeds"]),
            results["model"]["parameters"],
            results["seconds"],
        )
