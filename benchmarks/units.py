# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of a model beside a plain version of the public code's, in units that carry over to other machines.

One unit is `nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)` on a `(32, 60, 256)` batch, on one
thread, measured in the same turns as the competitors. Forward is eval mode without gradient; train is train mode with
forward, loss and backward, no optimizer. Memory is the peak of a fresh process of each competitor after three training steps.
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
    """A model, what it is called with, and its loss on that as a function that is called in train mode."""

    model: nn.Module
    inputs: dict[str, torch.Tensor]
    loss: Callable[[], torch.Tensor]

    @classmethod
    def ours(cls, model, inputs: dict, labels: dict) -> "Competitor":
        """A model of this package."""
        return cls(model, inputs, lambda: model(**inputs, labels=labels).loss)

    def forward(self) -> None:
        self.model.eval()
        with torch.no_grad():
            self.model(**self.inputs)

    def train(self) -> None:
        self.model.train()
        self.model.zero_grad()
        self.loss().backward()


@dataclass
class Setting:
    """What is compared.

    Args:
        competitors: makes `"plain"` and `"mm_affect"`, anew at each call.
        public: measured units of the public code, per mode.
    """

    competitors: Callable[[], dict[str, Competitor]]
    public: dict[str, float] = field(default_factory=dict)


def check_parameters(model: nn.Module, count: int) -> None:
    """Refuse a competitor of another size than the public code's."""
    found = sum(parameter.numel() for parameter in model.parameters())
    if found != count:
        raise ValueError(f"{type(model).__name__} has {found} parameters; the comparison needs {count}.")


def spoken_lengths(longest: int, batch: int = BATCH) -> torch.Tensor:
    """Lengths `(batch,)` as words per segment in CMU-MOSEI: log-normal, median a third of `longest`, shuffled."""
    drawn = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.5 / batch, 1 - 0.5 / batch, batch))
    lengths = (longest / 3 * (0.6 * drawn).exp()).round().long()
    return lengths.clamp(max(1, longest // 12), longest)[torch.randperm(batch)]


def ragged(inputs: dict[str, torch.Tensor], lengths: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same streams cut to lengths `(batch,)`, with their masks, padded to the longest of the batch."""
    cut = {}
    for m, values in inputs.items():
        mask = torch.arange(int(lengths[m].max())) < lengths[m].unsqueeze(1)
        cut |= {m: values[:, : mask.shape[1]], f"{m}_mask": mask}
    return cut


def sentiment(plain: nn.Module, ours, steps: dict[str, int], spoken: bool) -> dict[str, Competitor]:
    """Both models with a regression of sentiment on the same features; ours gets spoken lengths if asked, the plain one never."""
    features = {m: torch.randn(BATCH, length, ours.config.feature_sizes[m]) for m, length in steps.items()}
    target, cut = torch.randn(BATCH), features
    if spoken:
        words, longest = spoken_lengths(steps["text"]), steps["text"]
        cut = ragged(features, {m: (words * length / longest).ceil().long() for m, length in steps.items()})
    return {
        "plain": Competitor(plain, features, lambda: F.l1_loss(plain(**features), target)),
        "mm_affect": Competitor.ours(ours, cut, {"sentiment": target}),
    }


def sentiment_settings(
    models: tuple[Callable, Callable], counts: tuple[int, int], lengths: dict[str, dict[str, int]], public: dict
) -> dict[str, Setting]:
    """The settings of `sentiment`, at full and at spoken lengths.

    Args:
        models: make the plain version and ours; `counts` are their parameters.
        lengths: steps of each modality by the name of a setting; `public` are its measured units.
    """

    def competitors(steps: dict[str, int], spoken: bool) -> dict[str, Competitor]:
        torch.manual_seed(0)
        plain, ours = (make() for make in models)
        for model, count in zip((plain, ours), counts, strict=True):
            check_parameters(model, count)
        return sentiment(plain, ours, steps, spoken)

    return {
        name + "-spoken" * spoken: Setting(partial(competitors, steps, spoken), public[name])
        for name, steps in lengths.items()
        for spoken in (False, True)
    }


def seconds(run: Callable) -> float:
    """Processor seconds: on one thread they are the wall time without what other programs took."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main(description: str, settings: dict[str, Setting]) -> None:
    """The command line of a benchmark: measures and prints every setting, or those named."""
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
    print(f"median (least to greatest) of {options.rounds} rounds, the competitors in turns, one thread")
    # memory first, while this process is small: a child's peak begins with its parent's size
    for name in options.settings:
        plain, ours = (peak_memory(name, competitor) for competitor in ("plain", "mm_affect"))
        print(f"{name:10s}memory   plain {plain:.0f} MB, mm_affect {ours:.0f} MB: {ours / plain:.2f} of it")
    for name in options.settings:
        compare(name, settings[name], options.rounds)


def peak_memory(setting: str, competitor: str) -> float:
    """Megabytes that a fresh process has needed after three training steps."""
    command = [sys.executable, sys.argv[0], "--peak-of", competitor, "--settings", setting]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(name: str, setting: Setting, rounds: int) -> None:
    """Measure a setting in turns and print it."""
    block = torch.randn(32, 60, 256)
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)
    unit = Competitor(layer, {"src": block}, lambda: layer(block).square().mean())
    competitors = {"unit": unit} | setting.competitors()
    for mode in ("forward", "train"):
        runs = {which: getattr(competitor, mode) for which, competitor in competitors.items()}
        for run in runs.values():
            run()
        taken = [{which: seconds(run) for which, run in runs.items()} for _ in range(rounds)]
        for which in runs:
            times, units = [1000 * t[which] for t in taken], [t[which] / t["unit"] for t in taken]
            print(f"{name:10s}{mode:8s} {which:10s} {shown(times, 0)} ms {shown(units)} units")
        faster = [t["plain"] / t["mm_affect"] for t in taken]
        print(f"{name:10s}{mode:8s} {shown(faster)} x as fast as the plain version in this run")
        if mode in setting.public:
            lead = [setting.public[mode] * t["unit"] / t["mm_affect"] for t in taken]
            print(f"{name:10s}{mode:8s} {shown(lead)} x as fast as the public code's {setting.public[mode]} units")


def shown(values: list[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
