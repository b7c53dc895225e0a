# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Inference time of SUGRM compared with a baseline of the structure of Self-MM, both with BERT-base and random weights.

    python benchmarks/sugrm_inference.py [--rounds 3]

Batch size 32: 50 tokens, 375 audio and 500 visual steps. The baseline uses BERT's first token and one small LSTM each for audio and
visual features; the paper reports twice its time for SUGRM. Expected: within 10 % of it, because BERT takes almost all of the time.
"""

import argparse

import torch
from torch import nn
from transformers import BertConfig, BertModel
from units import BATCH, Competitor, format_range, measure_seconds

from mm_affect import SUGRMConfig, SUGRMForAffect


class SelfMMBaseline(nn.Module):
    """A text encoder, two LSTMs, and one head for each modality and for their fusion."""

    def __init__(self):
        super().__init__()
        self.text = BertModel(BertConfig())
        self.audio, self.visual = nn.LSTM(74, 16, batch_first=True), nn.LSTM(35, 32, batch_first=True)
        sizes = {"fusion": 768 + 48, "text": 768, "audio": 16, "visual": 32}
        self.heads = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, 1)) for m, size in sizes.items()}
        )

    def forward(self, input_ids, audio, visual):
        features = {"text": self.text(input_ids=input_ids).last_hidden_state[:, 0]}
        features |= {"audio": self.audio(audio)[1][0][-1], "visual": self.visual(visual)[1][0][-1]}
        features["fusion"] = torch.cat(list(features.values()), dim=-1)
        return {m: head(features[m]) for m, head in self.heads.items()}


def main() -> None:
    """Time both models alternately and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = {
        "input_ids": torch.randint(1000, 30000, (BATCH, 50)),
        "audio": torch.randn(BATCH, 375, 74),
        "visual": torch.randn(BATCH, 500, 35),
    }
    models = {"baseline": SelfMMBaseline(), "mm_affect": SUGRMForAffect(SUGRMConfig(text_config=BertConfig()))}
    runs = {name: Competitor(model, inputs, None) for name, model in models.items()}
    for run in runs.values():
        run.forward()
    taken = [{name: measure_seconds(run.forward) for name, run in runs.items()} for _ in range(rounds)]
    for name in runs:
        print(f"{name:10s} {format_range([1000 * t[name] for t in taken], 0)} ms")
    print(f"{format_range([t['mm_affect'] / t['baseline'] for t in taken])} of the baseline's time")


if __name__ == "__main__":
    main()
