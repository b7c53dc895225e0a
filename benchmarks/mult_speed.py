# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of MulT compared with a plain version of the public code's network, in units of a Transformer layer (`units.py`).

    python benchmarks/mult_speed.py [--rounds 5] [--settings aligned unaligned-spoken]

Batch size 32; 300 text, 74 audio and 35 visual features; 50 steps each, or 50, 375 and 500 steps, and both with rows of the lengths of spoken
segments (`spoken_lengths`). The plain version has the cost of the public code: the
attention weights of all heads are computed and averaged, the causal mask is built in every layer, every last layer computes all steps, and rows
are padded to the maximum length. Both models have 1,073,731 parameters. With unaligned input, the plain version takes 8 GB.

The public code was measured at 8.8 units for the forward pass and 5.9 for training; with unaligned input at 213 and 134, with 7.8 GB.
"""

import torch
from torch import nn
from torch.nn import functional as F
from units import main, sentiment_settings

from mm_affect import MulTConfig, MulTForAffect


SIZE, HEADS, LAYERS = 30, 5, 5
FEATURES = {"text": 300, "audio": 74, "visual": 35}
LENGTHS = {
    "aligned": dict.fromkeys(FEATURES, 50),
    "unaligned": {"text": 50, "audio": 375, "visual": 500},
}
PUBLIC = {"aligned": {"forward": 8.8, "train": 5.9}, "unaligned": {"forward": 213.0, "train": 134.0}}


def sinusoids(x):
    """Return the sinusoidal positions, from 1, of `x` `(length, batch, size)`."""
    half = x.shape[-1] // 2
    angle = torch.arange(1, len(x) + 1).unsqueeze(1) * torch.exp(torch.arange(half) * (-9.2103404 / (half - 1)))
    return torch.cat([angle.sin(), angle.cos()], dim=1).unsqueeze(1).repeat(1, x.shape[1], 1)


class PlainLayer(nn.Module):
    """Pre-norm layer that computes its attention weights; inputs are time first."""

    def __init__(self, size: int, heads: int, attention_dropout: float, dropout: float):
        super().__init__()
        self.heads, self.attention_dropout, self.dropout = heads, attention_dropout, dropout
        self.joint, self.output = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.expand, self.shrink = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))

    def forward(self, x, keys=None, values=None):
        length, batch, size = x.shape
        normed = self.norms[0](x)
        if keys is None:
            q, k, v = self.joint(normed).chunk(3, dim=-1)
        else:
            weight, bias = self.joint.weight.chunk(3), self.joint.bias.chunk(3)
            inputs = normed, self.norms[0](keys), self.norms[0](values)
            q, k, v = (F.linear(x, *part) for x, *part in zip(inputs, weight, bias))
        split = lambda y: y.contiguous().view(len(y), batch * self.heads, -1).transpose(0, 1)  # noqa: E731
        q, k, v = split(q * (size // self.heads) ** -0.5), split(k), split(v)
        scores = torch.bmm(q, k.transpose(1, 2))
        future = torch.triu(torch.full((length, len(k[0])), -torch.inf), 1 + abs(len(k[0]) - length))
        scores += future.unsqueeze(0)
        weights = F.dropout(scores.softmax(-1), self.attention_dropout, self.training)
        attended = self.output(torch.bmm(weights, v).transpose(0, 1).contiguous().view(length, batch, size))
        weights.view(batch, self.heads, length, -1).sum(1) / self.heads  # the public code returns them
        x = x + F.dropout(attended, self.dropout, self.training)
        inner = F.dropout(F.relu(self.expand(self.norms[1](x))), 0.1, self.training)
        return x + F.dropout(self.shrink(inner), self.dropout, self.training)


class PlainEncoder(nn.Module):
    """Encoder: scaled input with positions, layers, layer norm."""

    def __init__(self, size: int, heads: int, layers: int, attention_dropout: float, dropouts: tuple[float, float]):
        super().__init__()
        self.embedding_dropout, dropout = dropouts
        self.layers = nn.ModuleList(PlainLayer(size, heads, attention_dropout, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(size)

    def embed(self, x):
        """Scale the input, add the positions and apply dropout."""
        return F.dropout(x.shape[-1] ** 0.5 * x + sinusoids(x), self.embedding_dropout, self.training)

    def forward(self, x, source=None):
        sources = () if source is None else (self.embed(source), self.embed(source))
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x, *sources)
        return self.norm(x)


class PlainMulT(nn.Module):
    """The network of the public code, without masks."""

    def __init__(self):
        super().__init__()
        encoder = lambda size, dropout: PlainEncoder(size, HEADS, LAYERS, dropout, (0.25, 0.1))  # noqa: E731
        attention_dropouts = {"text": 0.1, "audio": 0.0, "visual": 0.0}
        self.projections = nn.ModuleDict({m: nn.Conv1d(size, SIZE, 1, bias=False) for m, size in FEATURES.items()})
        self.cross = nn.ModuleDict(
            {
                m: nn.ModuleDict({other: encoder(SIZE, attention_dropouts[other]) for other in FEATURES if other != m})
                for m in FEATURES
            }
        )
        self.memory = nn.ModuleDict({m: encoder(2 * SIZE, 0.1) for m in FEATURES})
        size = 6 * SIZE
        self.expand, self.shrink, self.head = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, 1)

    def forward(self, text, audio, visual):
        text = F.dropout(text, 0.25, self.training)
        streams = {"text": text, "audio": audio, "visual": visual}
        z = {m: self.projections[m](x.transpose(1, 2)).permute(2, 0, 1) for m, x in streams.items()}
        read = {m: torch.cat([part(z[m], z[other]) for other, part in self.cross[m].items()], 2) for m in z}
        last = torch.cat([self.memory[m](x)[-1] for m, x in read.items()], dim=1)
        return self.head(last + self.shrink(F.relu(self.expand(last)))).squeeze(-1)


SETTINGS = sentiment_settings(
    (PlainMulT, lambda: MulTForAffect(MulTConfig.reference())), (1_073_731, 1_073_731), LENGTHS, PUBLIC
)


if __name__ == "__main__":
    main(__doc__, SETTINGS)
