# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base classes for files that hold a dict of splits, each a dict of arrays with one entry per clip (MulT, MMSA, HHMPN)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.legacy_pickle import read_pickle
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, LayoutOption, deduplicate_ids
from .padding import detect_padding


FILE_SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # our name -> name in the files


def get_splits(contents: dict, path: Path, needed: tuple[str, ...], allow_partial: bool = False) -> dict[str, dict]:
    """Return the splits of a file under our names.

    Args:
        contents: contents of the file.
        path: the file, for error messages.
        needed: keys that every split must have, with one entry per clip.
        allow_partial: accept a file in which some splits (not all) are missing.

    Raises:
        ValueError: if a split or a key is missing, or the numbers of entries differ.
    """
    splits = {split: contents[name] for split, name in FILE_SPLITS.items() if name in contents}
    missing_splits = [name for split, name in FILE_SPLITS.items() if split not in splits]
    if missing_splits and not (allow_partial and splits):
        raise ValueError(
            f"{path} has no split `{missing_splits[0]}`; it holds {_format_keys(contents)}. Get the whole file"
            + (", or leave it out (`--allow-partial`, in Python `allow_partial=True`)." if splits else ".")
        )
    for split, part in splits.items():
        where = f"{path}, split `{FILE_SPLITS[split]}`"
        if not isinstance(part, dict):
            raise ValueError(f"{where} is a {type(part).__name__}; expected a dict of arrays.")
        missing = [name for name in needed if name not in part]
        if missing:
            raise ValueError(f"{where} has no `{missing[0]}`; it holds {_format_keys(part)}.")
        check_lengths({name: part[name] for name in needed}, where)
    return splits


def read_dict(path: Path) -> dict:
    """Read a pickle that must hold a dict."""
    contents = read_pickle(path)
    if not isinstance(contents, dict):
        raise ValueError(
            f"{path} holds a {type(contents).__name__}; expected a dict of the splits train, valid, test."
        )
    return contents


def check_lengths(arrays: dict, where: str) -> int:
    """Check that all arrays have the same number of clips, and return it."""
    lengths = {name: len(values) if hasattr(values, "__len__") else None for name, values in arrays.items()}
    length = next(iter(lengths.values()))
    if length is None or len(set(lengths.values())) != 1:
        numbers = ", ".join(f"`{name}` {'none' if count is None else count}" for name, count in lengths.items())
        raise ValueError(f"{where} has unequal numbers of clips: {numbers}; get the file again.")
    return length


def collect_arrays(splits: dict[str, dict], keys: dict[str, str], path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return modality -> split -> array (clips, steps, size). `keys` is modality -> key in the file."""
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for modality, key in keys.items():
        arrays[modality], size = {}, None
        for split, part in splits.items():
            values = to_sequences(part[key], f"{path}, `{key}` of split `{FILE_SPLITS[split]}`", size)
            arrays[modality][split], size = values, values.shape[2]
    return arrays


def deduplicate_by_split(names: dict[str, list[str]]) -> tuple[dict[str, list[str]], int]:
    """Apply `deduplicate_ids` to the ids of all splits together."""
    unique, repeated = deduplicate_ids(clip for clips in names.values() for clip in clips)
    remaining = iter(unique)
    return {split: [next(remaining) for _ in clips] for split, clips in names.items()}, repeated


def to_sequences(values, where: str, size: int | None = None) -> np.ndarray:
    """Convert to a numeric array (clips, steps, size). Raises `ValueError` if that is impossible or `size` differs."""
    if isinstance(values, list):
        shapes = {np.shape(value) for value in values}
        if len(shapes) > 1:
            raise ValueError(f"{where} holds sequences of {len(shapes)} shapes; expected one, padded.")
        values = np.asarray(values)
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind not in "fiu":
        kind = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"{where} is {kind}; expected numbers (clips, steps, features).")
    if size is not None and values.shape[2] != size:
        raise ValueError(f"{where} has {values.shape[2]} features per step; the split before it has {size}.")
    return values


def to_text(value) -> str:
    """Convert a string of the file, which may be bytes or a numpy scalar, to `str`."""
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def to_numbers(values, where: str) -> np.ndarray:
    """Convert to one number per clip, float64 (clips,). Axes of length 1 are removed."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where} holds {type(values).__name__} values that are not numbers.") from None
    if array.size != len(values):
        raise ValueError(f"{where} has shape {array.shape}; expected one number for each clip.")
    return array.reshape(-1)


def _format_keys(part: dict) -> str:
    return ", ".join(f"`{to_text(name)}`" for name in list(part)[:8]) or "nothing"


class SplitPickleLayout(CorpusLayout):
    """Base class: one row per clip, with its padding removed. The whole file is read into memory.

    Subclasses implement `path`, `label_fields` and `clips`, and `names` if the file has ids.

    Class attributes:
        about: name, license, citation and split protocol of the corpus.
        counts: documented number of rows per split.
        array_keys: modality -> key in the file.
        needed: further keys that every split must have.
    """

    about: CorpusRecord
    counts: Mapping[str, int]
    array_keys: dict[str, str]
    needed: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Return the file to read."""
        raise NotImplementedError

    @property
    def label_fields(self) -> list[LabelField]:
        """Return the label columns of the file."""
        raise NotImplementedError

    def names(self, split: str) -> list[str]:
        """Return the ids of a split, possibly with repetitions; `<split>-<position>` for a file without ids."""
        return [f"{split}-{i}" for i in range(len(next(iter(self._arrays.values()))[split]))]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Iterate over the clips of a split: position in the arrays, row without features and labels, and labels."""
        raise NotImplementedError

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        return replace(
            self.about,
            label_fields=self.label_fields,
            sizes={modality: next(iter(parts.values())).shape[2] for modality, parts in self._arrays.items()},
            counts=dict(self.counts),
            padding=self._bounds[1],
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
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
        return get_splits(self._contents, self.path, needed, self.options["allow_partial"])

    @property
    def _keys(self) -> dict[str, str]:
        """Return `array_keys` of the selected modalities."""
        return {modality: key for modality, key in self.array_keys.items() if modality in self.options["modalities"]}

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return collect_arrays(self._splits, self._keys, self.path)

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        return detect_padding(self._arrays)

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Return split -> ids, unique over the file."""
        unique, repeated = deduplicate_by_split({split: self.names(split) for split in self._splits})
        self.report("duplicate", repeated)
        return unique


class PicklePairLayout(SplitPickleLayout):
    """Base class for a word-aligned and an unaligned file, one of which the option `align` selects.

    Class attributes:
        file_by_alignment: value of `align` -> file.
    """

    file_by_alignment: dict[str, LayoutFile]
    extra_options = {
        "align": LayoutOption('"words": the word-aligned file, "none": the unaligned one; by default the one that exists', None, (None, "words", "none"))
    }  # fmt: skip

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True if `folder` holds this layout."""
        return any(cls.find_files(folder, file) for file in cls.file_by_alignment.values())

    @property
    def path(self) -> Path:
        """Return the file to read."""
        return self.folder / self.file_by_alignment[self._align].path

    @cached_property
    def _align(self) -> str:
        requested = self.options["align"]
        present = [align for align, file in self.file_by_alignment.items() if self.find_files(self.folder, file)]
        if requested is not None and requested not in present:
            raise ValueError(
                f"{self.folder} has no {self.file_by_alignment[requested].path}, which align={requested!r} reads."
            )
        return requested or present[0]
