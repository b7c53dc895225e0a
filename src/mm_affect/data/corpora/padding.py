# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Detect the zero padding of published feature files, from the values or from the lengths that a file gives."""

import numpy as np


CHUNK = 64  # samples compared with zero at a time, to bound memory


def count_zero_steps(values: np.ndarray) -> np.ndarray:
    """Count the zero steps at the start and end of every sample.

    Args:
        values: array (samples, steps, size).

    Returns:
        int array (samples, 2); both numbers are `steps` for a sample of zeros.
    """
    ends = np.zeros((len(values), 2), dtype=np.int64)
    for begin in range(0, len(values), CHUNK):
        real = (values[begin : begin + CHUNK] != 0).any(axis=2)
        counts = np.stack([real.argmax(axis=1), real[:, ::-1].argmax(axis=1)], axis=1) if real.shape[1] else 0
        ends[begin : begin + CHUNK] = np.where(real.any(axis=1, keepdims=True), counts, real.shape[1])
    return ends


def find_padded_side(ends: list[np.ndarray], steps: list[int]) -> str | None:
    """Return the side, `"front"` or `"behind"`, that has more zero steps over several arrays; None if there are none.

    Zeros on the other side are data: words without a vector, frames without a face. Samples of zeros are ignored.
    """
    front, behind = sum(part[part[:, 0] < length].sum(axis=0) for part, length in zip(ends, steps, strict=True))
    if front == behind == 0:
        return None
    return "front" if front > behind else "behind"


def find_bounds(ends: np.ndarray, steps: int, side: str | None) -> np.ndarray:
    """Return the half-open range of real steps, int (samples, 2); it is empty where all steps are zero."""
    bounds = np.tile([0, steps], (len(ends), 1))
    if side == "front":
        bounds[:, 0] = ends[:, 0]
    elif side == "behind":
        bounds[:, 1] = steps - ends[:, 1]
    bounds[ends[:, 0] == steps] = 0
    return bounds


def bounds_from_lengths(lengths, count: int, steps: int, where: str) -> np.ndarray:
    """Return the half-open range of real steps, int (count, 2), from the lengths that a file gives.

    Raises:
        ValueError: if the lengths are not whole numbers between 0 and `steps`, one per sample.
    """
    lengths = np.asarray(lengths)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iuf" or (lengths != np.floor(lengths)).any():
        raise ValueError(f"{where} is {lengths.dtype} {lengths.shape}; expected one whole number for each of {count}.")
    if count and not 0 <= lengths.min() <= lengths.max() <= steps:
        raise ValueError(f"{where} goes from {lengths.min():g} to {lengths.max():g}; the arrays have {steps} steps.")
    return np.stack([np.zeros(count, dtype=np.int64), lengths.astype(np.int64)], axis=1)


def detect_padding(
    arrays: dict[str, dict[str, np.ndarray]],
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Detect the zero padding of the arrays of a file.

    If all modalities have the same number of steps in every split, they are aligned: a step is padding only if it is
    zero in all of them, and a modality that is zero throughout a clip has no steps.

    Args:
        arrays: modality -> split -> array (clips, steps, size).

    Returns:
        Modality -> split -> half-open range of real steps, int (clips, 2); and modality -> how padding was detected.
    """
    ends = {
        modality: {split: count_zero_steps(part) for split, part in parts.items()}
        for modality, parts in arrays.items()
    }
    steps = {modality: {split: part.shape[1] for split, part in parts.items()} for modality, parts in arrays.items()}
    aligned = len(arrays) > 1 and len({tuple(lengths.values()) for lengths in steps.values()}) == 1
    if aligned:
        splits = next(iter(arrays.values()))
        shared = {split: np.minimum.reduce([parts[split] for parts in ends.values()]) for split in splits}
    bounds: dict[str, dict[str, np.ndarray]] = {}
    methods: dict[str, str] = {}
    for modality, lengths in steps.items():
        own = ends[modality]
        compared = shared if aligned else own
        side = find_padded_side(list(compared.values()), list(lengths.values()))
        bounds[modality] = {split: find_bounds(compared[split], length, side) for split, length in lengths.items()}
        for split, length in lengths.items():
            bounds[modality][split][own[split][:, 0] == length] = 0
        methods[modality] = (
            f"{side}, by {'steps that are zero in every modality' if aligned else 'zeros'}" if side else "none"
        )
    return bounds, methods
