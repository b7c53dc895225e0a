# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics of the labels of rows: samples per class, and correlations of labels.

The counts are Table 1, the correlations Table 5 of Dai et al. 2021, "Weakly-supervised Multi-task Learning for Multimodal
Affect Recognition". Only labels are read, and sums are accumulated, so that memory is constant in the size of the corpus.
"""

import csv
import io
from pathlib import Path

import numpy as np

from ..label_field import LabelField
from .loading import load, read_corpus
from .ragged import RowReader


SIGNS = ("below 0", "0", "above 0")  # the classes of a regression, where its range has both signs
BATCH_ROWS = 4096  # rows whose labels are in memory at a time


def label_statistics(source: str | Path) -> dict:
    """Compute counts and correlations of the labels of rows.

    Returns:
        `counts`: `{task: {class: {split: samples}}}`. A label of a multi-label task is present above 0 (soft weak labels:
        above 0.5); values of a regression are counted by their sign; last comes `"unknown"`.
        `correlations`: `names`, one variable per value, label or class (of two classes only the second: the other is its
        mirror image), Pearson's r `(n, n)` of every pair over the rows of all splits that know both, NaN where one of the
        two does not vary, and `pairs`, the number of those rows, `(n, n)`. Intensities enter as they are.
    """
    corpus, splits = read_corpus(source), load(source)
    fields = corpus.label_fields
    if not fields:
        raise ValueError(f"{source} has no labels to count.")
    names = [name for field in fields for name in _variables(field)]
    counts: dict[str, dict[str, dict[str, int]]] = {field.name: {} for field in fields}
    sums = _Sums(len(names))
    for split, rows in splits.items():
        reader = RowReader(rows.select_columns(["labels"]))
        for start in range(0, len(reader), BATCH_ROWS):
            labels = [reader[i]["labels"] for i in range(start, min(start + BATCH_ROWS, len(reader)))]
            columns = []
            for field in fields:
                values = _values([label[field.name] for label in labels], field)
                for name, number in _count(values, field).items():
                    counts[field.name].setdefault(name, dict.fromkeys(splits, 0))[split] += number
                columns.append(values[:, 1:] if _is_binary(field) else values)
            sums.add(np.concatenate(columns, axis=1))
    return {"counts": counts, "correlations": {"names": names, "r": sums.pearson(), "pairs": sums.pairs.astype(int)}}


def _is_binary(field: LabelField) -> bool:
    return field.problem_type == "single_label_classification" and len(field.labels) == 2


def _variables(field: LabelField) -> list[str]:
    if field.problem_type == "regression":
        return [field.name]
    return [f"{field.name}.{label}" for label in field.labels[_is_binary(field) :]]


def _values(labels: list, field: LabelField) -> np.ndarray:
    """Return labels as numbers `(rows, labels)`, classes one-hot, NaN where unknown."""
    values = np.full((len(labels), len(field.labels)), np.nan)
    for i, label in enumerate(labels):
        if label is not None and field.problem_type == "single_label_classification":
            values[i] = np.arange(len(field.labels)) == label
        elif label is not None:
            values[i] = label
    return values


def _count(values: np.ndarray, field: LabelField) -> dict[str, int]:
    known = ~np.isnan(values[:, 0])
    if field.problem_type == "regression":
        signs = [int((np.sign(values[known, 0]) == sign).sum()) for sign in (-1, 0, 1)]
        counts = dict(zip(SIGNS, signs, strict=True))
    else:
        least = 0.5 if field.weak is not None and field.weak.soft else 0.0
        counts = dict(zip(field.labels, (values[known] > least).sum(0).tolist(), strict=True))
    return counts | {"unknown": int((~known).sum())}


class _Sums:
    """Sums over rows that yield the correlation of every pair; a pair is summed over the rows that know both."""

    def __init__(self, variables: int):
        self.pairs, self.first, self.squares, self.products = np.zeros((4, variables, variables))

    def add(self, values: np.ndarray) -> None:
        known = (~np.isnan(values)).astype(float)
        values = np.nan_to_num(values)
        self.pairs += known.T @ known
        self.first += values.T @ known  # [i, j]: the sum of i where j is known
        self.squares += (values**2).T @ known
        self.products += values.T @ values

    def pearson(self) -> np.ndarray:
        count = np.maximum(self.pairs, 1)
        spread = np.maximum(self.squares - self.first**2 / count, 0)
        spread[spread <= 1e-9 * np.maximum(self.squares, 1e-300)] = np.nan  # does not vary but for rounding
        covariance = self.products - self.first * self.first.T / count
        return np.clip(covariance / np.sqrt(spread * spread.T), -1, 1)


def statistics_tables(statistics: dict) -> dict[str, list[list]]:
    """Return `counts` and `correlations` as tables with a header; a task without unknown labels has no line for them."""
    counts = statistics["counts"]
    splits = list(next(iter(next(iter(counts.values())).values())))
    lines = [
        [task, name, *(samples[split] for split in splits)]
        for task, classes in counts.items()
        for name, samples in classes.items()
        if name != "unknown" or any(samples.values())
    ]
    names, r = statistics["correlations"]["names"], statistics["correlations"]["r"]
    return {
        "counts": [["task", "label", *splits], *lines],
        "correlations": [["", *names], *([name, *row] for name, row in zip(names, r.tolist(), strict=True))],
    }


def format_cells(table: list[list]) -> list[list[str]]:
    """Format a table for printing: two decimals, a dash for undefined values."""

    def cell(value) -> str:
        if isinstance(value, float):
            return "–" if np.isnan(value) else f"{value:.2f}"
        return str(value)

    return [[cell(value) for value in line] for line in table]


def format_csv(table: list[list]) -> str:
    """Format a table as csv with unrounded numbers; undefined values are empty."""
    file = io.StringIO()
    lines = [["" if isinstance(value, float) and np.isnan(value) else value for value in line] for line in table]
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()
