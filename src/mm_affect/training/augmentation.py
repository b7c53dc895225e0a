# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Random changes to training rows: masked spans, noise, dropped modalities. Never used in evaluation."""

import numpy as np
import torch

from .options import Augmentation


class FeatureAugmentation:
    """Augmentation of training rows, called by the processor with the normalized features of one modality of one row.

    Random numbers come from torch's generator, which the Trainer saves and restores with its checkpoints.

    Args:
        options: Probabilities and magnitudes of the changes.
    """

    def __init__(self, options: Augmentation):
        self.options = options

    def __call__(self, modality: str, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return changed copies of the features `(steps, size)` and the mask `(steps,)` of a modality."""
        options = self.options
        if not len(values) or (options.modalities is not None and modality not in options.modalities):
            return values, mask
        values, mask = np.array(values, np.float32), mask.copy()
        if options.noise:
            level = options.noise * (_uniform() if options.noise_range else 1.0)
            values += level * torch.randn(values.shape).numpy()
        if options.gain:
            values += options.gain * torch.randn(()).item()
        if options.feature_mask:
            start, stop = _draw_span(values.shape[1], options.feature_mask)
            values[:, start:stop] = 0.0
        if options.time_mask:
            start, stop = _draw_span(len(values), options.time_mask)
            if stop - start < mask.sum():  # at least one step remains
                values[start:stop] = 0.0
        if options.modality_dropout and _uniform() < options.modality_dropout:
            mask[:] = False
        return values, mask


def _uniform() -> float:
    return torch.rand(()).item()


def _draw_span(length: int, fraction: float) -> tuple[int, int]:
    size = int(_uniform() * fraction * length)
    start = int(_uniform() * (length - size + 1))
    return start, start + size
