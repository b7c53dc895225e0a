# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Official folds, shipped with the package as lists of ids with a hash, and validation splits where none is official."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from ..splits import split_by_group


def folds_hash(splits: dict[str, Sequence[str]]) -> str:
    """sha256 of the lines `split<TAB>id`, sorted, so that the order of the ids does not matter."""
    lines = sorted(f"{split}\t{name}\n" for split, names in splits.items() for name in names)
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


@cache
def load_folds(corpus: str) -> dict[str, tuple[str, ...]]:
    """Split or fold -> the ids of its videos or utterances, as the corpus' authors published them.

    Raises `ValueError` where the file was changed since: results would no longer be comparable.
    """
    record = json.loads((resources.files(__package__) / "folds" / f"{corpus}.json").read_text(encoding="utf-8"))
    if folds_hash(record["splits"]) != record["sha256"]:
        raise ValueError(f"The folds of {corpus} in this installation were changed; install mm_affect again.")
    return {split: tuple(names) for split, names in record["splits"].items()}


@cache
def split_of(corpus: str) -> dict[str, str]:
    """Id of a video or utterance -> its official split."""
    return {name: split for split, names in load_folds(corpus).items() for name in names}


def carve_validation(groups: Sequence[str], share: float, seed: int = 0) -> set[str]:
    """The groups of a training split that become the validation split: about `share` of the rows of `groups`."""
    if not 0 < share < 1:
        raise ValueError(f"The share of rows for validation is {share}; expected a number between 0 and 1.")
    homes = split_by_group(groups, (1 - share, share, 0.0), seed)
    return {group for group, home in zip(groups, homes, strict=True) if home == "validation"}
