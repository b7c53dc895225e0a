# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Time of several seeds of a run: one after another, on one thread or on all, compared with two in parallel (`--jobs 2`).

Rows are random, with the feature sizes of CMU-MOSEI and 5 to 35 words; models and batch sizes are those of `mm-affect benchmark`.

    python benchmarks/seeds_speed.py

Expected on two idle cores: two seeds in parallel take less wall time than one after another, with any number of threads. If other programs use
the cores, compare CPU times: two in parallel take half of theirs in wall time, one thread takes all of it.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mm_affect.data import read_corpus, write_rows
from mm_affect.experiments.backbone_benchmark import benchmark_config, benchmark_task
from mm_affect.training import run as experiments


SIZES = {"text": 300, "audio": 74, "visual": 35}
EMOTION = {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"], "range": None}


def make_rows(rng: np.random.Generator, split: str, count: int):
    """Yield random word-aligned rows."""
    for i in range(count):
        words = int(rng.integers(5, 36))
        row = {"id": f"{split}-{i}", "group": f"{split}-{i}", "transcript": None, "spans": None}
        row |= {m: rng.normal(size=(words, size)).astype(np.float32) for m, size in SIZES.items()}
        yield row | {"labels": {"emotion": [float(i % 2), float(i % 3 == 0)]}}


def measure(rows: Path, model: str, seeds: int, epochs: int, threads: int, jobs: int) -> tuple[float, float]:
    """Return wall and CPU seconds of a run, including its child processes."""
    task = benchmark_task(read_corpus(rows).label_fields, "emotion")
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        overrides = {"seeds": list(range(seeds)), "training.epochs": epochs}
        config = benchmark_config(model, rows, Path(folder), task, "cmu_mosei", overrides)
        begin, used = time.perf_counter(), sum(os.times()[:4])
        with contextlib.redirect_stderr(nothing):
            experiments.run(config, jobs=jobs)
        return time.perf_counter() - begin, sum(os.times()[:4]) - used


def main() -> None:
    """Train every model with every variant and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["EF-AVG", "EF-LF-LSTM"])
    parser.add_argument("--rows", type=int, default=1000, help="number of training rows")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    experiments.publish = lambda output, best: None  # card and figures take the same time in all variants
    cores = os.cpu_count()
    variants = {"one thread": (1, 1), f"{cores} threads": (cores, 1), "two in parallel": (1, 2)}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        counts = {"train": options.rows, "validation": options.rows // 5, "test": options.rows // 5}
        splits = {split: list(make_rows(rng, split, count)) for split, count in counts.items()}
        write_rows(Path(folder) / "rows", splits,
                   {"name": "random", "synthetic": True, "label_fields": [EMOTION], "sizes": SIZES})  # fmt: skip
        print(
            f"{options.seeds} seeds, {options.epochs} epochs of {options.rows} rows; {options.rounds} alternating rounds"
        )
        for model in options.models:
            taken = {variant: [] for variant in variants}
            for _ in range(options.rounds):
                for variant, (threads, jobs) in variants.items():
                    run = measure(Path(folder) / "rows", model, options.seeds, options.epochs, threads, jobs)
                    taken[variant].append(run)
            for variant, runs in taken.items():
                wall, processor = zip(*runs, strict=True)
                ratios = [base / run for (base, _), run in zip(taken["one thread"], wall, strict=True)]
                print(
                    f"{model:12} {variant:14} {statistics.median(wall):7.1f} s ({min(wall):.1f} to {max(wall):.1f}), "
                    f"CPU {statistics.median(processor):.1f} s; {statistics.median(ratios):.2f} x as fast as one thread"
                )
    print(f"load average: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
