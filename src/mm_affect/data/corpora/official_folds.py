# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Official folds, shipped with the package as lists of ids with a hash, and validation splits for corpora without one."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from ..splits import split_by_group


NOT_IN_FOLDS = "its video is in no official fold"  # reason of a dropped clip


def folds_hash(splits: dict[str, Sequence[str]]) -> str:
    """Return the sha256 of the sorted lines `split<TAB>id`, which does not depend on the order of the ids."""
    lines = sorted(f"{split}\t{name}\n" for split, names in splits.items() for name in names)
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


@cache
def load_folds(corpus: str) -> dict[str, tuple[str, ...]]:
    """Load the folds that the authors of a corpus published: split or fold -> ids of its videos or utterances.

    Raises:
        ValueError: if the installed file was modified, because results would not be comparable.
    """
    record = json.loads((resources.files(__package__) / "folds" / f"{corpus}.json").read_text(encoding="utf-8"))
    if folds_hash(record["splits"]) != record["sha256"]:
        raise ValueError(f"The folds of {corpus} in this installation were changed; install mm_affect again.")
    return {split: tuple(names) for split, names in record["splits"].items()}


@cache
def get_split_by_id(corpus: str) -> dict[str, str]:
    """Return the official split of every video or utterance id."""
    return {name: split for split, names in load_folds(corpus).items() for name in names}


def select_validation_groups(groups: Sequence[str], share: float, seed: int = 0) -> set[str]:
    """Select the groups of a training split that become the validation split.

    Args:
        groups: the group of every training row.
        share: approximate fraction of the rows to select.
        seed: seed of the selection.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of rows for validation is {share}; expected a number between 0 and 1.")
    splits = split_by_group(groups, (1 - share, share, 0.0), seed)
    return {group for group, split in zip(groups, splits, strict=True) if split == "validation"}
