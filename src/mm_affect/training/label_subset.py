# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training with the labels of only a share of the rows, to see what a model learns from few."""

from collections.abc import Sequence
from hashlib import sha256

from ..messages import did_you_mean


LabelFraction = float | int | dict[str, float | int]


def check_label_fraction(label_fraction: LabelFraction) -> None:
    """Refuse what is no share: of all label columns one number, or one for each column that is named."""
    for share in label_fraction.values() if isinstance(label_fraction, dict) else [label_fraction]:
        if not 0 < share <= 1:
            raise ValueError(
                f"Config label_fraction is {label_fraction}; expected a share of the training rows above 0 and up to 1, or one "
                "for each label column."
            )


def label_fractions(label_fraction: LabelFraction, columns: list[str]) -> dict[str, float | int]:
    """The share of each of these label columns; of one that is not named 1.

    Raises:
        ValueError: a column is named that is not among them.
    """
    if not isinstance(label_fraction, dict):
        return dict.fromkeys(columns, label_fraction)
    for name in label_fraction:
        if name not in columns:
            raise ValueError(
                f"Config label_fraction names {name!r}, which no task reads.{did_you_mean(name, columns)}"
            )
    return {name: label_fraction.get(name, 1) for name in columns}


class LabelSubset(Sequence):
    """Training rows, of which only a share keeps its label; the label of the others is unknown.

    Which rows keep theirs is drawn by a hash of their ids: the same whatever the seed of a run, the order of the rows and
    their features; the rows of a smaller share are among those of a greater one, and columns draw the same rows where
    all of them have labels. Classes are not balanced. A row that keeps no label is left out altogether.

    Args:
        rows: row dicts.
        shares: of each label column that is read, the share of the rows with such a label that keep it, at least one row.

    Attributes:
        counts: of each column `{"known", "used"}`, how many rows have a label and how many keep it.
    """

    def __init__(self, rows: Sequence, shares: dict[str, float | int]):
        told = [(sha256(row["id"].encode()).digest(), row["labels"]) for row in rows]
        drawn = sorted(range(len(told)), key=lambda i: told[i][0])
        known = {name: [i for i in drawn if told[i][1].get(name) is not None] for name in shares}
        self.rows = rows
        self.kept = {name: frozenset(known[name][: max(1, round(share * len(known[name])))])
                     for name, share in shares.items()}  # fmt: skip
        self.places = sorted(frozenset().union(*self.kept.values()))
        self.counts = {name: {"known": len(known[name]), "used": len(self.kept[name])} for name in shares}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        place = self.places[index]
        row = self.rows[place]
        return row | {"labels": {name: row["labels"].get(name) if place in kept else None
                                 for name, kept in self.kept.items()}}  # fmt: skip
