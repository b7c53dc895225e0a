# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small csv files in the format of bc-LSTM."""

import csv
from pathlib import Path

import numpy as np


def write_bclstm(folder: Path, nested: bool = True) -> list[list[str]]:
    """Ten utterances of five videos, of which the first three videos train; return the lines of transcripts.csv."""
    rng = np.random.default_rng(4)
    lines = [[f"vi_d{i // 2}_{i % 2 + 1}", f"SAID {i}, WELL", "93", str(int(rng.integers(2)))] for i in range(10)]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "transcripts.csv", lines)
    for split, numbers in (("train", [4, 5, 0, 1, 2, 3]), ("test", [6, 9, 8, 7])):
        _write(folder / f"text_{split}.csv", [[n, *rng.normal(size=100).round(4)] for n in numbers])
        for kind, size in (("audio", 73), ("video", 100)):
            home = folder / kind if nested else folder
            home.mkdir(exist_ok=True)
            _write(
                home / f"{kind}_{split}0.csv", [[*rng.normal(size=size).round(4), float(lines[n][3])] for n in numbers]
            )
    return lines


def _write(path: Path, lines: list) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(lines)
