# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics that features are normalized by, and the treatment of values that are not finite."""

from collections.abc import Iterable

import numpy as np


def sanitize(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Replace values that are not finite by 0.

    A step that is NaN throughout, such as a frame without a face, was not measured: it is masked and not counted.

    Args:
        values: features `(steps, size)`.

    Returns:
        the finite values, the mask of measured steps `(steps,)`, and the number of replaced values in measured steps.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values, np.ones(len(values), bool), 0
    mask = ~np.isnan(values).all(1)
    return np.where(finite, values, np.float32(0)), mask, int((~finite[mask]).sum())


def fit_statistics(rows: Iterable[dict[str, np.ndarray]], sizes: dict[str, int]) -> dict[str, dict[str, list[float]]]:
    """Compute mean and standard deviation of every feature over the measured steps of all rows, in constant memory.

    Args:
        rows: features `(steps, size)` of each row by modality.
        sizes: number of features of each modality.

    Returns:
        `{"mean": [...], "std": [...]}` of each modality; the deviation of a constant feature is 1.
    """
    sums = {m: np.zeros((3, size)) for m, size in sizes.items()}
    for row in rows:
        for m, total in sums.items():
            values, mask, _ = sanitize(row[m])
            values = values[mask].astype(np.float64)
            total += np.stack([np.full(values.shape[1], len(values)), values.sum(0), (values**2).sum(0)])
    statistics = {}
    for m, (count, total, squares) in sums.items():
        count = np.maximum(count, 1)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        deviation[deviation < 1e-6] = 1.0  # a constant feature
        statistics[m] = {"mean": mean.tolist(), "std": deviation.tolist()}
    return statistics


def load_scale(statistics: dict[str, dict[str, list[float]]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return mean and standard deviation of each modality as float32 arrays `(size,)`."""
    return {
        m: (np.asarray(values["mean"], np.float32), np.asarray(values["std"], np.float32))
        for m, values in statistics.items()
    }
