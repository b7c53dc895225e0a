# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Random changes to training rows: hidden stretches, noise, missing modalities. Never used in evaluation."""

from dataclasses import dataclass

import numpy as np
import torch
from huggingface_hub.dataclasses import strict


@strict
@dataclass
class Augmentation:
    """Called by the processor with one row's normalized features of one modality.

    Randomness comes from torch's generator, which the Trainer saves and restores with its checkpoints.

    Args:
        noise: standard deviation of Gaussian noise, in deviations of the training split.
        noise_range: noise level drawn per row and modality from 0 to `noise` instead of fixed.
        time_mask: greatest share of a row's steps that is hidden, one stretch (SpecAugment, Park et al. 2019).
        feature_mask: greatest share of the features that is set to their mean (0), one band.
        gain: standard deviation of one offset added to every feature of every step of a row (loudness of log-mels).
        modality_dropout: probability that a row loses one modality.
        modalities: the modalities that are changed; default all.
    """

    noise: float | int = 0.0
    noise_range: bool = False
    time_mask: float | int = 0.0
    feature_mask: float | int = 0.0
    gain: float | int = 0.0
    modality_dropout: float | int = 0.0
    modalities: list[str] | None = None

    def __post_init__(self):
        for name in ("time_mask", "feature_mask", "modality_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Augmentation `{name}` is {getattr(self, name)}; expected a share from 0 to 1.")
        for name in ("noise", "gain"):
            if getattr(self, name) < 0:
                raise ValueError(f"Augmentation `{name}` is {getattr(self, name)}; expected 0 or more.")

    def __call__(self, modality: str, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(values) or (self.modalities is not None and modality not in self.modalities):
            return values, mask
        values, mask = np.array(values, np.float32), mask.copy()
        if self.noise:
            level = self.noise * (_uniform() if self.noise_range else 1.0)
            values += level * torch.randn(values.shape).numpy()
        if self.gain:
            values += self.gain * torch.randn(()).item()
        if self.feature_mask:
            start, stop = _stretch(values.shape[1], self.feature_mask)
            values[:, start:stop] = 0.0
        if self.time_mask:
            start, stop = _stretch(len(values), self.time_mask)
            if stop - start < mask.sum():  # something stays
                values[start:stop] = 0.0
        if self.modality_dropout and _uniform() < self.modality_dropout:
            mask[:] = False
        return values, mask


def _uniform() -> float:
    return torch.rand(()).item()


def _stretch(length: int, share: float) -> tuple[int, int]:
    size = int(_uniform() * share * length)
    start = int(_uniform() * (length - size + 1))
    return start, start + size
