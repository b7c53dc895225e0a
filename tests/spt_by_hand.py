# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SPT's encoder and head in literal loops over rows, hidden states, window steps and heads, in double precision."""

import math

import torch
from test_modeling_common import make_inputs

from mm_affect.models.spt import SPTConfig, SPTForAffect


SMALL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "stride": 2,
    "radii": [3, 2, 1],
    "embedding_dropout_prob": 0.1,
    "attention_dropout": 0.1,
}


def position(p: int, size: int) -> torch.Tensor:
    """Sines, cosines and, for an odd size, a zero."""
    half = size // 2
    angles = [p * math.exp(-k * math.log(10000) / (half - 1)) for k in range(half)]
    found = [math.sin(a) for a in angles] + [math.cos(a) for a in angles] + [0.0] * (size % 2)
    return torch.tensor(found, dtype=torch.double)


def embedded(steps, config) -> list[torch.Tensor]:
    found = []
    for p, step in enumerate(steps, start=1):
        skipped = config.pe_zero_first_channel and step[0] == 0
        found.append(math.sqrt(config.hidden_size) * step + (0 if skipped else position(p, len(step))))
    return found


def block_by_hand(block, heads, hidden, context, places, reverse=False):
    """Each hidden state looks at `context[j]` for every j in its list of places."""
    norm = block.memory_norm or block.norm
    query, key = (block.key, block.query) if reverse else (block.query, block.key)
    keys, values = ([linear(norm(step)) for step in context] for linear in (key, block.value))
    found = []
    for x, own in zip(hidden, places):
        if keys and own:
            q, parts, size = query(block.norm(x)), [], len(x) // heads
            for head in range(heads):
                of = slice(head * size, (head + 1) * size)
                scores = torch.stack([(q[of] * keys[j][of]).sum() / math.sqrt(size) for j in own])
                parts.append(sum(w * values[j][of] for w, j in zip(scores.softmax(0), own)))
            x = x + block.output(torch.cat(parts))
        found.append(x + block.shrink(block.expand(block.feed_forward_norm(x)).relu()))
    return found


PAIRS = (  # reader, what it reads, weights, whether query and key are swapped
    ("audio", "text", "audio_text", False),
    ("text", "audio", "audio_text", True),
    ("text", "visual", "text_visual", False),
    ("visual", "text", "text_visual", True),
    ("visual", "audio", "visual_audio", False),
    ("audio", "visual", "visual_audio", True),
)


def windows_by_hand(
    config, kind: str, number: int, length: int, count: int, context: int, draw: float
) -> list[list[int]]:
    """Places in a context of `context` steps, for each of `count` hidden states of a stream of `length` steps."""
    letters, found = getattr(config, f"{kind}_shift"), []
    stride = config.stride if kind == "input" else 1
    width = 2 * dict(zip(("input", "cross", "self"), config.radii))[kind] + 1
    for i in range(count):
        shift = number if "S" in letters else 0
        if "P" in letters:
            shift += math.trunc(length * math.sin(0.25 * i))
        if "R" in letters:
            shift += math.floor(draw * math.ceil(0.05 * length / count))
        window = [(i + 1) * stride - width + shift + k for k in range(width)]
        if config.window == "clip":
            window = [j for j in window if 0 <= j < context]
        found.append([j % max(1, context) for j in window])
    return found


def encoder_by_hand(encoder, streams: dict, draw: float = 0.0) -> dict[str, torch.Tensor]:
    """One row: `streams` are lists of real steps; `draw` is what the random shift draws everywhere, from 0 to 1."""
    config, layer = encoder.config, encoder.layer
    steps = {m: embedded(stream, config) for m, stream in streams.items()}
    count = {m: math.ceil(len(stream) / config.stride) for m, stream in streams.items()}
    h = {m: embedded([initial] * count[m], config) for m, initial in zip(streams, encoder.initial)}
    for number in range(config.num_hidden_layers):
        places = {
            (kind, m, n): windows_by_hand(config, kind, number, len(streams[m]), count[m], n, draw)
            for kind in ("input", "cross", "self")
            for m in streams
            for n in {len(streams[m]), *count.values()}
        }
        for m, block in layer.input_attention.items():
            h[m] = block_by_hand(block, config.num_attention_heads, h[m], steps[m], places["input", m, len(steps[m])])
        new = {m: [] for m in h}
        for m, other, pair, reverse in PAIRS:
            if m in h and other in h:
                block, where = layer.cross_attention[pair], places["cross", m, count[other]]
                new[m].append(block_by_hand(block, config.num_attention_heads, h[m], h[other], where, reverse))
        h = {m: [sum(terms) for terms in zip(*new[m])] if new[m] else h[m] for m in h}
        for m, block in layer.self_attention.items():
            h[m] = block_by_hand(block, config.num_attention_heads, h[m], h[m], places["self", m, count[m]])
    zeros = torch.zeros(config.hidden_size, dtype=torch.double)
    return {m: encoder.norm(states[-1]) if states else zeros for m, states in h.items()}


def fusion_by_hand(model: SPTForAffect, inputs: dict, draw: float = 0.0) -> torch.Tensor:
    """The fusion view of every row."""
    views = []
    for row in range(len(next(iter(inputs.values())))):
        streams = {m: list(inputs[m][row][inputs[f"{m}_mask"][row]]) for m in model.config.modalities}
        z = torch.cat(list(encoder_by_hand(model.encoder, streams, draw).values()))
        views.append(z + model.shrink(model.expand(z).relu()))
    return torch.stack(views)


def double_model(**fields) -> tuple[SPTForAffect, dict]:
    """A small model with weights that hide nothing, and a ragged batch whose first row lacks the second modality."""
    torch.manual_seed(0)
    model = SPTForAffect(
        SPTConfig(**{"feature_sizes": {"text": 6, "audio": 5, "visual": 4}} | SMALL | fields)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = make_inputs(model.config)
    for m in model.config.modalities:
        inputs[m][:, 1, 0] = 0.0
    if len(model.config.modalities) > 1:
        inputs[f"{model.config.modalities[1]}_mask"][0] = False
    return model.eval(), {
        name: value.double() if value.is_floating_point() else value for name, value in inputs.items()
    }
