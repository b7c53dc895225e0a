# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of SPT compared with a plain version of the public code's network, in units of a Transformer layer (`units.py`).

    python benchmarks/spt_speed.py [--rounds 5] [--settings aligned unaligned-spoken]

Batch size 32; 300 text, 74 audio and 35 visual features; 50 steps each, or 50, 375 and 500 steps, and both with rows of the lengths of spoken
segments (`spoken_lengths`). The plain version has the cost of the public code: every window is
a copy of the raw context, each copy is normalized and projected in every layer, the attention weights of every head are computed and averaged, and
rows are padded to the maximum length. It has 154,451 parameters; the model of mm_affect has 192 fewer, which the public code never uses.

The public code was measured at 5.6 units for the forward pass and 3.3 for training; with unaligned input at 27.3 and 14.7, with 1.2 GB.
"""

import torch
from mult_speed import FEATURES, LENGTHS
from torch import nn
from torch.nn import functional as F
from units import main, sentiment_settings

from mm_affect import SPTConfig, SPTForAffect


SIZE, HEADS, LAYERS, STRIDE, RADII = 32, 8, 4, 5, (8, 4, 3)
PUBLIC = {"aligned": {"forward": 5.6, "train": 3.3}, "unaligned": {"forward": 27.3, "train": 14.7}}


def add_positions(x):
    """Scale the steps `(length, batch, size)` and add sinusoidal positions."""
    half = x.shape[-1] // 2
    angle = torch.arange(1, len(x) + 1).unsqueeze(1) * torch.exp(torch.arange(half) * (-9.2103404 / (half - 1)))
    table = F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, x.shape[-1] % 2))
    return SIZE**0.5 * x + table.unsqueeze(1).repeat(1, x.shape[1], 1)


class PlainBlock(nn.Module):
    """Attention of each hidden state to copies of its window, and the feed-forward layer."""

    def __init__(self, width: int, stride: int = 1, context_size: int = SIZE):
        super().__init__()
        self.width, self.stride = width, stride
        self.norm, self.context_norm = nn.LayerNorm(SIZE), nn.LayerNorm(context_size)
        self.query, self.output = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.key, self.value = nn.Linear(context_size, SIZE), nn.Linear(context_size, SIZE)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(SIZE), nn.Linear(SIZE, 4 * SIZE), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4 * SIZE, SIZE), nn.Dropout(0.1)
        )  # fmt: skip

    def forward(self, x, context=None, shift: int = 0, reverse: bool = False):
        length, batch, _ = x.shape
        normed = self.norm(x)
        source = normed if context is None else context
        start = (torch.arange(length) + 1) * self.stride - self.width + shift
        places = (start.unsqueeze(0).repeat(self.width, 1) + torch.arange(self.width).unsqueeze(1)).reshape(-1)
        copies = source[places % len(source)].reshape(self.width, length, batch, -1)
        copies = copies.permute(1, 2, 0, 3).reshape(length * batch, self.width, -1).permute(1, 0, 2)
        if context is not None:
            copies = self.context_norm(copies)
        query, key = (self.key, self.query) if reverse else (self.query, self.key)
        split = lambda y: y.contiguous().view(len(y), -1, SIZE // HEADS).transpose(0, 1)  # noqa: E731
        q, k, v = (
            split(query(normed).view(1, -1, SIZE) * (SIZE // HEADS) ** -0.5),
            split(key(copies)),
            split(self.value(copies)),
        )
        weights = (q @ k.transpose(1, 2)).softmax(-1)
        attended = self.output((weights @ v).transpose(0, 1).contiguous().view(length, batch, SIZE))
        weights.view(length * batch, HEADS, 1, self.width).sum(1) / HEADS  # the public code returns them
        x = x + F.dropout(attended, 0.1, self.training)
        return x + self.feed_forward(x)


class PlainSPT(nn.Module):
    """The network of the public code, without masks."""

    def __init__(self):
        super().__init__()
        inputs, crosses, selves = (2 * radius + 1 for radius in RADII)
        self.initial = nn.ParameterDict({m: nn.Parameter(torch.randn(SIZE)) for m in FEATURES})
        self.inputs = nn.ModuleDict({m: PlainBlock(inputs, STRIDE, size) for m, size in FEATURES.items()})
        self.crosses = nn.ModuleDict({pair: PlainBlock(crosses) for pair in ("at", "tv", "va")})
        self.selves = nn.ModuleDict({m: PlainBlock(selves) for m in FEATURES})
        self.norm = nn.LayerNorm(SIZE)
        size = 3 * SIZE
        self.expand, self.shrink, self.head = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, 1)

    def forward(self, **streams):
        embed = lambda x: F.dropout(add_positions(x), 0.3, self.training)  # noqa: E731
        streams = {m: x.transpose(0, 1) for m, x in streams.items()}
        h = {m: embed(self.initial[m].repeat(-(-len(x) // STRIDE), x.shape[1], 1)) for m, x in streams.items()}
        streams = {m: embed(x) for m, x in streams.items()}
        at, tv, va = self.crosses["at"], self.crosses["tv"], self.crosses["va"]
        for i in range(LAYERS):
            h = {m: block(h[m], streams[m]) for m, block in self.inputs.items()}
            t, a, v = h["text"], h["audio"], h["visual"]
            h = {
                "text": at(t, a, i, True) + tv(t, v, i),
                "audio": at(a, t, i) + va(a, v, i, True),
                "visual": va(v, a, i) + tv(v, t, i, True),
            }
            h = {m: block(h[m], shift=i) for m, block in self.selves.items()}
        z = torch.cat([self.norm(h[m])[-1] for m in FEATURES], dim=-1)
        return self.head(z + self.shrink(F.dropout(F.relu(self.expand(z)), 0.1, self.training))).squeeze(-1)


SETTINGS = sentiment_settings(
    (PlainSPT, lambda: SPTForAffect(SPTConfig.reference())), (154_451, 154_259), LENGTHS, PUBLIC
)


if __name__ == "__main__":
    main(__doc__, SETTINGS)
