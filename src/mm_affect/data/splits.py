# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Splits and folds by group (a speaker, a video, a dialogue): a group is never divided."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .schema import SPLITS


def split_by_group(
    groups: Sequence[str], fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> list[str]:
    """Assign whole groups to splits, and return the split of every row.

    The largest groups are placed first, each in the split that lacks most rows; groups of equal size are shuffled with
    `seed`. Every split with a fraction above 0 gets at least one group.

    Args:
        groups: group of every row.
        fractions: fractions of the rows in train, validation and test; they sum to 1.
        seed: random seed.

    Raises:
        ValueError: the fractions are invalid, or there are fewer groups than splits.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"`fractions` is {fractions}; expected three numbers from 0 that sum to 1.")
    wanted = {split: fraction * len(groups) for split, fraction in zip(SPLITS, fractions, strict=True) if fraction}
    if len(set(groups)) < len(wanted):
        raise ValueError(
            f"{len(set(groups))} group(s) cannot be divided into {len(wanted)} splits without sharing one: "
            "give the rows more groups, or a `split` column of your own."
        )
    return _place(groups, wanted, seed)


def k_folds_by_group(groups: Sequence[str], k: int = 5, seed: int = 0) -> list[int]:
    """Return the test fold of every row, from 0 to k - 1; groups are whole, and folds of nearly equal size."""
    if k < 2 or len(set(groups)) < k:
        raise ValueError(
            f"{len(set(groups))} group(s) cannot be divided into {k} folds; `k` must be from 2 to their number."
        )
    return _place(groups, {fold: len(groups) / k for fold in range(k)}, seed)


def describe_protocol(protocol: dict | str | None) -> str:
    """Describe the `split_protocol` of corpus.json in one line."""
    if not isinstance(protocol, dict):
        return protocol or "none stated"
    options = [f"{key}: {value}" for key, value in protocol.items() if key not in ("name", "groups_may_cross")]
    crosses = "yes" if protocol.get("groups_may_cross") else "no"
    return "; ".join([str(protocol.get("name")), *options, f"speakers or videos shared between splits: {crosses}"])


def _place(groups: Sequence[str], wanted: dict, seed: int) -> list:
    counts = Counter(groups)
    names = sorted(counts)
    names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    names.sort(key=counts.__getitem__, reverse=True)  # stable: equal sizes keep the drawn order
    missing = dict(wanted)
    empty = set(wanted)
    place = {}
    for left, name in zip(range(len(names), 0, -1), names, strict=True):
        candidates = [part for part in wanted if left > len(empty) or part in empty]
        best = max(candidates, key=missing.__getitem__)
        place[name] = best
        missing[best] -= counts[name]
        empty.discard(best)
    return [place[group] for group in groups]
