# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of TAILOR beside a plain version of the public code's network, in units of a Transformer layer.

    python benchmarks/tailor_speed.py [--rounds 5]

Three settings, batch 32: word-aligned streams of 60 steps; text 50, audio and visual 500 with CTC alignment; and
word-aligned streams of lengths as in CMU-MOSEI (5 to 60 words, median 20). The plain version costs what the public code
costs: attention tables of every head are built, layer norm and GELU are written out, every stream is padded to the maximum,
nothing is masked, and each encoder has a pooler that nothing reads; 10,798,652 parameters (with CTC 10,884,944). Forward is eval mode without
gradient, train is train mode with forward, loss and backward, no optimiser. The unit is
`nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)` on a `(32, 60, 256)` batch. The competitors take
turns; memory is the peak of a fresh process each.

Expected, on one thread of a CPU: train at least 2 times as fast as the plain version at full lengths, with at most half the
memory, and 5 times as fast on ragged lengths. The public code was measured at 81.5 units forward and 64.4 train (4.1 GB),
with CTC at 55.4 and 39.0 (3.5 GB).
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from mm_affect import MODALITIES, TailorConfig, TailorForAffect
from mm_affect.models.layers import reverse_gradient


BATCH = 32
SETTINGS = {  # steps of text, audio and visual, and the units of the public code
    "aligned": ((60, 60, 60), {"forward": 81.5, "train": 64.4}),
    "ctc": ((50, 500, 500), {"forward": 55.4, "train": 39.0}),
    "ragged": ((60, 60, 60), {"forward": 81.5, "train": 64.4}),  # the public code pads to the maximum
}


class PlainNorm(nn.LayerNorm):
    """Layer norm in single operations, as the public code has it."""

    def __init__(self, size: int):
        super().__init__(size, eps=1e-12)

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return self.weight * ((x - mean) / torch.sqrt(variance + self.eps)) + self.bias


def plain_gelu(x):
    """Exact GELU in single operations, as the public code has it."""
    return x * 0.5 * (1.0 + torch.erf(x / 2**0.5))


class PlainLayer(nn.Module):
    """BERT's layer with its attention table; `memory` makes it a decoder's cross attention."""

    def __init__(self, size: int = 256, heads: int = 8, feed_forward: bool = True):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))
        self.norm = PlainNorm(size)
        self.dropout = nn.Dropout(0.3)
        self.inner = None
        if feed_forward:
            self.inner, self.outer = nn.Linear(size, size), nn.Linear(size, size)
            self.last_norm = PlainNorm(size)

    def forward(self, x, memory=None):
        memory = x if memory is None else memory
        split = lambda y: y.view(*y.shape[:2], self.heads, -1).permute(0, 2, 1, 3)  # noqa: E731
        query, key, value = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores + torch.zeros(len(x), 1, 1, memory.shape[1])  # the public code adds a mask of zeros
        context = (self.dropout(scores.softmax(-1)) @ value).permute(0, 2, 1, 3).contiguous().flatten(2)
        x = self.norm(x + self.dropout(self.output(context)))
        if self.inner is None:
            return x
        return self.last_norm(x + self.dropout(self.outer(plain_gelu(self.inner(x)))))


class PlainEncoder(nn.Module):
    """Embeddings, layers and a pooler that nothing reads."""

    def __init__(self, input_size: int | None, layers: int, positions: int):
        super().__init__()
        self.project = nn.Linear(input_size, 256) if input_size else None
        self.kinds = None if input_size else nn.Embedding(2, 256)
        self.positions = nn.Embedding(positions, 256)
        self.norm = PlainNorm(256)
        self.dropout = nn.Dropout(0.3)
        self.layers = nn.ModuleList(PlainLayer() for _ in range(layers))
        self.pooler = nn.Linear(256, 256)

    def forward(self, x, y=None):
        if y is None:
            x = self.project(x)
        else:
            kinds = torch.cat([torch.zeros(x.shape[1]), torch.ones(y.shape[1])]).long()
            x = torch.cat([x, y], dim=1) + self.kinds(kinds)
        x = self.dropout(self.norm(x + self.positions(torch.arange(x.shape[1]))))
        for layer in self.layers:
            x = layer(x)
        self.pooler(x[:, 0]).tanh()
        return x


