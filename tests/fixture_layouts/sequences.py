# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Random sequences with zero padding, like those of the preprocessed corpora."""

import numpy as np


def random_sequences(rng, counts: list[int], size: int) -> list[np.ndarray]:
    """One float32 (count, size) per count, no value of which is zero."""
    return [(rng.random((count, size)) + 0.1).astype(np.float32) for count in counts]


def padded(sequences: list[np.ndarray], steps: int, side: str) -> np.ndarray:
    """(clips, steps, size) with zeros in front of or behind the real steps."""
    values = np.zeros((len(sequences), steps, sequences[0].shape[1]), dtype=np.float32)
    for row, sequence in zip(values, sequences, strict=True):
        row[steps - len(sequence) if side == "front" else 0 :][: len(sequence)] = sequence
    return values
