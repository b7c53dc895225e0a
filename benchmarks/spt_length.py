# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Time and memory of a training step of SPT by the length of the rows: 50 to 5,000 steps of each modality, batch size 4.

    python benchmarks/spt_length.py [--lengths 50 500 5000]

There are two settings. With the published shifts, the last hidden state, the only one that is read, depends on a few hundred steps, and only
these are computed. With periodic shifts, windows cover the complete row, every hidden state is needed, and time and memory grow linearly with the
length. Memory is the peak of a new process, minus that with 50 steps.
"""

import argparse
import resource
import subprocess
import sys

import torch
from units import Competitor, measure_seconds

from mm_affect import SPTConfig, SPTForAffect


SETTINGS = {"published": {}, "periodic": dict.fromkeys(("input_shift", "cross_shift", "self_shift"), ["S", "P"])}


def make_competitor(setting: str, length: int) -> Competitor:
    """Return SPT with random rows of a length."""
    torch.manual_seed(0)
    model = SPTForAffect(SPTConfig(**SETTINGS[setting]))
    inputs = {m: torch.randn(4, length, size) for m, size in model.config.feature_sizes.items()}
    return Competitor.ours(model, inputs, {"sentiment": torch.randn(4)})


def main() -> None:
    """Measure every length with both settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 200, 500, 1000, 2000, 5000])
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of:
        make_competitor(options.peak_of, options.lengths[0]).train()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    for setting in SETTINGS:
        base = None
        for length in options.lengths:
            command = [sys.executable, __file__, "--peak-of", setting, "--lengths", str(length)]
            peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            base = peak if base is None else base
            competitor = make_competitor(setting, length)
            taken = min(measure_seconds(competitor.train) for _ in range(4))
            print(
                f"{setting:10s} {length:5d} steps: {1000 * taken:6.0f} ms, {1e6 * taken / length:6.0f} us per step, "
                f"{peak - base:6.0f} MB more"
            )


if __name__ == "__main__":
    main()