class PlainTailor(nn.Module):
    """The public code's network and losses, without any mask."""

    def __init__(self, ctc: bool):
        super().__init__()
        sizes, layers = {"text": 300, "visual": 35, "audio": 74}, {"text": 6, "visual": 4, "audio": 4}
        self.norms = nn.ModuleDict({m: PlainNorm(size) for m, size in sizes.items()})
        self.ctc = nn.ModuleDict({m: nn.LSTM(sizes[m], 51, 2, batch_first=True) for m in ("visual", "audio") if ctc})
        self.encoders = nn.ModuleDict({m: PlainEncoder(size, layers[m], 60) for m, size in sizes.items()})
        self.private = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(256, 256), nn.Dropout(0.1), nn.Tanh()) for m in sizes}
        )
        self.common = nn.Sequential(nn.Linear(256, 256), nn.Dropout(0.3), nn.Tanh())
        self.common_classifier = nn.Sequential(nn.Linear(256, 6), nn.Dropout(0.1), nn.Sigmoid())
        self.discriminator = nn.Sequential(nn.Linear(256, 128), nn.Dropout(0.1), nn.ReLU(), nn.Linear(128, 3))
        self.cross = nn.ModuleList(PlainEncoder(None, 3, 240) for _ in range(3))
        self.labels = nn.Embedding(6, 256)
        self.label_norm = PlainNorm(256)
        self.correlation, self.guidance = PlainLayer(feed_forward=False), PlainLayer()
        self.classifier = nn.Linear(256, 1)

    def forward(self, labels=None, **streams):
        streams = {m: norm(streams[m]) for m, norm in self.norms.items()}
        loss = 0.0
        for m, lstm in self.ctc.items():
            scores = lstm(streams[m])[0]
            streams[m] = scores.softmax(-1)[:, :, 1:].transpose(1, 2) @ streams[m]
            if labels is not None:
                targets, length = torch.arange(1, 51).repeat(BATCH, 1), torch.full((BATCH,), scores.shape[1])
                steps = scores.log_softmax(-1).transpose(0, 1)
                loss = loss + 0.5 * F.ctc_loss(steps, targets, length, torch.full((BATCH,), 50), reduction="sum")
        encoded = {m: encoder(streams[m]) for m, encoder in self.encoders.items()}
        private = {m: part(encoded[m]) for m, part in self.private.items()}
        common = {m: self.common(x) for m, x in encoded.items()}
        summed = sum(common.values())
        fused = self.cross[0](private["audio"], private["visual"])
        fused = self.cross[2](self.cross[1](private["text"], fused), summed)
        decoded = self.guidance(
            self.correlation(self.label_norm(self.labels.weight).expand(len(fused), -1, -1)), fused
        )
        probabilities = self.classifier(decoded).squeeze(-1).sigmoid()
        if labels is None:
            return probabilities
        loss = loss + F.binary_cross_entropy(probabilities, labels)
        loss = loss + 0.5 * F.binary_cross_entropy(self.common_classifier(summed[:, 0]), labels)
        for index, m in enumerate(private):
            for part in (private[m], reverse_gradient(common[m])):
                told = self.discriminator(part)
                loss = loss + 0.01 * F.cross_entropy(told.flatten(0, 1), torch.full((told[..., 0].numel(),), index))
        pairs = [(common[m], private[m]) for m in private]
        pairs += [(private["text"], private["visual"]), (private["text"], private["audio"])]
        pairs.append((private["visual"], private["audio"]))
        return loss + 5e-6 * sum((x @ y.transpose(1, 2)).square().sum((1, 2)).mean() for x, y in pairs)


