# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small pickles of MMSA: `aligned_50.pkl` and `unaligned_50.pkl`."""

import pickle
from pathlib import Path

import numpy as np

from .sequences import padded, random_sequences


def write_mmsa_pickle(folder: Path, aligned: bool = False, unimodal: bool = False, change=None) -> dict:
    """Write the pickle; return split -> list of {"id", "words", "text", "audio", "vision", "label"}, without padding."""
    rng = np.random.default_rng(1)
    steps = {"text": 12, "audio": 12, "vision": 12} if aligned else {"text": 12, "audio": 40, "vision": 25}
    contents, truth = {}, {}
    for split, count in (("train", 5), ("valid", 3), ("test", 4)):
        pieces = rng.integers(3, 13, count).tolist()
        part, clips = {}, [{} for _ in range(count)]
        for (name, length), size in zip(steps.items(), (768, 5, 6), strict=True):
            counts = pieces if aligned or name == "text" else rng.integers(1, length + 1, count).tolist()
            sequences = random_sequences(rng, counts, size)
            sequences[0][-1] = 0  # a real step of zeros, which only the lengths tell from padding
            part[name] = padded(sequences, length, "behind")
            if name != "text" and not aligned:
                part[f"{name}_lengths"] = counts if name == "audio" else np.array(counts)
            for clip, sequence in zip(clips, sequences, strict=True):
                clip[name] = sequence
        mask = (np.arange(12) < np.array(pieces)[:, None]).astype(np.float32)
        part["text_bert"] = np.stack([mask * 101, mask, 0 * mask], axis=1)
        part["text_bert"][:, 0, 1:] *= 7
        for i, clip in enumerate(clips):
            clip |= {
                "id": f"some_video{i // 2}$_${i}",
                "words": f"these are words {split} {i}",
                "label": float(rng.uniform(-3, 3)),
            }
        part["id"] = [clip["id"] + split for clip in clips]
        part["raw_text"] = np.array([clip["words"] for clip in clips])
        part["regression_labels"] = np.array([clip["label"] for clip in clips], dtype=np.float32)
        part["classification_labels"] = np.sign(part["regression_labels"]) + 1
        part["annotations"] = np.array(["Positive" if clip["label"] > 0 else "Negative" for clip in clips])
        if unimodal:
            for letter in "TAV":
                part[f"regression_labels_{letter}"] = part["regression_labels"] / 3
        contents[split], truth[split] = part, clips
    if change is not None:
        change(contents)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{'aligned' if aligned else 'unaligned'}_50.pkl", "wb") as file:
        pickle.dump(contents, file)
    return truth
