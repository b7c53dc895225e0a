# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cost per example of reading and padding a batch of ragged features.

Three methods on the same shuffled rows in one run: arrays that are in memory (the lower bound: padding only), `RowReader`, and
`with_format("numpy")` of `datasets`. Expected: at most 0.1 ms per example for `RowReader`.

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
    """Yield random rows of audio features."""
    rng = np.random.default_rng(0)
    for i in range(count):
        steps = int(rng.integers(*STEPS))
        audio = rng.normal(size=(steps, SIZE)).astype(np.float32)
        yield {"id": f"clip{i}", "group": f"g{i % 50}", "audio": audio, "labels": {"sentiment": float(i % 7 - 3)}}


def pad(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the padded values `(batch, longest, size)` and their mask `(batch, longest)`."""
    lengths = [len(sequence) for sequence in sequences]
    values = np.zeros((len(sequences), max(lengths), SIZE), dtype=np.float32)
    for row, sequence in zip(values, sequences, strict=True):
        row[: len(sequence)] = sequence
    return values, np.arange(max(lengths)) < np.array(lengths)[:, None]


def measure(fetch: Callable[[list[int]], list[np.ndarray]], order: np.ndarray, repeats: int) -> float:
    """Return the milliseconds per example of the fastest of `repeats` passes over `order`."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for first in range(0, len(order), BATCH):
            pad(fetch(order[first : first + BATCH].tolist()))
        best = min(best, (time.perf_counter() - start) / len(order))
    return best * 1e3


def main() -> None:
    """Time every method and print the cost per example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        field = {"name": "sentiment", "problem_type": "regression"}
        corpus = {"name": "speed", "synthetic": True, "label_fields": [field], "sizes": {"audio": SIZE}}
        start = time.perf_counter()
        write_rows(Path(folder, "rows"), {"train": make_rows(options.rows)}, corpus)
        print(f"write {options.rows} rows (with generating them): {time.perf_counter() - start:.2f} s")
        dataset = load(Path(folder, "rows"), cache_dir=Path(folder, "cache"))["train"]
        reader = RowReader(dataset)
        in_memory = [row["audio"].copy() for row in reader]
        formatted = dataset.with_format("numpy", columns=["audio"])
        order = np.random.default_rng(1).permutation(options.rows)
        methods = {
            "arrays in memory (minimum)": (lambda batch: [in_memory[i] for i in batch], options.repeats),
            "RowReader, whole rows": (lambda batch: [reader[i]["audio"] for i in batch], options.repeats),
            'with_format("numpy")': (lambda batch: [np.stack(a) for a in formatted[batch]["audio"]], 1),
        }
        minimum = None
        for name, (fetch, repeats) in methods.items():
            cost = measure(fetch, order, repeats)
            minimum = minimum or cost
            print(f"{name:26s} {cost:8.4f} ms per example   {cost / minimum:6.1f} x the minimum")


if __name__ == "__main__":
    main()
