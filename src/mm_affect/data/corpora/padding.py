# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Zero padding of legacy files, taken off: which side it is on is found by looking, or lengths in the file say it."""

import numpy as np


CHUNK = 64  # samples compared with zero at a time, so that memory does not grow with the file


def zero_ends(values: np.ndarray) -> np.ndarray:
    """Zero steps before and after the others, int (samples, 2), of (samples, steps, size); both are `steps` if all are."""
    ends = np.zeros((len(values), 2), dtype=np.int64)
    for begin in range(0, len(values), CHUNK):
        real = (values[begin : begin + CHUNK] != 0).any(axis=2)
        found = np.stack([real.argmax(axis=1), real[:, ::-1].argmax(axis=1)], axis=1) if real.shape[1] else 0
        ends[begin : begin + CHUNK] = np.where(real.any(axis=1, keepdims=True), found, real.shape[1])
    return ends


def padded_side(ends: list[np.ndarray], steps: list[int]) -> str | None:
    """`"front"` or `"behind"`, where most of the zero steps of several arrays are; None where there are none.

    Zeros on the other side are data: words without a vector, frames without a face. Samples of zeros alone say nothing.
    """
    front, behind = sum(part[part[:, 0] < length].sum(axis=0) for part, length in zip(ends, steps, strict=True))
    if front == behind == 0:
        return None
    return "front" if front > behind else "behind"


def real_steps(ends: np.ndarray, steps: int, side: str | None) -> np.ndarray:
    """First real step and the one behind the last, int (samples, 2); they are equal where all steps are zero."""
    bounds = np.tile([0, steps], (len(ends), 1))
    if side == "front":
        bounds[:, 0] = ends[:, 0]
    elif side == "behind":
        bounds[:, 1] = steps - ends[:, 1]
    bounds[ends[:, 0] == steps] = 0
    return bounds


def by_lengths(lengths, count: int, steps: int, where: str) -> np.ndarray:
    """As `real_steps` for padding behind, from the lengths that a file gives; raises `ValueError` where they cannot be."""
    lengths = np.asarray(lengths)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iuf" or (lengths != np.floor(lengths)).any():
        raise ValueError(f"{where} is {lengths.dtype} {lengths.shape}; expected one whole number for each of {count}.")
    if count and not 0 <= lengths.min() <= lengths.max() <= steps:
        raise ValueError(f"{where} goes from {lengths.min():g} to {lengths.max():g}; the arrays have {steps} steps.")
    return np.stack([np.zeros(count, dtype=np.int64), lengths.astype(np.int64)], axis=1)


def without_padding(
    arrays: dict[str, dict[str, np.ndarray]],
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Modality -> split -> first real step and the one behind the last, int (clips, 2); and how padding was found.

    `arrays` is modality -> split -> (clips, steps, size). Where all modalities have equally many steps in every split
    they are aligned: a step is padding only if it is zero in all of them, and a modality that is zero throughout a clip
    is absent from it (no steps).
    """
    ends = {modality: {split: zero_ends(part) for split, part in parts.items()} for modality, parts in arrays.items()}
    steps = {modality: {split: part.shape[1] for split, part in parts.items()} for modality, parts in arrays.items()}
    aligned = len(arrays) > 1 and len({tuple(lengths.values()) for lengths in steps.values()}) == 1
    if aligned:
        splits = next(iter(arrays.values()))
        shared = {split: np.minimum.reduce([parts[split] for parts in ends.values()]) for split in splits}
    bounds, ways = {}, {}
    for modality, lengths in steps.items():
        own = ends[modality]
        looked_at = shared if aligned else own
        side = padded_side(list(looked_at.values()), list(lengths.values()))
        bounds[modality] = {split: real_steps(looked_at[split], length, side) for split, length in lengths.items()}
        for split, length in lengths.items():
            bounds[modality][split][own[split][:, 0] == length] = 0
        ways[modality] = (
            f"{side}, by {'steps that are zero in every modality' if aligned else 'zeros'}" if side else "none"
        )
    return bounds, ways
