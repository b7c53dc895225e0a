# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small pickles of MISA: `train.pkl`, `dev.pkl` and `test.pkl`."""

import pickle
from pathlib import Path

import numpy as np

from .sequences import random_sequences


def write_misa_pickle(folder: Path, splits: tuple[str, ...] = ("train", "dev", "test"), change=None) -> dict:
    """Write the pickles; return file -> its clips."""
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for split in splits:
        clips = []
        for i in range(4):
            count = int(rng.integers(2, 9))
            (visual,), (audio,) = random_sequences(rng, [count], 47), random_sequences(rng, [count], 74)
            features = (rng.integers(0, 99, count), visual, audio, [f"word{n}" for n in range(count)])
            clips.append((features, rng.uniform(-3, 3, (1, 1)).astype(np.float32), f"vid-_{split}[{i}]"))
        if change is not None:
            clips = change(clips)
        with open(folder / f"{split}.pkl", "wb") as file:
            pickle.dump(clips, file)
        written[split] = clips
    return written