def make_runs(setting: str) -> dict[str, dict[str, Callable]]:
    """Per mode the three competitors, each a function that runs once."""
    torch.manual_seed(0)
    ctc = setting == "ctc"
    plain, ours = PlainTailor(ctc), TailorForAffect(TailorConfig.reference(aligner="ctc" if ctc else "given"))
    unit = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.1)
    count = sum(parameter.numel() for parameter in plain.parameters())
    if count != (10_884_944 if ctc else 10_798_652) or ours.num_parameters() != count - 394_752:
        raise ValueError(f"The plain version has {count} parameters, ours {ours.num_parameters()}; they must match.")
    features = {
        m: torch.randn(BATCH, steps, ours.config.feature_sizes[m])
        for m, steps in zip(MODALITIES, SETTINGS[setting][0])
    }
    masks = {}
    if setting == "ragged":
        words = lengths()
        masks = {f"{m}_mask": torch.arange(60) < words.unsqueeze(1) for m in MODALITIES}
        masks = {name: mask[:, : words.max()] for name, mask in masks.items()}
    ragged = {m: values[:, : masks[f"{m}_mask"].shape[1]] if masks else values for m, values in features.items()}
    labels, block = torch.randint(2, (BATCH, 6)).float(), torch.randn(32, 60, 256)

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
            "mm_affect": lambda: forward(ours, **ragged, **masks),
        },
        "train": {
            "unit": lambda: train(unit, lambda: unit(block).square().mean()),
            "plain": lambda: train(plain, lambda: plain(labels, **features)),
            "mm_affect": lambda: train(ours, lambda: ours(**ragged, **masks, labels={"emotion": labels}).loss),
        },
    }


def lengths() -> torch.Tensor:
    """Words per segment as in CMU-MOSEI: 5 to 60, median 20, log-normal."""
    drawn = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.5 / BATCH, 1 - 0.5 / BATCH, BATCH))
    return (20 * (0.6 * drawn).exp()).round().long().clamp(5, 60)[torch.randperm(BATCH)]


def seconds(run: Callable) -> float:
    """Processor seconds: on one thread they are the wall time without what other programs took."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def peak_memory(setting: str, name: str) -> float:
    """Megabytes that a fresh process has needed after three training steps."""
    command = [sys.executable, __file__, "--peak-of", name, "--settings", setting]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of:
        run = make_runs(options.settings[0])["train"][options.peak_of]
        for _ in range(3):
            run()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(f"median (least to greatest) of {options.rounds} rounds, the competitors in turns, one thread")

    def shown(values: list[float], digits: int = 2) -> str:
        return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    # memory first, while this process is small: a child's peak begins with its parent's size
    for setting in options.settings:
        plain, ours = (peak_memory(setting, name) for name in ("plain", "mm_affect"))
        print(f"{setting:8s}memory   plain {plain:.0f} MB, mm_affect {ours:.0f} MB: {ours / plain:.2f} of it")
    for setting in options.settings:
        for mode, runs in make_runs(setting).items():
            for run in runs.values():
                run()
            rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(options.rounds)]
            for name in runs:
                units = [taken[name] / taken["unit"] for taken in rounds]
                print(
                    f"{setting:8s}{mode:8s} {name:10s} {shown([1000 * t[name] for t in rounds], 0)} ms {shown(units)} units"
                )
            faster = [taken["plain"] / taken["mm_affect"] for taken in rounds]
            lead = [SETTINGS[setting][1][mode] * taken["unit"] / taken["mm_affect"] for taken in rounds]
            print(f"{setting:8s}{mode:8s} {shown(faster)} x as fast as the plain version in this run")
            print(
                f"{setting:8s}{mode:8s} {shown(lead)} x as fast as the public code's {SETTINGS[setting][1][mode]} units"
            )


if __name__ == "__main__":
    main()
