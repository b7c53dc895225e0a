# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base classes of the corpus readers: `Corpus` and `CorpusLayout`, one arrangement of the files of a corpus.

Users hold the same corpus in different arrangements of files, depending on who released or preprocessed it: SDK
sequences, pickles of a paper, the raw media. Each of them is a `CorpusLayout`, which recognizes its files and reads
them row by row.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from ...label_field import LabelField
from ...messages import did_you_mean
from ...vocabulary import MODALITIES
from ..record import CorpusRecord, DroppedClip


@dataclass(frozen=True)
class LayoutFile:
    """A file or folder of a layout.

    Args:
        path: name relative to the folder of the corpus, or a glob pattern such as `**/*.csd`.
        purpose: what the file holds, shown to users.
        required: False if rows can be read without it.
    """

    path: str
    purpose: str
    required: bool = True


@dataclass(frozen=True)
class LayoutOption:
    """An option of a layout.

    Args:
        purpose: what the option does, shown to users.
        default: its value where the user gives none.
        choices: the allowed values; with None any value is passed on, and the layout checks it.
    """

    purpose: str
    default: object = None
    choices: tuple[object, ...] | None = None


COMMON_OPTIONS = {
    "modalities": LayoutOption("the modalities that rows carry", MODALITIES),
    "allow_partial": LayoutOption("accept files in which splits or clips are missing", False, (False, True)),
}


class CorpusLayout:
    """Base class of all layouts. Subclasses set the class attributes and implement `describe` and `rows`.

    Creating a layout opens no file. While `rows` runs, it appends to `dropped` every clip that is left
    out, and counts in `reported` the clips that are kept although something about them is unusual (`out_of_range`,
    `duplicate`, `no_emotion`, ...).

    A layout whose `rows` iterates over independent groups (videos, dialogues, speakers) passes them through
    `select_shard` and sets `shardable = True`, so that several processes can read one shard each.

    Class attributes:
        name: stable identifier, shown to users and recorded in corpus.json.
        title: description of the layout in a few words.
        files: the files of the layout.
        extra_options: its options besides `COMMON_OPTIONS`.
        shardable: True if `rows` can be divided with `shard`.

    Args:
        folder: folder of the corpus.
        options: option name -> value. Raises `ValueError` for an unknown option or a value that is not allowed.
    """

    name: str
    title: str
    files: tuple[LayoutFile, ...] = ()
    extra_options: dict[str, LayoutOption] = {}
    shardable = False

    def __init__(self, folder: Path, options: dict | None = None):
        self.folder = Path(os.path.abspath(folder))  # rows hold absolute media paths
        self.options = check_options(options or {}, self.available_options(), self.title)
        self.shard_index, self.num_shards = 0, 1
        self.dropped: list[DroppedClip] = []
        self.reported: Counter = Counter()

    @classmethod
    def available_options(cls) -> dict[str, LayoutOption]:
        """Return the options of this layout, including those common to all layouts."""
        return COMMON_OPTIONS | cls.extra_options

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True if `folder` holds this layout, judged by file names and at most a file header."""
        return all(cls.find_files(folder, file) for file in cls.files if file.required)

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the sorted paths that match `file`. Only paths that contain a wildcard are searched for."""
        folder = Path(folder)
        if any(character in file.path for character in "*?["):
            return sorted(folder.glob(file.path))
        return [folder / file.path] if (folder / file.path).exists() else []

    def describe(self) -> CorpusRecord:
        """Return the record of the corpus before its rows are read.

        Its `counts` are the numbers of rows that the splits must have (None where no number is documented).
        """
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split, in constant memory."""
        raise NotImplementedError

    def shard(self, index: int, num_shards: int) -> Self:
        """Return a new layout that reads shard `index` of `num_shards`; it can be sent to another process."""
        shard = type(self)(self.folder, self.options)
        shard.shard_index, shard.num_shards = index, num_shards
        return shard

    def select_shard(self, groups: Iterable) -> Iterator:
        """Iterate over the groups of this shard: every `num_shards`-th one, in their order."""
        return islice(groups, self.shard_index, None, self.num_shards)

    def report(self, kind: str, count: int) -> None:
        """Add to the count of `kind` in `reported`; zero adds no entry."""
        if count:
            self.reported[kind] += count

    def audit_labels(self, labels: dict, fields: list[LabelField]) -> dict:
        """Count missing, out-of-range and empty labels in `reported`, and return `labels` unchanged."""
        for column in fields:
            value, bounds = labels.get(column.name), column.range
            if value is None:
                self.reported[f"no_{column.name}"] += 1
                continue
            numbers = value if isinstance(value, list) else [value]
            if column.problem_type == "multi_label_classification" and not any(number > 0 for number in numbers):
                self.reported[f"without_any_{column.name}"] += 1
            if bounds and not all(bounds[0] <= number <= bounds[1] for number in numbers):
                self.reported["out_of_range"] += 1
        return labels


@dataclass(frozen=True)
class Corpus:
    """A published corpus and the layouts in which it can be read.

    Args:
        name: identifier, as in `load(name, data_dir)`.
        title: name for display.
        license: license of the corpus.
        citation: paper to cite.
        access: one sentence that says where to get the files.
        layouts: the layouts of the corpus, preferred ones first.
        gated: True if the license restricts redistribution.
        configs: name -> options; the first one is the default. The option `layout` of a config selects a layout.
        counts: documented numbers, shown by `mm-affect data doctor`.
    """

    name: str
    title: str
    license: str
    citation: str
    access: str
    layouts: tuple[type[CorpusLayout], ...]
    gated: bool = True
    configs: dict[str, dict] = field(default_factory=lambda: {"default": {}})
    counts: dict[str, int] = field(default_factory=dict)


def deduplicate_ids(ids: Iterable[str]) -> tuple[list[str], int]:
    """Append `#2`, `#3`, ... to repeated ids.

    Returns:
        The unique ids, and the number of ids that were changed.
    """
    seen: Counter = Counter()
    unique = []
    for clip in ids:
        seen[clip] += 1
        unique.append(clip if seen[clip] == 1 else f"{clip}#{seen[clip]}")
    return unique, sum(seen.values()) - len(seen)


def finite_or_none(value: float) -> float | None:
    """Return a label as a float, or None (unknown) if it is not finite."""
    return float(value) if math.isfinite(value) else None


def check_fraction(name: str, value: object) -> float:
    """Return the value of an option that is a fraction, at least 0 and less than 1. Raises `ValueError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"Option `{name}` is {value!r}; expected a fraction from 0 to less than 1.")
    return value


def check_options(options: dict, known: dict[str, LayoutOption], title: str) -> dict:
    """Return the value of every known option, with defaults filled in.

    Raises:
        ValueError: if an option is unknown or its value is not among its choices.
    """
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{title} has no option {name!r}.{did_you_mean(name, known)}")
        choices = known[name].choices
        if choices is not None and value not in choices:
            raise ValueError(f"Option `{name}` is {value!r}; expected one of {', '.join(map(repr, choices))}.")
    values = {name: option.default for name, option in known.items()} | options
    modalities = values["modalities"]
    if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(f"Option `modalities` is {modalities!r}; expected a list of {', '.join(MODALITIES)}.")
    return values
