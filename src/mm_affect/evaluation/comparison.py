# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs side by side: one line per run, mean ± standard deviation over its seeds or the best of them, as Markdown and as CSV."""

import csv
import io
from dataclasses import dataclass, field

from ..messages import did_you_mean
from ..vocabulary import MODALITIES
from .metrics import ALL_LABELS, PER_LABEL, REGRESSION, SENTIMENT, SINGLE_LABEL
from .results import SUBSETS, UNMEASURED, Results, Score, format_markdown_table, format_score


METRICS = REGRESSION | SENTIMENT | SINGLE_LABEL | PER_LABEL | ALL_LABELS
# What is shown of a task unless other metrics are chosen.
DEFAULT_METRICS = {
    "multi_label_classification": ("jaccard_accuracy", "precision_micro", "recall_micro", "f1_micro"),
    "single_label_classification": ("accuracy", "f1_weighted", "f1_macro"),
    "regression": ("mae", "pearson", "ccc"),
}


def check_metrics(names: list[str]) -> None:
    """Refuse names without a metric in them: `f1_micro`, `emotion.f1_micro` and `emotion.f1_binary.happy` have one."""
    for name in names:
        if not METRICS.keys() & set(name.split(".")):
            raise ValueError(f"There is no metric {name!r}.{did_you_mean(name.split('.')[-1], METRICS)}")


def select_columns(
    list_of_results: list[Results], metrics: list[str] | None = None, per_label: bool = False
) -> list[str]:
    """The keys `task.metric` that a comparison shows.

    Args:
        metrics: of the first task of each run, or with the task's name before them; default: `DEFAULT_METRICS`.
        per_label: add the metrics of every label, of those chosen; default: of `f1_binary`.

    Raises:
        ValueError: no run was measured by one of them.
    """
    measured = {key for results in list_of_results for key in results.summary[results.full_subset]}
    columns = {}  # in order, none twice
    for task in (results.tasks[0] for results in list_of_results):
        for name in metrics or [*DEFAULT_METRICS[task["problem_type"]], *(["f1_binary"] if per_label else [])]:
            key = name if name in measured else f"{task['name']}.{name}"
            keys = [key, *(f"{key}.{label}" for label in task["labels"] if per_label)]
            columns |= dict.fromkeys(key for key in keys if key in measured)
    for name in metrics or []:
        if not any(f".{column}".endswith(f".{name}") for column in columns):
            whole = [key for key in measured if key.count(".") == 1]
            raise ValueError(f"No run was measured by {name!r}.{did_you_mean(name, whole)}")
    if per_label and all(column.count(".") == 1 for column in columns):
        raise ValueError(f"None of these metrics is known per label; choose some of {', '.join(PER_LABEL)}.")
    return list(columns)


def parse_subsets(names: str | None) -> list[str]:
    """The subsets of modalities in `"audio, visual+audio"`, written as results have them; empty without any.

    Raises:
        ValueError: a name that is no modality.
    """
    found = {}
    for name in names.split(",") if names else []:
        given = {part.strip() for part in name.split("+")}
        subset = "+".join(m for m in MODALITIES if m in given)
        if len(given) > subset.count("+") + 1 or not subset:
            raise ValueError(
                f"There is no subset of modalities {name.strip()!r}; expected some of {', '.join(SUBSETS)}."
            )
        found[subset] = None
    return list(found)


@dataclass(frozen=True)
class TableLayout:
    """What a comparison shows of each run.

    Args:
        columns: keys `task.metric`.
        subsets: of the modalities, each of which has every column; default: all that a run has.
        best: the seed that validation preferred, with its interval, instead of mean ± deviation over the seeds.
    """

    columns: list[str]
    subsets: list[str] = field(default_factory=list)
    best: bool = False

    def header(self) -> list[str]:
        return [f"{column}, {subset}" for column in self.columns for subset in self.subsets] or self.columns

    def scores(self, results: Results) -> list[Score | None]:
        subsets = self.subsets or [results.full_subset]
        found = {subset: results.get_scores(subset, self.best) for subset in subsets}
        return [found[subset].get(column) for column in self.columns for subset in subsets]


def make_comparison_table(list_of_results: list[Results], shown: TableLayout) -> str:
    """Markdown; a dash is what a run was not measured by."""
    lines = [
        [name, corpus, *(format_score(score) for score in scores), seeds, f"{parameters:,}", f"{seconds:.0f}"]
        for name, corpus, scores, seeds, parameters, seconds in _lines(list_of_results, shown)
    ]
    return format_markdown_table(["run", "corpus", *shown.header(), "seeds", "parameters", "seconds"], lines)


def make_comparison_csv(list_of_results: list[Results], shown: TableLayout) -> str:
    """The same with unrounded numbers, the mean and the deviation, or both ends of the interval, in columns of their own;
    unknown ones are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    beside = ("low", "high") if shown.best else ("std",)
    split = [part for column in shown.header() for part in (column, *(f"{column} {name}" for name in beside))]
    writer.writerow(["run", "corpus", *split, "seeds", "parameters", "seconds"])
    for name, corpus, scores, *facts in _lines(list_of_results, shown):
        numbers = []
        for score in scores:
            score = score or UNMEASURED
            numbers += [score.mean, *((score.interval or (None, None)) if shown.best else [score.std])]
        writer.writerow([name, corpus, *numbers, *facts])
    return file.getvalue()


def _lines(list_of_results, shown):
    """Name, corpus, scores, number of seeds, parameters and seconds of each run."""
    for results in list_of_results:
        yield (
            results.name,
            results.corpus.title,
            shown.scores(results),
            len(results.seeds),
            results.model.parameters,
            results.seconds,
        )
