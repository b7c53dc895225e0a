# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR once more, one sample at a time and by the letter of the paper, from the weights of a model.

A stream is a dict from position to vector: a step that is not real is not in it, so there is nothing to mask. In evaluation
only: no dropout.
"""

import torch
from test_modeling_common import SIZES, TASKS, make_inputs, without
from torch.nn import functional as F

from mm_affect.models.tailor import TailorConfig, TailorForAffect


SMALL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "encoder_layers": {"text": 2, "audio": 1, "visual": 1},
    "cross_layers": 1,
    "max_position_embeddings": 8,
    "aligned_length": 6,
    "hidden_dropout_prob": 0.0,
    "private_dropout_prob": 0.0,
    "initializer_range": 0.2,
}
REFERENCE = {name: TailorConfig.reference().to_dict()[name] for name in (
    "discriminator", "common_loss", "concat_order", "logit_dropout", "shared_label_classifier",
    "orthogonal_private_pairs", "ctc_reduction",
)}  # fmt: skip


def random_model(**fields) -> TailorForAffect:
    """A small model whose weights, norms and biases are all far from their beginnings, so that nothing is hidden."""
    torch.manual_seed(0)
    model = TailorForAffect(TailorConfig(**({"feature_sizes": SIZES, "tasks": TASKS} | SMALL | fields))).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm.weight" in name or ("norms" in name and name.endswith("weight")):
                parameter.uniform_(0.7, 1.3)
            else:
                parameter.normal_(std=0.3)
    return model


def uneven_inputs(config) -> dict[str, torch.Tensor]:
    """A ragged batch in which rows 1, 2 and 3 lack a modality each and row 4 everything; visual begins late in row 0."""
    inputs = make_inputs(config)
    for row, modality in ((1, "audio"), (2, "visual"), (3, "text")):
        if modality in config.modalities:
            inputs = without(inputs, modality, [row])
    for m in config.modalities:
        inputs = without(inputs, m, [4])
    if "visual" in config.modalities:
        inputs["visual_mask"][0, :2] = False
    return inputs


def stack(stream: dict) -> torch.Tensor:
    """The vectors in the order of their positions, `(steps, size)`."""
    return torch.stack([stream[position] for position in sorted(stream)])


def mean(stream: dict, size: int) -> torch.Tensor:
    """The mean over time; zeros of a stream without steps."""
    return sum(stream.values()) / len(stream) if stream else torch.zeros(size)


class ByHand:
    """The parts of `model`, applied to one sample."""

    def __init__(self, model: TailorForAffect):
        self.model, self.config = model, model.config

    # blocks ------------------------------------------------------------------------------------------------------

    def norm(self, module, x):
        return F.layer_norm(x, x.shape[-1:], module.weight, module.bias, 1e-12)

    def attend(self, attention, x, memory):
        """Every query, head by head, over every step of the memory."""
        query, key, value = (F.linear(of, getattr(attention, name).weight, getattr(attention, name).bias) for of, name in (
            (x, "query"), (memory, "key"), (memory, "value"),
        ))  # fmt: skip
        size, rows = x.shape[-1] // self.config.num_attention_heads, []
        for i in range(len(x)):
            heads = []
            for first in range(0, x.shape[-1], size):
                own = slice(first, first + size)
                scores = key[:, own] @ query[i, own] / size**0.5
                heads.append(scores.softmax(0) @ value[:, own])
            rows.append(torch.cat(heads))
        return F.linear(torch.stack(rows), attention.output.weight, attention.output.bias)

    def attention_step(self, step, x, memory):
        return self.norm(step.norm, x + self.attend(step.attention, x, memory))

    def feed_forward(self, step, x):
        inner = F.gelu(F.linear(x, step.expand.weight, step.expand.bias))
        return self.norm(step.norm, x + F.linear(inner, step.shrink.weight, step.shrink.bias))

    def encode(self, encoder, stream: dict) -> dict:
        """Positions, norm, layers; a position beyond the table takes its last entry."""
        if not stream:
            return {}
        table = encoder.positions.weight
        x = self.norm(encoder.norm, torch.stack([stream[p] + table[min(p, len(table) - 1)] for p in sorted(stream)]))
        for layer in encoder.layers:
            x = self.feed_forward(layer.feed_forward, self.attention_step(layer.attention, x, x))
        return dict(zip(sorted(stream), x))

    # one modality ------------------------------------------------------------------------------------------------

    def read(self, inputs: dict, row: int) -> dict[str, dict]:
        """The streams of a row of a batch, normed; of words, they begin together, otherwise each at its own beginning."""
        streams = {}
        for m in self.config.modalities:
            real = inputs[f"{m}_mask"][row].nonzero().flatten().tolist()
            streams[m] = {p: self.norm(self.model.input_norms[m], inputs[m][row, p]) for p in real}
        together = min((p for stream in streams.values() for p in stream), default=0)
        for m, stream in streams.items():
            first = together if self.config.aligner == "given" else min(stream, default=0)
            streams[m] = {p - first: vector for p, vector in stream.items()}
        return streams

    def words(self, text: dict) -> int:
        """Target steps of the CTC aligner; a row without text has them all."""
        return min(max(text) + 1, self.config.aligned_length) if text else self.config.aligned_length

    def align(self, m: str, stream: dict, words: int) -> tuple[dict, torch.Tensor]:
        """The stream at the words, and its CTC loss."""
        if not stream:
            return {}, torch.zeros(())
        x = stack(stream)
        scores = self.model.aligners[m].lstm(x)[0]
        shares = scores.softmax(-1)
        aligned = {j: sum(shares[t, j + 1] * x[t] for t in range(len(x))) for j in range(words)}
        targets = torch.arange(1, words + 1)
        loss = F.ctc_loss(scores.log_softmax(-1), targets, (len(x),), (words,), reduction="sum")
        return aligned, loss if len(x) >= words else torch.zeros(())

    def unimodal(self, inputs: dict, row: int) -> tuple[dict[str, dict], dict[str, torch.Tensor]]:
        """What the encoder of each modality says, and the CTC losses."""
        streams, ctc = self.read(inputs, row), {}
        words = self.words(streams.get("text", {}))
        for m in self.model.aligners:
            streams[m], ctc[m] = self.align(m, streams[m], words)
        encoded = {}
        for m, stream in streams.items():
            part = self.model.encoders[m]
            projected = {p: F.linear(x, part.projection.weight, part.projection.bias) for p, x in stream.items()}
            encoded[m] = self.encode(part.encoder, projected)
        return encoded, ctc

    def private(self, encoded: dict) -> dict[str, dict]:
        return {m: self.refine(self.model.private[m][0], encoded[m]) for m in encoded}

    def common(self, encoded: dict) -> dict[str, dict]:
        return {m: self.refine(self.model.common[0], encoded[m]) for m in encoded}

    def refine(self, linear, stream):
        return {p: F.linear(x, linear.weight, linear.bias).tanh() for p, x in stream.items()}

    # their fusion ------------------------------------------------------------------------------------------------

    def sum(self, common: dict[str, dict]) -> dict:
        """C; streams that are not aligned are first averaged to the length of the shortest."""
        present = [stream for stream in common.values() if stream]
        if self.config.aligner != "given" and present:
            shortest = min(max(stream) + 1 for stream in present)
            present = [self.shrink(stream, shortest) for stream in present]
        total = {}
        for stream in present:
            for position, vector in stream.items():
                total[position] = total.get(position, 0) + vector
        return total

    def shrink(self, stream: dict, steps: int) -> dict:
        """New step j is the mean of the old ones, each weighted by its share of the time from j to j + 1."""
        ratio, shrunk = (max(stream) + 1) / steps, {}
        for j in range(steps):
            shares = {p: min(p + 1, (j + 1) * ratio) - max(p, j * ratio) for p in stream}
            shares = {p: share for p, share in shares.items() if share > 1e-5}
            of_size = torch.zeros(self.config.hidden_size)
            shrunk[j] = sum((s * stream[p] for p, s in shares.items()), of_size) / (sum(shares.values()) or 1)
        return shrunk

    def cross(self, number: int, first: dict, second: dict) -> dict:
        """CME(first, second) with the weights of the encoder of this number."""
        module = self.model.cross_encoders[number]
        tokens = [0, 0] if module.modality_token is None else module.modality_token.weight
        vectors = [*(first[p] + tokens[0] for p in sorted(first)), *(second[p] + tokens[1] for p in sorted(second))]
        return self.encode(module.encoder, dict(enumerate(vectors)))

    def decode(self, fused: dict) -> torch.Tensor:
        """The representation of every label, `(labels, size)`; of the decoder without labels the mean `(size,)`."""
        size, decoder = self.config.hidden_size, self.model.decoder
        if decoder is None:
            return mean(fused, size)
        tailored = [task.name for task in self.config.tasks if task.view == "fusion"]
        labels = self.norm(decoder.norm, torch.cat([decoder.labels[name].weight for name in tailored]))
        if self.config.decoder in ("label_guided", "label_correlations"):
            labels = self.attention_step(decoder.correlation, labels, labels)
        if self.config.decoder == "label_guided":
            labels = self.attention_step(decoder.guidance, labels, stack(fused) if fused else torch.zeros(1, size))
        else:
            labels = self.norm(decoder.guidance, labels + mean(fused, size))
        return self.feed_forward(decoder.feed_forward, labels)

    def answer(self, task, views: dict, first: int) -> torch.Tensor:
        """The logits of a task; `first` is its first label among those of the decoder."""
        head = self.model.heads.heads[task.name]
        if task.view != "fusion" or self.model.decoder is None:
            return F.linear(views[task.view], head[0].weight, head[0].bias)
        logits = []
        for k in range(task.num_outputs):
            own = 0 if self.config.shared_label_classifier else k
            logits.append(head.weight[own] @ views["fusion"][first + k] + head.bias[own])
        return torch.stack(logits)
