# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The parts of `models/layers/cross_modal_encoder.py` once more, one sample at a time and by the letter, from the weights of a model.

A stream is the list of its places, None where a step is not real; an encoder gets the real ones only, `(steps, size)`, so there
is nothing to mask. In evaluation only: no dropout.
"""

import math

import torch
from test_modeling_common import SIZES, TASKS, make_inputs, without
from torch.nn import functional as F


def random_model(model_class, **fields):
    """A model whose weights, norms and statistics are all far from their beginnings, so that nothing is hidden."""
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**({"feature_sizes": SIZES, "tasks": TASKS} | fields))).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.7, 1.3)
            else:
                parameter.normal_(std=0.3)
        for _, buffer in model.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return model


def uneven_inputs(config) -> dict[str, torch.Tensor]:
    """A ragged batch in which rows 0, 1 and 2 lack a modality each, and row 4 everything."""
    inputs = make_inputs(config)
    for row, modality in ((0, "audio"), (1, "visual"), (2, "text"), *((4, m) for m in config.modalities)):
        if modality in config.modalities:
            inputs = without(inputs, modality, [row])
    inputs[config.modalities[-1]][3, 3, 0] = 0.0  # a first feature that looks like padding
    return inputs


def row_of(inputs: dict, row: int, config) -> dict[str, list]:
    """The streams of one row: what stands at each place, without the padding around."""
    streams = {}
    for m in config.modalities:
        places = [x if real else None for x, real in zip(inputs[m][row], inputs[f"{m}_mask"][row])]
        while places and places[0] is None:
            places = places[1:]
        while places and places[-1] is None:
            places = places[:-1]
        streams[m] = places
    return streams


def real(places: list, size: int) -> torch.Tensor:
    """The real steps, `(steps, size)`."""
    kept = [step for step in places if step is not None]
    return torch.stack(kept) if kept else torch.zeros(0, size)


def convolved(layer, places: list, padding: str) -> list:
    """What the kernel sees around each place that is real."""
    size, weight = layer.kernel_size[0], layer.weight
    before = (size - 1) // 2
    found = []
    for center, step in enumerate(places):
        begin = center - before
        if padding == "valid" and not 0 <= begin <= len(places) - size:
            continue
        seen = [places[i] if 0 <= i < len(places) else None for i in range(begin, begin + size)]
        total = sum((weight[:, :, k] @ x for k, x in enumerate(seen) if x is not None), torch.zeros(len(weight)))
        found.append(None if step is None else total)
    return found


def embedded(x: torch.Tensor, skip_zeros: bool) -> torch.Tensor:
    """Scaled, and with the positions 1, 2, ..."""
    steps, size = x.shape
    half, table = size // 2, torch.zeros(steps, size)
    for p in range(steps):
        if not (skip_zeros and x[p, 0] == 0):
            for k in range(half):
                angle = (p + 1) * math.exp(-k * math.log(10000) / (half - 1))
                table[p, k], table[p, half + k] = math.sin(angle), math.cos(angle)
    return math.sqrt(size) * x + table


def attended(attention, queries: torch.Tensor, keys: torch.Tensor, future_mask: bool) -> torch.Tensor:
    """Query by query, head by head."""
    if len(keys) == 0:
        return torch.zeros_like(queries)
    q, k, v = attention.query(queries), attention.key(keys), attention.value(keys)
    outputs = []
    for i in range(len(q)):
        last = min(len(k), i + abs(len(k) - len(q)) + 1) if future_mask else len(k)
        heads = []
        for part in torch.arange(q.shape[1]).split(attention.head_size):
            weights = (k[:last, part] @ q[i, part] / math.sqrt(attention.head_size)).softmax(0)
            heads.append(weights @ v[:last, part])
        outputs.append(attention.output(torch.cat(heads)))
    return torch.stack(outputs)


def encoded(encoder, x: torch.Tensor, config, source: torch.Tensor | None = None) -> torch.Tensor:
    """An encoder over real steps `(steps, size)`."""
    if len(x) == 0:
        return x
    x = embedded(x, config.pe_zero_first_channel)
    y = None if source is None else embedded(source, config.pe_zero_first_channel)
    for layer in encoder.layers:
        keys = x if y is None else y
        first, second = layer.attention_norm, layer.feed_forward_norm
        if config.norm_first:
            x = x + attended(layer.attention, first(x), first(keys), config.future_mask)
            x = x + layer.shrink(F.relu(layer.expand(second(x))))
        else:
            x = first(x + attended(layer.attention, x, keys, config.future_mask))
            x = second(x + layer.shrink(F.relu(layer.expand(x))))
    return encoder.norm(x)
