# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pickles that hold a dict of splits, each a dict of arrays with one entry per clip: what MulT, MMSA and HHMPN share."""

from pathlib import Path

import numpy as np

from .copies import unique_ids
from .legacy_pickle import read_pickle


FILE_SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # ours -> the files'


def read_splits(path: Path, needed: tuple[str, ...], allow_partial: bool = False) -> dict[str, dict]:
    """Split -> what the pickle holds of it, every array of `needed` there and of equal length.

    With `allow_partial` splits may be missing, though not all of them.
    """
    return splits_in(read_dict(path), path, needed, allow_partial)


def splits_in(contents: dict, path: Path, needed: tuple[str, ...], allow_partial: bool = False) -> dict[str, dict]:
    """As `read_splits`, for contents that were read from `path`."""
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
    """As `unique_ids`, over all splits together."""
    flat, twice = unique_ids(clip for clips in names.values() for clip in clips)
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
