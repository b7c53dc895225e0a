# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of a model compared with a plain version of the public code, in units that carry over to other machines.

One unit is the time of `nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)` on a `(32, 60, 256)` batch, on one
thread, measured alternately with the competitors. `forward` is a forward pass in evaluation mode without gradients; `train` is forward pass,
loss and backward pass in training mode, without optimizer. Memory is the peak of a new process of each competitor after three training steps.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F


BATCH = 32


@dataclass
class Competitor:
    """A model, its inputs, and a function that computes its loss on them, which is called in training mode."""

    model: nn.Module
    inputs: dict[str, torch.Tensor]
    loss: Callable[[], torch.Tensor]

    @classmethod
    def ours(cls, model, inputs: dict, labels: dict) -> "Competitor":
        """Return the competitor of a model of mm_affect."""
        return cls(model, inputs, lambda: model(**inputs, labels=labels).loss)

    def forward(self) -> None:
        """Run a forward pass in evaluation mode."""
        self.model.eval()
        with torch.no_grad():
            self.model(**self.inputs)

    def train(self) -> None:
        """Run forward and backward pass in training mode."""
        self.model.train()
        self.model.zero_grad()
        self.loss().backward()


@dataclass
class Setting:
    """One comparison.

    Args:
        competitors: function that creates the competitors `"plain"` and `"mm_affect"`.
        public: mode -> units measured for the public code.
    """

    competitors: Callable[[], dict[str, Competitor]]
    public: dict[str, float] = field(default_factory=dict)


def check_parameters(model: nn.Module, count: int) -> None:
    """Check the number of parameters of a competitor.

    Raises:
        ValueError: the number is not `count`.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters != count:
        raise ValueError(
            f"{type(model).__name__} has {parameters} parameters, expected {count}; the comparison needs models of the same size."
        )


def spoken_lengths(longest: int, batch: int = BATCH) -> torch.Tensor:
    """Return lengths `(batch,)` like the words per segment in CMU-MOSEI: log-normal, median a third of `longest`, shuffled."""
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.5 / batch, 1 - 0.5 / batch, batch))
    lengths = (longest / 3 * (0.6 * quantiles).exp()).round().long()
    return lengths.clamp(max(1, longest // 12), longest)[torch.randperm(batch)]


def cut_to_lengths(inputs: dict[str, torch.Tensor], lengths: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cut streams to lengths `(batch,)`; return them padded to the longest of the batch, with their masks."""
    cut = {}
    for m, values in inputs.items():
        mask = torch.arange(int(lengths[m].max())) < lengths[m].unsqueeze(1)
        cut |= {m: values[:, : mask.shape[1]], f"{m}_mask": mask}
    return cut


def compare_on_sentiment(plain: nn.Module, ours, steps: dict[str, int], spoken: bool) -> dict[str, Competitor]:
    """Return both models with sentiment regression on the same features; if `spoken`, mm_affect gets rows cut to spoken lengths."""
    features = {m: torch.randn(BATCH, length, ours.config.feature_sizes[m]) for m, length in steps.items()}
    target, cut = torch.randn(BATCH), features
    if spoken:
        words, longest = spoken_lengths(steps["text"]), steps["text"]
        cut = cut_to_lengths(features, {m: (words * length / longest).ceil().long() for m, length in steps.items()})
    return {
        "plain": Competitor(plain, features, lambda: F.l1_loss(plain(**features), target)),
        "mm_affect": Competitor.ours(ours, cut, {"sentiment": target}),
    }


def sentiment_settings(
    models: tuple[Callable, Callable], counts: tuple[int, int], lengths: dict[str, dict[str, int]], public: dict
) -> dict[str, Setting]:
    """Return the settings of `compare_on_sentiment`, at full length and at the lengths of spoken segments.

    Args:
        models: functions that create the plain version and the model of mm_affect.
        counts: number of parameters of each.
        lengths: name of a setting -> number of steps of each modality.
        public: name of a setting -> mode -> units measured for the public code.
    """

    def competitors(steps: dict[str, int], spoken: bool) -> dict[str, Competitor]:
        torch.manual_seed(0)
        plain, ours = (make() for make in models)
        for model, count in zip((plain, ours), counts, strict=True):
            check_parameters(model, count)
        return compare_on_sentiment(plain, ours, steps, spoken)

    return {
        name + "-spoken" * spoken: Setting(partial(competitors, steps, spoken), public[name])
        for name, steps in lengths.items()
        for spoken in (False, True)
    }


def measure_seconds(run: Callable) -> float:
    """Return CPU seconds, which are, on one thread, the wall time without the time of other programs."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main(description: str, settings: dict[str, Setting]) -> None:
    """Run the command line of a benchmark, which measures and prints all settings or the selected ones."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", default=list(settings), choices=list(settings))
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.peak_of:
        competitor = settings[options.settings[0]].competitors()[options.peak_of]
        for _ in range(3):
            competitor.train()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(f"median (range) of {options.rounds} rounds with alternating competitors, one thread")
    # memory first, while this process is small: the peak of a child process starts at the size of its parent
    for name in options.settings:
        plain, ours = (peak_memory(name, competitor) for competitor in ("plain", "mm_affect"))
        print(f"{name:10s}memory   plain {plain:.0f} MB, mm_affect {ours:.0f} MB: ratio {ours / plain:.2f}")
    for name in options.settings:
        compare(name, settings[name], options.rounds)


def peak_memory(setting: str, competitor: str) -> float:
    """Return the peak memory of a new process after three training steps, in megabytes."""
    command = [sys.executable, sys.argv[0], "--peak-of", competitor, "--settings", setting]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(name: str, setting: Setting, rounds: int) -> None:
    """Measure the competitors of a setting alternately and print times and ratios."""
    block = torch.randn(32, 60, 256)
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)
    unit = Competitor(layer, {"src": block}, lambda: layer(block).square().mean())
    competitors = {"unit": unit} | setting.competitors()
    for mode in ("forward", "train"):
        runs = {which: getattr(competitor, mode) for which, competitor in competitors.items()}
        for run in runs.values():
            run()
        taken = [{which: measure_seconds(run) for which, run in runs.items()} for _ in range(rounds)]
        for which in runs:
            times, units = [1000 * t[which] for t in taken], [t[which] / t["unit"] for t in taken]
            print(f"{name:10s}{mode:8s} {which:10s} {format_range(times, 0)} ms {format_range(units)} units")
        faster = [t["plain"] / t["mm_affect"] for t in taken]
        print(f"{name:10s}{mode:8s} {format_range(faster)} x as fast as the plain version in this run")
        if mode in setting.public:
            lead = [setting.public[mode] * t["unit"] / t["mm_affect"] for t in taken]
            print(
                f"{name:10s}{mode:8s} {format_range(lead)} x as fast as the public code's {setting.public[mode]} units"
            )


def format_range(values: list[float], digits: int = 2) -> str:
    """Return median and range as text."""
    return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
