# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of TAILOR compared with a plain version of the public code's network, in the units of `units.py`.

There are three settings, batch size 32: word-aligned streams of 60 steps; 50 text, 500 audio and 500 visual steps with CTC alignment; and
word-aligned streams with lengths as in CMU-MOSEI (5 to 60 words, median 20). The plain version has the cost of the public code: attention
weights of every head are computed, layer norm and GELU are composed of elementary operations, every stream is padded to the maximum length
without masks, and each encoder has an unused pooler. It has 10,798,652 parameters (with CTC 10,884,944).

    python benchmarks/tailor_speed.py [--rounds 5] [--settings ragged]

Expected on one CPU thread: training at least 2 times as fast as the plain version at full length, with at most half of its memory, and 5 times
as fast at ragged lengths. The public code was measured at 81.5 units for the forward pass and 64.4 for training (4.1 GB), with CTC at 55.4
and 39.0 (3.5 GB).
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from units import BATCH, Competitor, Setting, check_parameters, cut_to_lengths, main, spoken_lengths

from mm_affect import MODALITIES, TailorConfig, TailorForAffect
from mm_affect.models.layers.gradient_reversal import reverse_gradient


ALIGNED, CTC = 10_798_652, 10_884_944  # parameters of the plain version
UNUSED = 394_752  # of these, parameters of the poolers, which mm_affect does not have


class PlainNorm(nn.LayerNorm):
    """Layer norm composed of elementary operations, as in the public code."""

    def __init__(self, size: int):
        super().__init__(size, eps=1e-12)

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return self.weight * ((x - mean) / torch.sqrt(variance + self.eps)) + self.bias


def plain_gelu(x):
    """Compute the exact GELU with elementary operations, as in the public code."""
    return x * 0.5 * (1.0 + torch.erf(x / 2**0.5))


class PlainLayer(nn.Module):
    """Layer of BERT that computes its attention weights; with `memory`, it is the cross-attention of a decoder."""

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
    """Embeddings, layers and an unused pooler."""

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
    """The network and the losses of the public code, without masks."""

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
                logits = self.discriminator(part)
                loss = loss + 0.01 * F.cross_entropy(
                    logits.flatten(0, 1), torch.full((logits[..., 0].numel(),), index)
                )
        pairs = [(common[m], private[m]) for m in private]
        pairs += [(private["text"], private["visual"]), (private["text"], private["audio"])]
        pairs.append((private["visual"], private["audio"]))
        return loss + 5e-6 * sum((x @ y.transpose(1, 2)).square().sum((1, 2)).mean() for x, y in pairs)


def competitors(aligner: str, steps: dict[str, int], spoken: bool = False) -> dict[str, Competitor]:
    """Return both models at full length or, if `spoken`, mm_affect at the lengths of spoken segments and the plain version padded."""
    ctc = aligner == "ctc"
    plain, ours = PlainTailor(ctc), TailorForAffect(TailorConfig.reference(aligner=aligner))
    check_parameters(plain, CTC if ctc else ALIGNED)
    check_parameters(ours, (CTC if ctc else ALIGNED) - UNUSED)
    features = {m: torch.randn(BATCH, steps[m], ours.config.feature_sizes[m]) for m in MODALITIES}
    read = cut_to_lengths(features, dict.fromkeys(MODALITIES, spoken_lengths(steps["text"]))) if spoken else features
    labels = torch.randint(2, (BATCH, 6)).float()
    return {
        "plain": Competitor(plain, features, lambda: plain(labels, **features)),
        "mm_affect": Competitor.ours(ours, read, {"emotion": labels}),
    }


WORDS, FRAMES = dict.fromkeys(MODALITIES, 60), {"text": 50, "audio": 500, "visual": 500}
UNITS = {"forward": 81.5, "train": 64.4}
SETTINGS = {
    "aligned": Setting(partial(competitors, "given", WORDS), UNITS),
    "ctc": Setting(partial(competitors, "ctc", FRAMES), {"forward": 55.4, "train": 39.0}),
    "ragged": Setting(partial(competitors, "given", WORDS, spoken=True), UNITS),  # the public code pads to the maximum
}


if __name__ == "__main__":
    main(__doc__, SETTINGS)
