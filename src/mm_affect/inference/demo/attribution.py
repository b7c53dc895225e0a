# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which words and which moments of a clip an answer rests on: attention where the model has it, else occlusion.

Attention (the model's own weights): what the steps of a modality receive, mean over heads and queries of every layer
that reads that modality. It is taken only of a model all of whose attention layers read the steps of one modality
each, such as MulT: where streams are joined in time or summarized first, a weight has no word to belong to. It says
where a model looks, not what follows from it, and is the same for every task.

Occlusion (Zeiler and Fergus, ECCV 2014, here over time): a piece is hidden, the model is asked again, and the piece
counts by how much that lowers the log-odds of the strongest label (probabilities near 0 and 1 hardly move); below zero,
the piece speaks against it. For a regression it is the change of the value itself: positive pieces raise it.
"""

from typing import NamedTuple

import numpy as np
import torch

from ..pipeline import predict_logits
from .recognition import ClipFeatures, Recognizer


MAX_SEGMENTS = 24  # of a modality that are hidden in turn, at most
MIN_SEGMENT = 0.25  # seconds
MAX_WORDS = 60  # of a longer transcript, neighbors are hidden together


class Segment(NamedTuple):
    """Steps `first` to `last` (excluded) of a modality, and their weight."""

    first: int
    last: int
    weight: float


class Attribution(NamedTuple):
    """`way` is "attention" or "occlusion"; `pieces`: per task, per modality."""

    method: str
    segments: dict[str, dict[str, list[Segment]]]


def compute_attribution(recognizer: Recognizer, reading: ClipFeatures, modalities) -> Attribution:
    """The marks of a clip of which the model sees `modalities` only."""
    row = recognizer.only(reading.row, modalities)
    seen = [modality for modality in reading.present if modality in modalities]
    received = attention_received(recognizer, row, seen)
    if received is not None:
        return Attribution("attention", {task.name: received for task in recognizer.tasks})
    return Attribution("occlusion", occlusion_changes(recognizer, row, seen))


@torch.no_grad()
def attention_received(recognizer: Recognizer, row: dict, modalities: list[str]) -> dict[str, list[Segment]] | None:
    """The attention that each step receives, divided by what it would receive if all were alike; None if the model
    has none that belongs to steps. The model must be loaded with `attn_implementation="eager"`."""
    if recognizer.processor.tokenizer is not None:  # its steps are tokens, of which words may have several
        return None
    batch = recognizer.processor([row])
    masks = pad_to_unique_lengths({modality: batch[f"{modality}_mask"][0] for modality in modalities})
    for modality, mask in masks.items():
        added = len(mask) - batch[modality].shape[1]
        batch[modality] = torch.nn.functional.pad(batch[modality], (0, 0, 0, added))
        batch[f"{modality}_mask"] = mask[None]
    layers = recognizer.model(**batch.to(recognizer.model.device), output_attentions=True).attentions
    by_length = {len(mask): modality for modality, mask in masks.items()}
    if not layers or any(weights.shape[-1] not in {1, *by_length} for weights in layers):
        return None
    received = {modality: [] for modality in modalities}
    for weights in layers:
        queries, keys = (by_length.get(length) for length in weights.shape[-2:])
        if keys is not None:
            mean = weights[0].float().cpu().mean(0)  # (queries, keys)
            mean = (mean[masks[queries]] if queries else mean).mean(0)[masks[keys]]
            received[keys].append((mean * len(mean)).numpy())
    if not all(received.values()):
        return None
    return {
        modality: [
            Segment(int(i), int(i) + 1, float(w)) for i, w in zip(masks[modality].nonzero(), np.mean(weights, 0))
        ]
        for modality, weights in received.items()
    }


def pad_to_unique_lengths(masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The masks with padding added until no two are equally long, nor one step: so a length tells its modality."""
    apart, lengths = {}, {1}
    for modality, mask in masks.items():
        while len(mask) in lengths:
            mask = torch.nn.functional.pad(mask, (0, 1))
        lengths.add(len(mask))
        apart[modality] = mask
    return apart


def occlusion_changes(recognizer: Recognizer, row: dict, modalities: list[str]) -> dict[str, dict[str, list[Segment]]]:
    """Per task and modality, by how much the answer falls when a piece is hidden."""
    pieces = [(modality, *ends) for modality in modalities for ends in segment_bounds(recognizer, row, modality)]
    hidden = [mask_segment(recognizer, row, *piece) for piece in pieces]
    whole, *others = predict_logits(recognizer.model, recognizer.processor, [row, *hidden])
    found = {}
    for task in recognizer.tasks:
        scores = task.scores(np.stack([logits[task.name] for logits in (whole, *others)]))
        scores = scores if scores.ndim == 1 else log_odds(scores[:, scores[0].argmax()])
        found[task.name] = {modality: [] for modality in modalities}
        for (modality, first, last), score in zip(pieces, scores[1:], strict=True):
            found[task.name][modality].append(Segment(first, last, float(scores[0] - score)))
    return found


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Finite for 0 and 1 as well."""
    probability = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.log(probability / (1 - probability))


def segment_bounds(recognizer: Recognizer, row: dict, modality: str) -> list[tuple[int, int]]:
    """Where each piece begins and ends, in steps: single words, or stretches of a quarter of a second or more."""
    if modality == "text":
        steps = len(row["transcript"].split())
        size = -(-steps // MAX_WORDS)
    else:
        steps = len(row[modality])
        shortest = round(MIN_SEGMENT * recognizer.processor.extractor(modality).rate)
        size = max(1, shortest, -(-steps // MAX_SEGMENTS))
    return [(first, min(first + size, steps)) for first in range(0, steps, size)]


def mask_segment(recognizer: Recognizer, row: dict, modality: str, first: int, last: int) -> dict:
    """The row with steps of a modality hidden; a step of NaN is one that was not measured."""
    if modality not in recognizer.processor.feature_sizes:  # words that a tokenizer reads
        words = row["transcript"].split()
        return row | {"transcript": " ".join(words[:first] + words[last:])}
    values = np.array(row[modality], np.float32)
    values[first:last] = np.nan
    return row | {modality: values}
