# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What it costs to read and pad a batch of ragged features, per example.

Three roads over the same shuffled rows in one run: arrays already in memory (the floor: padding alone), `RowReader`,
and `datasets`' own `with_format("numpy")`. The budget is 0.1 ms per example for `RowReader`.

    python benchmarks/read_rows_speed.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mm_affect.data import RowReader, load, write_rows


BATCH = 32
SIZE = 74  # COVAREP, the widest of the usual acoustic features
STEPS = (20, 500)


def make_rows(count: int):
    rng = np.random.default_rng(0)
    for i in range(count):
        steps = int(rng.integers(*STEPS))
        audio = rng.normal(size=(steps, SIZE)).astype(np.float32)
        yield {"id": f"clip{i}", "group": f"g{i % 50}", "audio": audio, "labels": {"sentiment": float(i % 7 - 3)}}


def pad(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(batch, longest, size) and its mask."""
    lengths = [len(sequence) for sequence in sequences]
    values = np.zeros((len(sequences), max(lengths), SIZE), dtype=np.float32)
    for row, sequence in zip(values, sequences, strict=True):
        row[: len(sequence)] = sequence
    return values, np.arange(max(lengths)) < np.array(lengths)[:, None]


def milliseconds(fetch: Callable[[list[int]], list[np.ndarray]], order: np.ndarray, repeats: int) -> float:
    """The best of `repeats` passes over `order`, per example."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for first in range(0, len(order), BATCH):
            pad(fetch(order[first : first + BATCH].tolist()))
        best = min(best, (time.perf_counter() - start) / len(order))
    return best * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        field = {"name": "sentiment", "problem_type": "regression"}
        corpus = {"name": "speed", "synthetic": True, "label_fields": [field], "sizes": {"audio": SIZE}}
        start = time.perf_counter()
        write_rows(Path(folder, "rows"), {"train": make_rows(options.rows)}, corpus)
        print(f"write {options.rows} rows (making them included): {time.perf_counter() - start:.2f} s")
        dataset = load(Path(folder, "rows"), cache_dir=Path(folder, "cache"))["train"]
        reader = RowReader(dataset)
        in_memory = [row["audio"].copy() for row in reader]
        formatted = dataset.with_format("numpy", columns=["audio"])
        order = np.random.default_rng(1).permutation(options.rows)
        roads = {
            "arrays in memory (floor)": (lambda batch: [in_memory[i] for i in batch], options.repeats),
            "RowReader, whole rows": (lambda batch: [reader[i]["audio"] for i in batch], options.repeats),
            'with_format("numpy")': (lambda batch: [np.stack(a) for a in formatted[batch]["audio"]], 1),
        }
        floor = None
        for name, (fetch, repeats) in roads.items():
            cost = milliseconds(fetch, order, repeats)
            floor = floor or cost
            print(f"{name:26s} {cost:8.4f} ms per example   {cost / floor:6.1f} x the floor")


if __name__ == "__main__":
    main()
