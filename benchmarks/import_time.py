# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Cost of importing mm_affect and of `mm-affect COMMAND --help`, in new interpreters.

The program prints two tables of CPU time, which is affected less than wall time by other programs on the machine:

- Help: `--help` of every command, compared with `python -c pass`. None of torch, transformers, datasets and pyarrow is loaded.
- Import: time added by `import mm_affect` after transformers was imported. `import transformers` by itself loads almost nothing: it
  loads each class on first use. There are therefore two baselines: `used`, where `AutoModel` and `AutoProcessor` were imported, as
  in every program that loads a model; and `unused`, where the import of mm_affect also has to load what these two would have
  loaded.

    python benchmarks/import_time.py

Expected: at most 0.5 s for the help of every command, and at most 0.5 s after `used`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from mm_affect.cli.main import COMMANDS


BASELINES = {
    "used": "import transformers, torch; from transformers import AutoModel, AutoProcessor",
    "unused": "import transformers, torch",
}
STOPWATCH = """
import time
begin = time.perf_counter(), time.process_time()
import mm_affect
print(time.perf_counter() - begin[0], time.process_time() - begin[1])
"""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def measure_import(baseline: str) -> tuple[float, ...]:
    """Return wall and CPU seconds of the import after `baseline`."""
    command = [sys.executable, "-c", baseline + STOPWATCH]
    output = subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, text=True).stdout
    return tuple(float(number) for number in output.split())


def measure_process(words: list[str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a complete Python process."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    after = os.times()
    processor = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - begin, processor


def print_help_times(rounds: int) -> None:
    """Print the median CPU time of `python -c pass`, `--version` and the help of every command."""
    names = ["", *(name for group in COMMANDS.values() for name in group)]
    processes = {"python -c pass": ["-c", "pass"], "mm-affect --version": ["-m", "mm_affect.cli", "--version"]}
    for name in names:
        processes[" ".join(f"mm-affect {name} --help".split())] = ["-m", "mm_affect.cli", *name.split(), "--help"]
    times: dict[str, list[tuple[float, float]]] = {title: [] for title in processes}
    for number in range(rounds + 1):  # the first round warms the page cache
        for title, words in processes.items():
            measured = measure_process(words)
            if number:
                times[title].append(measured)
    base = statistics.median(processor for _, processor in times["python -c pass"])
    print(f"CPU time, median (range) of {rounds} alternating rounds; ratio to `python -c pass`; wall time")
    for title, measured in times.items():
        wall, taken = (sorted(clock) for clock in zip(*measured, strict=True))
        median = statistics.median(taken)
        spread = f"({taken[0]:.3f} to {taken[-1]:.3f})"
        print(f"{title:34} {median:6.3f} s {spread:16} {median / base:5.1f} x {statistics.median(wall):7.3f} s wall")


def print_import_times(rounds: int) -> None:
    """Print the time that `import mm_affect` adds after transformers was imported."""
    for baseline in BASELINES.values():  # once, so that the page cache is warm
        measure_import(baseline)
    measured = [{name: measure_import(baseline) for name, baseline in BASELINES.items()} for _ in range(rounds)]
    print(f"\nadded by `import mm_affect`: median (range) of {rounds} alternating rounds")
    for name, baseline in BASELINES.items():
        for clock, measure in enumerate(("wall", "CPU")):
            taken = [one[name][clock] for one in measured]
            print(
                f"{name:7s} {statistics.median(taken):6.3f} s {measure:9s} ({min(taken):.3f} to {max(taken):.3f})"
                f"   after `{baseline}`"
            )


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print_help_times(options.rounds)
    print_import_times(options.rounds)


if __name__ == "__main__":
    main()
