# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Comparison tables of runs, as Markdown and CSV: mean ± standard deviation over the seeds, or the scores of the best seed."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..messages import did_you_mean
from ..vocabulary import MODALITIES
from .metrics import ALL_LABELS, PER_LABEL, REGRESSION, SENTIMENT, SINGLE_LABEL
from .results import SUBSETS, UNMEASURED, Results, Score, format_markdown_table, format_score


METRICS = REGRESSION | SENTIMENT | SINGLE_LABEL | PER_LABEL | ALL_LABELS
# Metrics of a task in a table, by problem type.
DEFAULT_METRICS = {
    "multi_label_classification": ("jaccard_accuracy", "precision_micro", "recall_micro", "f1_micro"),
    "single_label_classification": ("accuracy", "f1_weighted", "f1_macro"),
    "regression": ("mae", "pearson", "ccc"),
}


def check_metrics(names: list[str]) -> None:
    """Check that every name contains a metric, as do `f1_micro`, `emotion.f1_micro` and `emotion.f1_binary.happy`.

    Raises:
        ValueError: a name contains no known metric.
    """
    for name in names:
        if not METRICS.keys() & set(name.split(".")):
            raise ValueError(f"There is no metric {name!r}.{did_you_mean(name.split('.')[-1], METRICS)}")


def select_columns(
    list_of_results: list[Results], metrics: list[str] | None = None, per_label: bool = False
) -> list[str]:
    """Select the columns of a comparison: keys `task.metric` or `task.metric.label`.

    Args:
        list_of_results: the runs.
        metrics: metrics of the first task of each run, or `task.metric`; default: `DEFAULT_METRICS`.
        per_label: add the values per label of the chosen metrics; of `f1_binary` if none are chosen.

    Raises:
        ValueError: a metric was measured in no run, or none of the metrics has values per label.
    """
    measured = {key for results in list_of_results for key in results.summary[results.full_subset]}
    columns: dict[str, None] = {}  # ordered, without duplicates
    for task in (results.tasks[0] for results in list_of_results):
        for name in metrics or [*DEFAULT_METRICS[task["problem_type"]], *(["f1_binary"] if per_label else [])]:
            key = name if name in measured else f"{task['name']}.{name}"
            keys = [key, *(f"{key}.{label}" for label in task["labels"] if per_label)]
            columns |= dict.fromkeys(key for key in keys if key in measured)
    for name in metrics or []:
        if not any(f".{column}".endswith(f".{name}") for column in columns):
            whole = [key for key in measured if key.count(".") == 1]
            raise ValueError(f"No run has the metric {name!r}.{did_you_mean(name, whole)}")
    if per_label and all(column.count(".") == 1 for column in columns):
        raise ValueError(f"None of these metrics has values per label; choose from {', '.join(PER_LABEL)}.")
    return list(columns)


def parse_subsets(names: str | None) -> list[str]:
    """Parse subsets of the modalities, such as `"audio, visual+audio"`, into names as in `results.SUBSETS`.

    Raises:
        ValueError: a name is not a modality.
    """
    subsets: dict[str, None] = {}
    for name in names.split(",") if names else []:
        given = {part.strip() for part in name.split("+")}
        subset = "+".join(m for m in MODALITIES if m in given)
        if len(given) > subset.count("+") + 1 or not subset:
            raise ValueError(
                f"There is no subset of modalities {name.strip()!r}; expected one or more of {', '.join(SUBSETS)}."
            )
        subsets[subset] = None
    return list(subsets)


@dataclass(frozen=True)
class TableLayout:
    """Columns of a comparison table.

    Args:
        columns: keys `task.metric`.
        subsets: subsets of the modalities, each with every column; default: all modalities of the run.
        best: use the scores of the best seed, with intervals, instead of mean ± standard deviation over the seeds.
    """

    columns: list[str]
    subsets: list[str] = field(default_factory=list)
    best: bool = False

    def header(self) -> list[str]:
        """Return the titles of the score columns."""
        return [f"{column}, {subset}" for column in self.columns for subset in self.subsets] or self.columns

    def get_scores(self, results: Results) -> list[Score | None]:
        """Return the scores of a run in the order of the header; None if not measured."""
        subsets = self.subsets or [results.full_subset]
        scores = {subset: results.get_scores(subset, self.best) for subset in subsets}
        return [scores[subset].get(column) for column in self.columns for subset in subsets]


def make_comparison_table(list_of_results: list[Results], layout: TableLayout) -> str:
    """Return the table as Markdown; a dash marks a metric that was not measured."""
    lines = [
        [name, corpus, *(format_score(score) for score in scores), seeds, f"{parameters:,}", f"{seconds:.0f}"]
        for name, corpus, scores, seeds, parameters, seconds in _make_lines(list_of_results, layout)
    ]
    return format_markdown_table(["run", "corpus", *layout.header(), "seeds", "parameters", "seconds"], lines)


def make_comparison_csv(list_of_results: list[Results], layout: TableLayout) -> str:
    """Return the table as CSV, unrounded.

    Standard deviation, or the two ends of the interval, have their own columns. Unknown values are empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    beside = ("low", "high") if layout.best else ("std",)
    split = [part for column in layout.header() for part in (column, *(f"{column} {name}" for name in beside))]
    writer.writerow(["run", "corpus", *split, "seeds", "parameters", "seconds"])
    for name, corpus, scores, *facts in _make_lines(list_of_results, layout):
        numbers = []
        for score in scores:
            score = score or UNMEASURED
            numbers += [score.mean, *((score.interval or (None, None)) if layout.best else [score.std])]
        writer.writerow([name, corpus, *numbers, *facts])
    return file.getvalue()


def _make_lines(list_of_results: list[Results], layout: TableLayout) -> Iterator[tuple]:
    """Yield name, corpus, scores, number of seeds, parameters and seconds of each run."""
    for results in list_of_results:
        yield (
            results.name,
            results.corpus.title,
            layout.get_scores(results),
            len(results.seeds),
            results.model.parameters,
            results.seconds,
        )
