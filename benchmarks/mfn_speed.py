# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of MFN compared with a plain version of the public code's network, in units of a Transformer layer.

    python benchmarks/mfn_speed.py [--rounds 5]

Model of the size of MMSA's for CMU-MOSEI with BERT features, 1,276,865 parameters, batch size 32: 50 word-aligned steps of 768 / 74 / 35
features, and the same rows cut to lengths as in CMU-MOSEI. The plain version works like the public code: step by step, each step with three
LSTM cells, the attention and the gates, all recorded by autograd, and every row padded to the maximum length. `units.py` describes the
measurement.

Expected on one CPU thread: training at least 1.5 times as fast as the 2.3 units of the public code at full length and 4 times as
fast at ragged lengths (forward pass of the public code: 4.8 units).
"""

import torch
from torch import nn
from torch.nn import functional as F
from units import BATCH, Competitor, Setting, check_parameters, cut_to_lengths, main, spoken_lengths

from mm_affect import MODALITIES, MFNConfig, MFNForAffect, Task


STEPS, PARAMETERS = 50, 1_276_865
PUBLIC = {"forward": 4.8, "train": 2.3}
SIZES = {"text": 768, "audio": 74, "visual": 35}


class PlainMFN(nn.Module):
    """The network of the public code, computed step by step."""

    def __init__(self, config: MFNConfig):
        super().__init__()
        self.cells = nn.ModuleDict({m: nn.LSTMCell(size, config.hidden_sizes[m]) for m, size in SIZES.items()})
        self.memory_size, total = config.memory_size, sum(config.hidden_sizes.values())

        def layers(input_size, size, output_size, dropout):
            return nn.Sequential(
                nn.Linear(input_size, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, output_size)
            )

        self.attention = layers(2 * total, config.attention_size, 2 * total, config.attention_dropout_prob)
        self.proposal = layers(2 * total, config.proposal_size, self.memory_size, config.proposal_dropout_prob)
        both = 2 * total + self.memory_size
        self.retain = layers(both, config.retain_size, self.memory_size, config.retain_dropout_prob)
        self.update = layers(both, config.update_size, self.memory_size, config.update_dropout_prob)
        self.head = layers(total + self.memory_size, config.head_size, 1, config.head_dropout_prob)

    def forward(self, **streams):
        streams = {m: values.permute(1, 0, 2) for m, values in streams.items()}
        batch = streams["text"].shape[1]
        states = {
            m: (torch.zeros(batch, c.hidden_size), torch.zeros(batch, c.hidden_size)) for m, c in self.cells.items()
        }
        memory = torch.zeros(batch, self.memory_size)
        for step in range(len(streams["text"])):
            earlier = torch.cat([cell for _, cell in states.values()], dim=1)
            states = {m: cell(streams[m][step], states[m]) for m, cell in self.cells.items()}
            change = torch.cat([earlier, *(cell for _, cell in states.values())], dim=1)
            attended = F.softmax(self.attention(change), dim=1) * change
            proposal = torch.tanh(self.proposal(attended))
            both = torch.cat([attended, memory], dim=1)
            memory = torch.sigmoid(self.retain(both)) * memory + torch.sigmoid(self.update(both)) * proposal
        return self.head(torch.cat([*(hidden for hidden, _ in states.values()), memory], dim=1))


def competitors(lengths: torch.Tensor | None = None) -> dict[str, Competitor]:
    """Return both models with the same inputs; those of mm_affect are cut to `lengths` `(batch,)`, if given."""
    config = MFNConfig(feature_sizes=SIZES, tasks=[Task("sentiment", "regression")])
    plain, ours = PlainMFN(config), MFNForAffect(config)
    for model in (plain, ours):
        check_parameters(model, PARAMETERS)
    streams = {m: torch.randn(BATCH, STEPS, SIZES[m]) for m in MODALITIES}
    labels = torch.randn(BATCH)
    inputs = streams if lengths is None else cut_to_lengths(streams, dict.fromkeys(MODALITIES, lengths))
    return {
        "plain": Competitor(plain, streams, lambda: F.l1_loss(plain(**streams).squeeze(1), labels)),
        "mm_affect": Competitor.ours(ours, inputs, {"sentiment": labels}),
    }


if __name__ == "__main__":
    main(
        __doc__,
        {
            "aligned": Setting(competitors, PUBLIC),
            "ragged": Setting(lambda: competitors(spoken_lengths(STEPS)), PUBLIC),
        },
    )
