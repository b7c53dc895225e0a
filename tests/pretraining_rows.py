# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tiny clips for the tests of pretraining: four speakers, and words that can be read from the features."""

from pathlib import Path

import numpy as np

from mm_affect.data import write_rows
from mm_affect.training.pretraining.options import PretrainingOptions


SIZES = {"text": 4, "audio": 6, "visual": 3}
WORDS = ("yes", "no", "don't", "well", "maybe")


def clip(number: int, speakers: int = 4) -> dict:
    """A clip of 5 to 24 steps; its ids are like `clip3`."""
    rng = np.random.default_rng(number)
    steps = int(rng.integers(5, 25))
    row = {"id": f"clip{number}", "group": f"speaker{number % speakers}", "spans": None, "labels": {}}
    row["transcript"] = " ".join(rng.choice(WORDS, 1 + steps // 8))
    lengths = {"text": len(row["transcript"].split()), "audio": steps, "visual": steps // 3}
    return row | {m: rng.normal(size=(lengths[m], size)).astype(np.float32) for m, size in SIZES.items()}


def write_clips(folder: Path, rows: list[dict] | None = None) -> Path:
    """Shards of 12 clips; the speakers of `validation` are others."""
    rows = [clip(number) for number in range(60)] if rows is None else rows
    others = [clip(number) | {"group": f"other{number % 2}"} for number in range(100, 112)]
    corpus = {"name": "tiny clips", "synthetic": True, "label_fields": [], "sizes": SIZES}
    write_rows(folder, {"train": rows, "validation": others}, corpus, shard_rows=12)
    return folder


def options_of(data: Path, output: Path, modalities=("audio", "visual"), **fields) -> PretrainingOptions:
    """A run of few steps of a small model with dropout."""
    sizes = {
        "hidden_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
    }
    usual = {
        "rows": str(data),
        "output": str(output),
        "model": sizes | {"modalities": list(modalities)},
        "steps": 6,
        "batch_steps": 80,
        "pool_rows": 24,
        "learning_rate": 0.01,
        "warmup_steps": 3,
        "log_every": 1,
        "evaluate_every": 4,
        "save_every": 2,
        "evaluation_clips": 6,
        "num_beams": 2,
    }
    return PretrainingOptions(**(usual | fields))
