# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of EMO-EMB compared with a plain version of the public code's network, in units of a Transformer layer.

    python benchmarks/emo_emb_speed.py [--rounds 5]

Model of the size of the paper, 5,455,903 parameters, batch size 32: 50 word-aligned steps of 300 / 74 / 35 features, and the same rows cut to
lengths as in CMU-MOSEI. The plain version works like the public code: bidirectional `nn.LSTM`s of two layers over padded rows, whose
outputs are summed over the directions and read at the last index. `units.py` describes the measurement.

Expected on one CPU thread: training at least 1.5 times as fast as the 6.6 units of the public code at full length and 4 times as
fast at ragged lengths (forward pass of the public code: 8.2 units).
"""

import torch
from torch import nn
from torch.nn import functional as F
from units import BATCH, Competitor, Setting, check_parameters, cut_to_lengths, main, spoken_lengths

from mm_affect import MODALITIES, EmoEmbConfig, EmoEmbForAffect


STEPS, PARAMETERS = 50, 5_455_903
PUBLIC = {"forward": 8.2, "train": 6.6}


class PlainEmoEmb(nn.Module):
    """The network of the public code, on padded rows."""

    def __init__(self, config: EmoEmbConfig):
        super().__init__()
        self.lstms = nn.ModuleDict(
            {
                m: nn.LSTM(size, config.hidden_sizes[m], 2, batch_first=True, dropout=0.15, bidirectional=True)
                for m, size in config.feature_sizes.items()
            }
        )
        words = config.hidden_sizes["text"]
        self.affine = nn.ModuleDict({m: nn.Linear(words, config.hidden_sizes[m]) for m in ("audio", "visual")})
        self.weigh = nn.Linear(3, 1, bias=False)
        self.register_buffer("words", torch.randn(config.tasks[0].num_outputs, words))

    def forward(self, **streams):
        scores = []
        for m, lstm in self.lstms.items():
            output = lstm(streams[m])[0]
            last = output.view(*output.shape[:2], 2, -1).sum(2)[:, -1]
            words = self.affine[m](self.words) if m in self.affine else self.words
            scores.append(torch.bmm(words.unsqueeze(0).repeat(len(last), 1, 1), last.unsqueeze(-1)))
        return self.weigh(torch.cat(scores, dim=-1)).squeeze(-1)


def competitors(lengths: torch.Tensor | None = None) -> dict[str, Competitor]:
    """Return both models with the same inputs; those of mm_affect are cut to `lengths` `(batch,)`, if given."""
    config = EmoEmbConfig()
    plain, ours = PlainEmoEmb(config), EmoEmbForAffect(config)
    for model in (plain, ours):
        check_parameters(model, PARAMETERS)
    streams = {m: torch.randn(BATCH, STEPS, config.feature_sizes[m]) for m in MODALITIES}
    labels = torch.randint(2, (BATCH, config.tasks[0].num_outputs)).float()
    inputs = streams if lengths is None else cut_to_lengths(streams, dict.fromkeys(MODALITIES, lengths))
    return {
        "plain": Competitor(plain, streams, lambda: F.binary_cross_entropy_with_logits(plain(**streams), labels)),
        "mm_affect": Competitor.ours(ours, inputs, {"emotion": labels}),
    }


if __name__ == "__main__":
    main(
        __doc__,
        {
            "aligned": Setting(competitors, PUBLIC),
            "ragged": Setting(lambda: competitors(spoken_lengths(STEPS)), PUBLIC),
        },
    )
