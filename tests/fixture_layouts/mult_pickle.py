# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small pickles of MulT: `<stem>_data.pkl` and `<stem>_data_noalign.pkl`."""

import pickle
from pathlib import Path

import numpy as np

from .sequences import padded, random_sequences


SPLITS = {"train": 5, "valid": 3, "test": 4}


def write_mult_pickle(
    folder: Path,
    stem: str = "mosi",
    aligned: bool = True,
    side: str = "front",
    sizes: tuple[int, int, int] = (7, 5, 4),
    ids: str | None = "bytes",
    labels: bool = True,
    classes: int | None = None,
    change=None,
    protocol: int = 4,
) -> dict:
    """Write the pickle; return split -> list of {"id", text", "audio", "vision", "label"}, without padding.

    `ids`: "bytes" triples as MOSI has them, "text" as MOSEI, None as IEMOCAP. `classes`: one-hot pairs for that many
    classes instead of a regression. `change` edits the contents before they are written.
    """
    rng = np.random.default_rng(0)
    steps = {"text": 9, "audio": 9, "vision": 9} if aligned else {"text": 9, "audio": 30, "vision": 20}
    contents, truth = {}, {}
    for split, count in SPLITS.items():
        words = rng.integers(2, 10, count).tolist()
        part, clips = {}, [{} for _ in range(count)]
        for (name, length), size in zip(steps.items(), sizes, strict=True):
            counts = words if aligned else rng.integers(1, length + 1, count).tolist()
            sequences = random_sequences(rng, counts, size)
            part[name] = padded(sequences, length, side)
            for clip, sequence in zip(clips, sequences, strict=True):
                clip[name] = sequence
        for i, clip in enumerate(clips):
            clip["id"], start = f"vid_{split}{i // 2}", 1.5 * i
            triple = (clip["id"], f"{start:.4f}" if aligned else f"{start:.6f}", f"{start + 1:.4f}")
            clip["triple"] = [text.encode() for text in triple] if ids == "bytes" else list(triple)
            clip["label"] = rng.integers(0, 2, classes).tolist() if classes else float(rng.uniform(-3, 3))
        if ids is not None:
            part["id"] = np.array([clip["triple"] for clip in clips])
        if labels and classes:
            present = np.array([clip["label"] for clip in clips])
            part["labels"] = np.stack([1 - present, present], axis=2).astype(np.float32)
        elif labels:
            part["labels"] = np.array([clip["label"] for clip in clips], dtype=np.float32)[:, None, None]
        contents[split], truth[split] = part, clips
    if change is not None:
        change(contents)
    path = folder / f"{stem}_data{'' if aligned else '_noalign'}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump(contents, file, protocol=protocol)
    return truth
