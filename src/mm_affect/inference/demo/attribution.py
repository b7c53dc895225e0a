# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attribution: which words and moments an answer depends on, by attention if the model has it, else by occlusion.

Attention: the weights that the steps of a modality receive, averaged over the heads and queries of every layer that
attends to that modality. It is used only for models whose attention layers each read the steps of one modality, such as
MulT: where streams are merged in time or summarized first, a weight belongs to no word. Attention says where a model
looks, not what follows from it, and is the same for every task.

Occlusion (Zeiler and Fergus, ECCV 2014, here over time): a segment is masked, the model predicts again, and the weight of
the segment is the drop in the log-odds of the strongest label (probabilities near 0 and 1 hardly move); a negative weight
speaks against the label. For a regression the weight is the change of the value: positive segments raise it.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import torch

from ..pipeline import predict_logits
from .recognition import ClipFeatures, Recognizer


MAX_SEGMENTS = 24  # of audio and visual
MIN_SEGMENT = 0.25  # seconds
MAX_WORDS = 60  # in longer transcripts, neighboring words share a segment


class Segment(NamedTuple):
    """Steps `first` to `last` (excluded) of a modality, and their weight."""

    first: int
    last: int
    weight: float


class Attribution(NamedTuple):
    """Segments per task and modality, and the `method` that weighted them, "attention" or "occlusion"."""

    method: str
    segments: dict[str, dict[str, list[Segment]]]


def compute_attribution(recognizer: Recognizer, features: ClipFeatures, modalities: Collection[str]) -> Attribution:
    """Compute the attribution of a clip of which the model reads `modalities` only."""
    row = recognizer.drop_modalities(features.row, modalities)
    selected = [modality for modality in features.present if modality in modalities]
    received = compute_attention(recognizer, row, selected)
    if received is not None:
        return Attribution("attention", {task.name: received for task in recognizer.tasks})
    return Attribution("occlusion", compute_occlusion(recognizer, row, selected))


@torch.no_grad()
def compute_attention(
    recognizer: Recognizer, row: dict[str, Any], modalities: list[str]
) -> dict[str, list[Segment]] | None:
    """Return the attention that each step receives, relative to uniform attention.

    The model must be loaded with `attn_implementation="eager"`, which returns the weights.

    Returns:
        One segment per step of each modality; None if the model has no attention over single steps.
    """
    if recognizer.processor.tokenizer is not None:  # steps are tokens, and a word may have several
        return None
    batch = recognizer.processor([row])
    masks = pad_to_unique_lengths({modality: batch[f"{modality}_mask"][0] for modality in modalities})
    for modality, mask in masks.items():
        padding = len(mask) - batch[modality].shape[1]
        batch[modality] = torch.nn.functional.pad(batch[modality], (0, 0, 0, padding))
        batch[f"{modality}_mask"] = mask[None]
    layers = recognizer.model(**batch.to(recognizer.model.device), output_attentions=True).attentions
    by_length = {len(mask): modality for modality, mask in masks.items()}
    if not layers or any(weights.shape[-1] not in {1, *by_length} for weights in layers):
        return None
    received: dict[str, list[np.ndarray]] = {modality: [] for modality in modalities}
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
    """Pad the masks until all lengths differ and none is 1, so that a length identifies its modality."""
    padded, lengths = {}, {1}
    for modality, mask in masks.items():
        while len(mask) in lengths:
            mask = torch.nn.functional.pad(mask, (0, 1))
        lengths.add(len(mask))
        padded[modality] = mask
    return padded


def compute_occlusion(
    recognizer: Recognizer, row: dict[str, Any], modalities: list[str]
) -> dict[str, dict[str, list[Segment]]]:
    """Return, per task and modality, the segments weighted by the drop of the answer when they are masked."""
    segments = [(modality, *bounds) for modality in modalities for bounds in segment_bounds(recognizer, row, modality)]
    masked = [mask_segment(recognizer, row, *segment) for segment in segments]
    predictions = predict_logits(recognizer.model, recognizer.processor, [row, *masked])
    weighted: dict[str, dict[str, list[Segment]]] = {}
    for task in recognizer.tasks:
        scores = task.scores(np.stack([logits[task.name] for logits in predictions]))
        scores = scores if scores.ndim == 1 else log_odds(scores[:, scores[0].argmax()])
        weighted[task.name] = {modality: [] for modality in modalities}
        for (modality, first, last), score in zip(segments, scores[1:], strict=True):
            weighted[task.name][modality].append(Segment(first, last, float(scores[0] - score)))
    return weighted


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Return the log-odds of probabilities, finite at 0 and 1."""
    probability = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.log(probability / (1 - probability))


def segment_bounds(recognizer: Recognizer, row: dict[str, Any], modality: str) -> list[tuple[int, int]]:
    """Return the first and last step of each segment: single words, or a quarter of a second or more."""
    if modality == "text":
        steps = len(row["transcript"].split())
        size = -(-steps // MAX_WORDS)
    else:
        steps = len(row[modality])
        shortest = round(MIN_SEGMENT * recognizer.processor.extractor(modality).rate)
        size = max(1, shortest, -(-steps // MAX_SEGMENTS))
    return [(first, min(first + size, steps)) for first in range(0, steps, size)]


def mask_segment(recognizer: Recognizer, row: dict[str, Any], modality: str, first: int, last: int) -> dict[str, Any]:
    """Return the row with the steps of a segment set to NaN, which marks them as not measured."""
    if modality not in recognizer.processor.feature_sizes:  # words for a tokenizer
        words = row["transcript"].split()
        return row | {"transcript": " ".join(words[:first] + words[last:])}
    values = np.array(row[modality], np.float32)
    values[first:last] = np.nan
    return row | {modality: values}
