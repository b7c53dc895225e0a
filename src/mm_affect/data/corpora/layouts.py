# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Copy: one layout of a corpus that users hold, recognized by its files, and read row by row; Corpus: all of them."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ...messages import did_you_mean
from ...vocabulary import MODALITIES


@dataclass(frozen=True)
class Wanted:
    """One file or folder that a copy is made of: a name relative to the copy, or a glob pattern such as `**/*.csd`."""

    path: str
    purpose: str
    required: bool = True


@dataclass(frozen=True)
class Option:
    """What a user may choose about a copy; `choices` None: any value, which the copy checks."""

    purpose: str
    default: object = None
    choices: tuple | None = None


COMMON_OPTIONS = {
    "modalities": Option("the modalities that rows carry", MODALITIES),
    "allow_partial": Option("go on with a copy that lacks splits or clips", False, (False, True)),
}


class Copy:
    """The base of every layout. A subclass gives the class attributes, `describe` and `rows`.

    `name` is stable, shown to users and recorded; `title` says the layout in words. Making a copy opens nothing.
    While `rows` runs it appends {"id", "reason"} to `dropped`, and counts in `reported` what it kept though it is odd
    (`out_of_range`, `duplicate`, `no_emotion`, ...).

    A copy whose `rows` loops over independent groups (videos, dialogues, speakers) loops over `self.share(groups)` and
    says `divisible = True`: several processes then read one part each, numbered by `part`.
    """

    name: str
    title: str
    wanted: tuple[Wanted, ...] = ()
    known_options: dict[str, Option] = {}
    divisible = False
    part: tuple[int, int] = (0, 1)  # number of this part, and of how many

    def __init__(self, folder: Path, options: dict | None = None):
        self.folder = Path(os.path.abspath(folder))  # rows name their media by whole paths
        self.options = check_options(options or {}, self.all_options(), self.title)
        self.dropped: list[dict] = []
        self.reported: Counter = Counter()

    @classmethod
    def all_options(cls) -> dict[str, Option]:
        """The options of this layout and those that every layout has."""
        return COMMON_OPTIONS | cls.known_options

    @classmethod
    def recognize(cls, folder: Path) -> bool:
        """Whether `folder` holds this layout: by names, then at most a header."""
        return all(cls.find(folder, wanted) for wanted in cls.wanted if wanted.required)

    @staticmethod
    def find(folder: Path, wanted: Wanted) -> list[Path]:
        """What matches `wanted`, sorted. A name without `*` is looked up, not searched for."""
        folder = Path(folder)
        if any(character in wanted.path for character in "*?["):
            return sorted(folder.glob(wanted.path))
        return [folder / wanted.path] if (folder / wanted.path).exists() else []

    def describe(self) -> dict:
        """The corpus in the keys of corpus.json: `name`, `license`, `citation`, `label_fields`, `sizes`, `extractors`,
        `split_protocol`, `padding` (how it was stripped, or None), and `counts`, the rows that each split must have
        (None where no number is documented)."""
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict]:
        """The rows of one split, one after the other; memory does not grow with their number."""
        raise NotImplementedError

    def one_part(self, number: int, parts: int) -> "Copy":
        """A new copy that reads this part, to be sent to another process."""
        part = type(self)(self.folder, self.options)
        part.part = (number, parts)
        return part

    def share(self, groups: Iterable) -> Iterator:
        """The groups of this part: every n-th one, in their order."""
        first, parts = self.part
        return islice(groups, first, None, parts)

    def note_labels(self, labels: dict, fields: list[dict]) -> dict:
        """`labels`, after counting in `reported` what is unknown, outside its range, or without any class."""
        for column in fields:
            value, bounds = labels.get(column["name"]), column.get("range")
            numbers = value if isinstance(value, list) else [value]
            if value is None:
                self.reported[f"no_{column['name']}"] += 1
                continue
            if column["problem_type"] == "multi_label_classification" and not any(number > 0 for number in numbers):
                self.reported[f"without_any_{column['name']}"] += 1
            if bounds and not all(bounds[0] <= number <= bounds[1] for number in numbers):
                self.reported["out_of_range"] += 1
        return labels


@dataclass(frozen=True)
class Corpus:
    """A corpus and every layout of it that is read, the preferred ones first.

    `access` says in one sentence whom to ask for the files; `gated`: its license asks that copies are not given to
    everyone. `configs` are named sets of options, the first of which is the default; the option `copy` in one of them
    names the layout that it needs.
    """

    name: str
    title: str
    license: str
    citation: str
    access: str
    copies: tuple[type[Copy], ...]
    gated: bool = True
    configs: dict[str, dict] = field(default_factory=lambda: {"default": {}})
    counts: dict[str, int] = field(default_factory=dict)


def unique_ids(ids: Iterable[str]) -> tuple[list[str], int]:
    """`ids` with `#2`, `#3`, ... behind those that were there before, and how many these are."""
    seen: Counter = Counter()
    unique = []
    for clip in ids:
        seen[clip] += 1
        unique.append(clip if seen[clip] == 1 else f"{clip}#{seen[clip]}")
    return unique, sum(seen.values()) - len(seen)


def known_number(value) -> float | None:
    """A label as a float; None (unknown) where it is not finite."""
    return float(value) if math.isfinite(value) else None


def check_options(options: dict, known: dict[str, Option], title: str) -> dict:
    """Every known option with its value; raises `ValueError` for an unknown name or a value that is no choice."""
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{title} has no option {name!r}.{did_you_mean(name, known)}")
        choices = known[name].choices
        if choices is not None and value not in choices:
            raise ValueError(f"Option `{name}` is {value!r}; expected one of {', '.join(map(repr, choices))}.")
    values = {name: option.default for name, option in known.items()} | options
    modalities = values.get("modalities", MODALITIES)
    if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(f"Option `modalities` is {modalities!r}; expected a list of {', '.join(MODALITIES)}.")
    return values
