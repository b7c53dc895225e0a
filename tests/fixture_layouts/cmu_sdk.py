# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A few videos of CMU-MOSI or CMU-MOSEI as computational sequences: labels, words, word vectors, COVAREP, FACET."""

from pathlib import Path

import numpy as np

from .csd import write_csd


def write_sdk(
    folder: Path, videos: list[str], corpus: str = "CMU_MOSI", kinds=("Words", "Vectors", "COVAREP", "Facet")
) -> dict:
    """Each video: four words of 0.4 s with silences of 0.1 s between, and two segments that hold two words each.

    Frames of 0.05 s have the number of their step as every value. Labels are (1,) for MOSI, (7,) for MOSEI.
    """
    words, times = [], []
    for i in range(4):
        words += [f"word{i}", "sp"]
        times += [[i * 0.5, i * 0.5 + 0.4], [i * 0.5 + 0.4, i * 0.5 + 0.5]]
    segments = [[0.0, 0.95], [0.98, 2.0]]
    frames = np.arange(40)[:, None] * 0.05 + [0, 0.05]
    rng = np.random.default_rng(6)
    size = 1 if corpus == "CMU_MOSI" else 7
    labels = {video: rng.uniform(0, 3, (2, size)).astype(np.float32) for video in videos}
    vectors = np.repeat(np.arange(8)[:, None], 6, axis=1).astype(np.float32)
    steps = np.arange(40, dtype=np.float32)[:, None]
    name = "CMU_MOSI_Opinion_Labels" if corpus == "CMU_MOSI" else "CMU_MOSEI_Labels"
    write_csd(folder / f"{name}.csd", name, {v: (labels[v], segments) for v in videos})
    contents = {
        "Words": (f"{corpus}_TimestampedWords", (words, times)),
        "Vectors": (f"{corpus}_TimestampedWordVectors", (vectors, times)),
        "COVAREP": (f"{corpus}_COVAREP", (np.repeat(steps, 74, axis=1), frames)),
        "Facet": (f"{corpus}_Visual_Facet_42", (np.repeat(steps, 35, axis=1), frames)),
    }
    for kind in kinds:
        name, (features, intervals) = contents[kind]
        write_csd(folder / f"{name}.csd", name, dict.fromkeys(videos, (features, intervals)))
    return labels
