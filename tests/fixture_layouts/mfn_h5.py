# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small HDF5 files of MFN, without the text of the training split, like those of ICT-MMMO."""

from pathlib import Path

import h5py
import numpy as np

from .sequences import padded, random_sequences


def write_mfn_h5(folder: Path) -> dict:
    """Write the files; return split -> list of {"text", "audio", "video", "label"}, without padding."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for split, count in (("train", 6), ("valid", 3), ("test", 4)):
        words = rng.integers(2, 21, count).tolist()
        clips = [{"label": float(label)} for label in rng.uniform(1, 5, count)]
        for name, size in (("text", 30), ("audio", 74), ("video", 36)):
            if (split, name) == ("train", "text"):
                continue
            sequences = random_sequences(rng, words, size)
            ending = "_emb" if name == "text" else ""
            with h5py.File(folder / f"{name}_{split}{ending}.h5", "w") as file:
                file["d1"] = padded(sequences, 20, "front").astype(np.float64)
            for clip, sequence in zip(clips, sequences, strict=True):
                clip[name] = sequence
        with h5py.File(folder / f"y_{split}.h5", "w") as file:
            file["d1"] = np.array([clip["label"] for clip in clips])
        truth[split] = clips
    return truth
