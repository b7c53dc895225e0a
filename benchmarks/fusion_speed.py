# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed of EF-LF-LSTM beside a plain version of the same network, in units of a Transformer layer measured in turns.

The size is that of the first author's earlier public code for CMU-MOSEI: 50 aligned steps of 300 / 74 / 35 features,
batch 32, early branch of 512 units per direction, late branches of 300 / 128 / 128, two-layer head, 7,891,994
parameters. The plain version does what that code does: four bidirectional `nn.LSTM`s on padded input, of which the
last index is read. Both take full-length random features without masks; forward is eval mode without gradient, train
is train mode with forward, loss and backward, no optimiser. The unit is
`nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)` on a `(32, 60, 256)` batch.

    python benchmarks/fusion_speed.py

Expected, on one thread of a CPU: train at most 5.5 / 1.5 = 3.7 units (the public code was measured at 5.5, and at 8.8
forward), and at least 1.5 times as fast as the plain version.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from mm_affect import FusionConfig, FusionForAffect


BATCH, STEPS = 32, 50
PARAMETERS = 7_891_994
PUBLIC = {"forward": 8.8, "train": 5.5}  # units of the public code, one thread of a two-core x86 machine


class PlainFusion(nn.Module):
    """EF-LF-LSTM with bidirectional LSTMs over the padded batch, read at the last index."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        sizes = config.feature_sizes
        self.early = nn.LSTM(sum(sizes.values()), config.early_size, batch_first=True, bidirectional=True)
        self.late = nn.ModuleDict(
            {m: nn.LSTM(size, config.late_sizes[m], batch_first=True, bidirectional=True) for m, size in sizes.items()}
        )
        width = 2 * (config.early_size + sum(config.late_sizes.values()))
        outputs = config.tasks[0].num_outputs
        self.head = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width // 2, outputs)
        )

    def forward(self, **streams):
        parts = [lstm(streams[m])[0][:, -1] for m, lstm in self.late.items()]
        parts.append(self.early(torch.cat([streams[m] for m in self.late], dim=-1))[0][:, -1])
        return self.head(torch.cat(parts, dim=-1))


def make_runs() -> dict[str, dict[str, Callable]]:
    """Per mode the three competitors, each a function that runs once."""
    torch.manual_seed(0)
    config = FusionConfig.reference()
    task = config.tasks[0]
    ours, plain = FusionForAffect(config), PlainFusion(config)
    unit = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)
    for name, model in (("mm_affect", ours), ("plain", plain)):
        count = sum(parameter.numel() for parameter in model.parameters())
        if count != PARAMETERS:
            raise ValueError(f"{name} has {count} parameters; the comparison needs {PARAMETERS}.")
    features = {m: torch.randn(BATCH, STEPS, size) for m, size in config.feature_sizes.items()}
    labels = torch.randint(2, (BATCH, task.num_outputs)).float()
    block = torch.randn(32, 60, 256)

    def forward(model, *arguments, **keywords):
        model.eval()
        with torch.no_grad():
            model(*arguments, **keywords)

    def train(model, loss: Callable):
        model.train()
        model.zero_grad()
        loss().backward()

    return {
        "forward": {
            "unit": lambda: forward(unit, block),
            "plain": lambda: forward(plain, **features),
            "mm_affect": lambda: forward(ours, **features),
        },
        "train": {
            "unit": lambda: train(unit, lambda: unit(block).square().mean()),
            "plain": lambda: train(plain, lambda: F.binary_cross_entropy_with_logits(plain(**features), labels)),
            "mm_affect": lambda: train(ours, lambda: ours(**features, labels={task.name: labels}).loss),
        },
    }


def seconds(run: Callable) -> float:
    """Processor seconds: on one thread they are the wall time without what other programs took."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"median (quartiles) of {options.rounds} rounds, the competitors in turns, one thread")
    for mode, runs in make_runs().items():
        for _ in range(2):
            for run in runs.values():
                run()
        rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(options.rounds)]

        def shown(values: list[float], digits: int = 2) -> str:
            low, middle, high = statistics.quantiles(values, n=4)
            return f"{middle:8.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

        for name in runs:
            milliseconds = [1000 * taken[name] for taken in rounds]
            units = [taken[name] / taken["unit"] for taken in rounds]
            print(f"{mode:8s} {name:10s} {shown(milliseconds, 0)} ms  {shown(units)} units")
        faster = [taken["plain"] / taken["mm_affect"] for taken in rounds]
        lead = [PUBLIC[mode] * taken["unit"] / taken["mm_affect"] for taken in rounds]
        print(f"{mode:8s} mm_affect is {shown(faster)} x as fast as the plain version in this run")
        print(f"{mode:8s} mm_affect is {shown(lead)} x as fast as the public code's {PUBLIC[mode]} units")


if __name__ == "__main__":
    main()
