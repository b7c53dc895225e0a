# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A small `train_valid_test.pt` of HHMPN and TAILOR, written by torch.save in either of its formats."""

import argparse
from pathlib import Path

import numpy as np
import torch

from .sequences import padded, random_sequences


TOKENS = {  # another order than that of TAILOR's comment
    "<blank>": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "anger": 4, "disgust": 5, "fear": 6, "happy": 7, "sad": 8, "surprise": 9,
}  # fmt: skip


def write_hhmpn(
    folder: Path, mapping: dict | None = TOKENS, zipped: bool = True, tensors: bool = False, change=None
) -> dict:
    """Write the file; return split -> list of {"text", "audio", "visual", "names"}, without padding."""
    rng = np.random.default_rng(2)
    contents, truth = {"settings": argparse.Namespace(max_text_seq_len=60, save_data="x.pt")}, {}
    contents["dict"] = {"src": None, "tgt": dict(mapping)} if mapping is not None else {"src": None}
    names = {token: name for name, token in (mapping or TOKENS).items()}
    for split, count in (("train", 5), ("valid", 3), ("test", 4)):
        words = rng.integers(2, 11, count).tolist()
        part, clips = {}, [{} for _ in range(count)]
        for name, size in (("text", 300), ("visual", 35), ("audio", 74)):
            sequences = random_sequences(rng, words, size)
            values = padded(sequences, 10, "front")
            if name == "audio":
                values[0, -1, 3] = sequences[0][-1, 3] = -np.inf
            part[f"src-{name}"] = torch.from_numpy(values) if tensors else list(values)
            for clip, sequence in zip(clips, sequences, strict=True):
                clip[name] = sequence
        part["tgt"] = []
        for clip in clips:
            tokens = sorted(rng.choice(np.arange(4, 10), rng.integers(0, 3), replace=False).tolist())
            part["tgt"].append([2, *tokens, 3])
            clip["names"] = {names[token] for token in tokens}
        part["adj"] = None
        contents[split], truth[split] = part, clips
    if change is not None:
        change(contents)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(contents, folder / "train_valid_test.pt", _use_new_zipfile_serialization=zipped)
    return truth
