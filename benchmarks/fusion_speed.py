# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of EF-LF-LSTM compared with a plain version of the same network, in the units of `units.py`.

The sizes are those of the first author's earlier public code for CMU-MOSEI: 50 aligned steps of 300 / 74 / 35 features, batch size 32, an
early branch of 512 units per direction, late branches of 300 / 128 / 128, a two-layer head, 7,891,994 parameters. The plain version works like
that code: four bidirectional `nn.LSTM`s on padded input, read at the last index. Both take random features of full length
without masks.

    python benchmarks/fusion_speed.py

Expected on one CPU thread: training in at most 5.5 / 1.5 = 3.7 units (the public code was measured at 5.5, and at 8.8 for the
forward pass), and at least 1.5 times as fast as the plain version.
"""

import torch
from torch import nn
from torch.nn import functional as F
from units import BATCH, Competitor, Setting, check_parameters, main

from mm_affect import FusionConfig, FusionForAffect


STEPS = 50
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


def competitors() -> dict[str, Competitor]:
    """Return both models with the same inputs."""
    config = FusionConfig.reference()
    task = config.tasks[0]
    ours, plain = FusionForAffect(config), PlainFusion(config)
    for model in (ours, plain):
        check_parameters(model, PARAMETERS)
    features = {m: torch.randn(BATCH, STEPS, size) for m, size in config.feature_sizes.items()}
    labels = torch.randint(2, (BATCH, task.num_outputs)).float()
    return {
        "plain": Competitor(plain, features, lambda: F.binary_cross_entropy_with_logits(plain(**features), labels)),
        "mm_affect": Competitor.ours(ours, features, {task.name: labels}),
    }


if __name__ == "__main__":
    main(__doc__, {"aligned": Setting(competitors, PUBLIC)})
