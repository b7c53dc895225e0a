# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pickles that hold a dict of splits, each a dict of arrays with one entry per clip: what MulT, MMSA and HHMPN share."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.legacy_pickle import read_pickle
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, LayoutOption, deduplicate_ids
from .padding import without_padding


FILE_SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # ours -> the files'


def splits_in(contents: dict, path: Path, needed: tuple[str, ...], allow_partial: bool = False) -> dict[str, dict]:
    """Split -> what `contents`, read from `path`, hold of it, every array of `needed` there and of equal length.

    With `allow_partial` splits may be missing, though not all of them.
    """
    found = {split: contents[name] for split, name in FILE_SPLITS.items() if name in contents}
    lacking = [name for split, name in FILE_SPLITS.items() if split not in found]
    if lacking and not (allow_partial and found):
        raise ValueError(
            f"{path} has no split `{lacking[0]}`; it holds {_listed(contents)}. Get the whole file"
            + (", or pass allow_partial=True." if found else ".")
        )
    for split, part in found.items():
        where = f"{path}, split `{FILE_SPLITS[split]}`"
        if not isinstance(part, dict):
            raise ValueError(f"{where} is a {type(part).__name__}; expected a dict of arrays.")
        missing = [name for name in needed if name not in part]
        if missing:
            raise ValueError(f"{where} has no `{missing[0]}`; it holds {_listed(part)}.")
        check_lengths({name: part[name] for name in needed}, where)
    return found


def read_dict(path: Path) -> dict:
    """What the pickle at `path` holds, a dict."""
    contents = read_pickle(path)
    if not isinstance(contents, dict):
        raise ValueError(
            f"{path} holds a {type(contents).__name__}; expected a dict of the splits train, valid, test."
        )
    return contents


def check_lengths(arrays: dict, where: str) -> int:
    """The number of clips, the same in each of `arrays`."""
    lengths = {name: len(values) if hasattr(values, "__len__") else None for name, values in arrays.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values():
        told = ", ".join(f"`{name}` {'none' if length is None else length}" for name, length in lengths.items())
        raise ValueError(f"{where} has unequal numbers of clips: {told}; get the file again.")
    return next(iter(lengths.values()))


def arrays_of(splits: dict[str, dict], keys: dict[str, str], path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Modality -> split -> array (clips, steps, size), of `keys`, modality -> key of the file."""
    arrays = {}
    for modality, key in keys.items():
        arrays[modality], size = {}, None
        for split, part in splits.items():
            values = sequences(part[key], f"{path}, `{key}` of split `{FILE_SPLITS[split]}`", size)
            arrays[modality][split], size = values, values.shape[2]
    return arrays


def unique_by_split(names: dict[str, list[str]]) -> tuple[dict[str, list[str]], int]:
    """As `deduplicate_ids`, over all splits together."""
    flat, twice = deduplicate_ids(clip for clips in names.values() for clip in clips)
    flat = iter(flat)
    return {split: [next(flat) for _ in clips] for split, clips in names.items()}, twice


def sequences(values, where: str, size: int | None = None) -> np.ndarray:
    """`values` as an array (clips, steps, size) of numbers, or a `ValueError` that says what it is."""
    if isinstance(values, list):
        shapes = {np.shape(value) for value in values}
        if len(shapes) > 1:
            raise ValueError(f"{where} holds sequences of {len(shapes)} shapes; expected one, padded.")
        values = np.asarray(values)
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind not in "fiu":
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"{where} is {found}; expected numbers (clips, steps, features).")
    if size is not None and values.shape[2] != size:
        raise ValueError(f"{where} has {values.shape[2]} features per step; the split before it has {size}.")
    return values


def text_of(value) -> str:
    """A text of the file, which may be bytes or a numpy scalar."""
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def numbers_of(values, where: str) -> np.ndarray:
    """One number for each clip, float64 (clips,), from a list or an array with or without axes of length 1."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where} holds {type(values).__name__} values that are no numbers.") from None
    if array.size != len(values):
        raise ValueError(f"{where} has shape {array.shape}; expected one number for each clip.")
    return array.reshape(-1)


def _listed(part: dict) -> str:
    return ", ".join(f"`{text_of(name)}`" for name in list(part)[:8]) or "nothing"


class SplitPickleLayout(CorpusLayout):
    """The base of these layouts: one row for each clip, its features without their padding.

    A subclass gives `about` (name, license, citation, split_protocol), `counts`, `array_keys` (modality -> key of the file),
    `needed` (further keys that every split must have), `path`, `label_fields` and `clips`, and `names` if the file has
    ids. The file is read into memory, whole.
    """

    about: CorpusRecord
    counts: dict[str, int | None]
    label_fields: list[LabelField]
    array_keys: dict[str, str]
    needed: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file that is read."""
        raise NotImplementedError

    def names(self, split: str) -> list[str]:
        """The ids of a split, which may be there twice; made up from split and position where the file has none."""
        return [f"{split}-{i}" for i in range(len(next(iter(self._arrays.values()))[split]))]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Of every clip its position in the arrays, its row without features and labels, and its labels."""
        raise NotImplementedError

    def describe(self) -> CorpusRecord:
        return replace(
            self.about,
            label_fields=self.label_fields,
            sizes={modality: next(iter(parts.values())).shape[2] for modality, parts in self._arrays.items()},
            counts=self.counts,
            padding=self._bounds[1],
        )

    def rows(self, split: str) -> Iterator[dict]:
        if split not in self._splits:
            return
        for index, row, labels in self.clips(split):
            for modality, parts in self._arrays.items():
                start, stop = self._bounds[0][modality][split][index]
                row[modality] = parts[split][index, start:stop].astype(np.float32)
            yield row | {"labels": self.audit_labels(labels, self.label_fields)}

    @cached_property
    def _contents(self) -> dict:
        return read_dict(self.path)

    @cached_property
    def _splits(self) -> dict[str, dict]:
        needed = (*self._keys.values(), *self.needed)
        return splits_in(self._contents, self.path, needed, self.options["allow_partial"])

    @property
    def _keys(self) -> dict[str, str]:
        """`array_keys` of the modalities asked for."""
        return {modality: key for modality, key in self.array_keys.items() if modality in self.options["modalities"]}

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return arrays_of(self._splits, self._keys, self.path)

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        return without_padding(self._arrays)

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Split -> the ids of its clips, unique over the file."""
        unique, twice = unique_by_split({split: self.names(split) for split in self._splits})
        self.reported.update({"duplicate": twice} if twice else {})
        return unique


class PicklePairLayout(SplitPickleLayout):
    """One such file aligned to words, and one that is not. Both may be there: the option `align` chooses one.

    A subclass gives `file_by_alignment`, the value of `align` -> the file that it means, too.
    """

    file_by_alignment: dict[str, LayoutFile]
    extra_options = {
        "align": LayoutOption('"words": the aligned file, "none": the other; by default the one that is there', None, (None, "words", "none"))
    }  # fmt: skip

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return any(cls.find_files(folder, wanted) for wanted in cls.file_by_alignment.values())

    @property
    def path(self) -> Path:
        return self.folder / self.file_by_alignment[self._align].path

    @cached_property
    def _align(self) -> str:
        asked = self.options["align"]
        there = [align for align, wanted in self.file_by_alignment.items() if self.find_files(self.folder, wanted)]
        if asked is not None and asked not in there:
            raise ValueError(
                f"{self.folder} has no {self.file_by_alignment[asked].path}, which align={asked!r} reads."
            )
        return asked or there[0]
