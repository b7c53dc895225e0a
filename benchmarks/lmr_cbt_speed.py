# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of LMR-CBT compared with a plain version of the public code's network, in units of a Transformer layer (`units.py`).

    python benchmarks/lmr_cbt_speed.py [--rounds 5] [--settings aligned unaligned-spoken]

Batch size 32; 300 text, 74 audio and 35 visual features; 50 steps each, or 50, 375 and 500 steps, and both with rows of the lengths of spoken
segments (`spoken_lengths`). The plain version has the cost of the public code: the
encoders are those of `mult_speed.py`, and the cross-modal blocks process the batch row by row. Its BiLSTM runs along the time axis, unlike that
of the public code, which runs along the batch axis, in 32 steps instead of 50. It has 406,523 parameters; the model of mm_affect has 82 fewer,
which the public code never uses. With unaligned input, the plain version takes 7 GB.

The public code was measured at 4.5 units for the forward pass and 3.2 for training; with unaligned input at 130 and 143, with 6.8 GB.
"""

import torch
from mult_speed import FEATURES, LENGTHS, PlainEncoder
from torch import nn
from torch.nn import functional as F
from units import main, sentiment_settings

from mm_affect import LMRCBTConfig, LMRCBTForAffect


SIZE, HEADS, LAYERS = 40, 8, 5
PUBLIC = {"aligned": {"forward": 4.5, "train": 3.2}, "unaligned": {"forward": 130.0, "train": 143.0}}


class PlainBlock(nn.Module):
    """The cross-modal block, row by row, with its unused layer."""

    def __init__(self):
        super().__init__()
        self.project_target, self.project_source = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE, bias=False)
        self.unused = nn.Linear(SIZE, 1)

    def forward(self, target, source):
        source = self.project_source(source)
        rows = [torch.tanh(self.project_target(target[i]) + source[i]).softmax(-1) for i in range(len(target))]
        return torch.cat(rows, dim=0).reshape(target.shape)


class PlainLMRCBT(nn.Module):
    """The network of the public code, without masks."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES["text"], SIZE // 2, 2, bidirectional=True, dropout=0.5, batch_first=True)
        self.norm = nn.LayerNorm(SIZE)
        others = ("audio", "visual")
        self.convolutions = nn.ModuleDict({m: nn.Conv1d(FEATURES[m], SIZE, 3, bias=False) for m in others})
        self.norms = nn.ModuleDict({m: nn.BatchNorm1d(SIZE) for m in others})
        self.encoders = nn.ModuleDict({m: PlainEncoder(SIZE, HEADS, LAYERS, 0.1, (0.3, 0.2)) for m in FEATURES})
        self.blocks = nn.ModuleDict({m: PlainBlock() for m in others})
        size = 3 * SIZE
        self.expand, self.shrink, self.head = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, 1)

    def forward(self, text, audio, visual):
        text = self.norm(self.lstm(F.dropout(text, 0.3, self.training))[0])
        last = {}
        for m, x in {"visual": visual, "audio": audio}.items():
            x = self.norms[m](self.convolutions[m](x.transpose(1, 2)))
            last[m] = self.encoders[m](x.permute(2, 0, 1))[-1]
        fused = self.blocks["audio"](self.blocks["visual"](text, last["visual"]), last["audio"]) + text
        fused = self.encoders["text"](fused.transpose(0, 1))[-1]
        joint = torch.cat([fused, last["audio"], last["visual"]], dim=1)
        return self.head(self.shrink(F.dropout(F.relu(self.expand(joint)), 0.1, self.training))).squeeze(-1)


SETTINGS = sentiment_settings(
    (PlainLMRCBT, lambda: LMRCBTForAffect(LMRCBTConfig())), (406_523, 406_441), LENGTHS, PUBLIC
)


if __name__ == "__main__":
    main(__doc__, SETTINGS)
