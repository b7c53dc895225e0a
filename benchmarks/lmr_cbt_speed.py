# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of LMR-CBT beside a plain version of the public code's network, in units of a Transformer layer (`units.py`).

    python benchmarks/lmr_cbt_speed.py [--rounds 5] [--settings aligned unaligned-spoken]

Batch 32, text 300, audio 74, visual 35 features: 50 steps each; text 50, audio 375, visual 500; and both with rows as long as
segments are (`spoken_lengths`). The plain version costs what the public code costs: the encoders are those of
`mult_speed.py`, and the cross-modal blocks go through the batch row by row. Its BiLSTM runs along time, unlike the public
one, which runs along the batch, in 32 steps instead of 50. 406,523 parameters; ours has 82 less, which the public code never uses.
Unaligned, the plain version takes 7 GB.

The public code was measured at 4.5 units forward and 3.2 train, unaligned at 130 and 143 with 6.8 GB.
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
    """The cross-modal block, row by row, with the layer that nothing reads."""

    def __init__(self):
        super().__init__()
        self.of_target, self.of_source = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE, bias=False)
        self.unused = nn.Linear(SIZE, 1)

    def forward(self, target, source):
        source = self.of_source(source)
        rows = [torch.tanh(self.of_target(target[i]) + source[i]).softmax(-1) for i in range(len(target))]
        return torch.cat(rows, dim=0).reshape(target.shape)


class PlainLMRCBT(nn.Module):
    """The public code's network, without any mask."""

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
