# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training with a fraction of the labels, to measure how a model learns from few labeled rows."""

from collections.abc import Sequence
from hashlib import sha256

from ..messages import did_you_mean


LabelFraction = float | int | dict[str, float | int]


def check_label_fraction(label_fraction: LabelFraction) -> None:
    """Check that a label fraction, or that of every label column, is above 0 and at most 1.

    Raises:
        ValueError: If one is not.
    """
    for share in label_fraction.values() if isinstance(label_fraction, dict) else [label_fraction]:
        if not 0 < share <= 1:
            raise ValueError(
                f"Config label_fraction is {label_fraction}; expected a fraction of the training rows above 0 and up to 1, "
                "or a fraction per label column."
            )


def label_fractions(label_fraction: LabelFraction, columns: list[str]) -> dict[str, float | int]:
    """Return the label fraction of each column; columns without their own have 1.

    Args:
        label_fraction: One fraction for all columns, or column -> fraction.
        columns: Label columns that the run reads.

    Raises:
        ValueError: If a fraction is given for a column that the run does not read.
    """
    if not isinstance(label_fraction, dict):
        return dict.fromkeys(columns, label_fraction)
    for name in label_fraction:
        if name not in columns:
            raise ValueError(
                f"Config label_fraction has the column {name!r}, which no task reads.{did_you_mean(name, columns)}"
            )
    return {name: label_fraction.get(name, 1) for name in columns}


class LabelSubset(Sequence[dict]):
    """Training rows of which only a fraction keeps its labels; the other labels are unknown.

    Rows are selected by a hash of their ids, so the selection does not depend on the seed of the run, the order of the rows
    or their features. The rows of a smaller fraction are a subset of those of a larger one, and columns select the same
    rows where all rows have both labels. Classes are not balanced. Rows without any label left are dropped.

    Args:
        rows: Row dicts.
        fractions: Label column -> fraction of its labeled rows that keep the label, at least one row. Other columns are
            dropped.

    Attributes:
        counts: Label column -> `{"known", "used"}`, the number of rows with a label, and of those that keep it.
    """

    def __init__(self, rows: Sequence[dict], fractions: dict[str, float | int]):
        hashed = [(sha256(row["id"].encode()).digest(), row["labels"]) for row in rows]
        order = sorted(range(len(hashed)), key=lambda i: hashed[i][0])
        known = {name: [i for i in order if hashed[i][1].get(name) is not None] for name in fractions}
        self.rows = rows
        self.kept = {name: frozenset(known[name][: max(1, round(fraction * len(known[name])))])
                     for name, fraction in fractions.items()}  # fmt: skip
        self.indices = sorted(frozenset().union(*self.kept.values()))
        self.counts = {name: {"known": len(known[name]), "used": len(self.kept[name])} for name in fractions}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:  # type: ignore[override]  # rows are read one by one, without slices
        position = self.indices[index]
        row = self.rows[position]
        return row | {"labels": {name: row["labels"].get(name) if position in kept else None
                                 for name, kept in self.kept.items()}}  # fmt: skip
