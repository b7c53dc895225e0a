# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MulT, github.com/yaohungt/Multimodal-Transformer; the code of LMR-CBT contains a copy of the encoder.

Only checkpoints with all three targets are converted. With one target, the public code also saves the unused encoders of the
others; with two targets it does not run.
"""

import re
from collections.abc import Callable

import torch

from ...models.mult import MulTForAffect
from ...tasks import Task
from .table import Conversion, Shapes, make_emotion_task


LETTERS = {"text": "l", "audio": "a", "visual": "v"}
IEMOCAP_EMOTIONS = ["neutral", "happy", "sad", "anger"]
PACKED = ("query", "key", "value")  # a single matrix in the public code

ENCODER_NAMES = {
    **{f"attention.{part}.{kind}": f"self_attn.in_proj_{kind}" for part in PACKED for kind in ("weight", "bias")},
    "attention.output": "self_attn.out_proj",
    "attention_norm": "layer_norms.0",
    "feed_forward_norm": "layer_norms.1",
    "expand": "fc1",
    "shrink": "fc2",
    "norm": "layer_norm",
    "heads.heads.sentiment": "out_layer",
    "heads.heads.emotion": "out_layer",
}
ENCODER_UNUSED = r"trans_\w+\.(version|embed_positions\._float_tensor)"


def take_third(index: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that takes query, key or value out of the packed matrix."""
    return lambda packed: packed.unflatten(0, (3, -1))[index] if len(packed) % 3 == 0 else packed


def merge_binary_logits(pairs: torch.Tensor) -> torch.Tensor:
    """Merge the two softmax logits of each label into one sigmoid logit with the same probability."""
    return pairs.unflatten(0, (-1, 2)).diff(dim=1).squeeze(1)


ENCODER_TRANSFORMS = {
    f"attention.{part}.{kind}": take_third(index) for index, part in enumerate(PACKED) for kind in ("weight", "bias")
} | {f"heads.heads.emotion.{kind}": merge_binary_logits for kind in ("weight", "bias")}


def count_layers(shapes: Shapes, encoder: str) -> int:
    """Count the layers of a public encoder."""
    return len({match[1] for name in shapes if (match := re.match(rf"{encoder}\.layers\.(\d+)\.", name))})


def make_task(shapes: Shapes, labels: list[str] | None) -> Task:
    """Make the task of the output layer: sentiment, or emotions with two logits each (those of IEMOCAP by default).

    Raises:
        ValueError: the labels do not fit the outputs.
    """
    outputs = shapes["out_layer.weight"][0]
    if outputs % 2 == 0:
        return make_emotion_task(IEMOCAP_EMOTIONS if labels is None else labels, outputs // 2)
    if outputs > 1 or labels is not None:
        raise ValueError(
            f"The checkpoint has {outputs} output{'s' * (outputs > 1)}; expected 1 (sentiment, without labels) or 2 per "
            "emotion."
        )
    return Task("sentiment", "regression", value_range=(-3.0, 3.0))


def read_projections(shapes: Shapes, modalities: list[str]) -> dict:
    """Read feature sizes, kernel sizes and the hidden size from the shapes of the input projections.

    Raises:
        ValueError: a feature size equals the hidden size; the public code does not project such features.
    """
    projections = {m: shapes[f"proj_{LETTERS[m]}.weight"] for m in modalities}
    for m, (width, size, _) in projections.items():
        if width == size:
            raise ValueError(
                f"The features of `{m}` have the hidden size of this checkpoint ({size}), so the public code does not use "
                "their projection; such checkpoints cannot be converted."
            )
    return {
        "hidden_size": next(iter(projections.values()))[0],
        "feature_sizes": {m: size for m, (_, size, _) in projections.items()},
        "kernel_sizes": {m: kernel for m, (_, _, kernel) in projections.items()},
    }


def read_mult_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public MulT checkpoint."""
    layers = {pair: count_layers(shapes, f"trans_{pair[0]}_with_{pair[1]}") for pair in ("la", "al", "vl")}
    if not all(layers.values()):
        raise ValueError("The checkpoint lacks the encoders of some targets; only those with all three are converted.")
    return read_projections(shapes, list(LETTERS)) | {
        "num_hidden_layers": layers["la"],
        "tasks": [make_task(shapes, labels)],
    }


MULT = Conversion(
    MulTForAffect,
    read_mult_fields,
    names=ENCODER_NAMES
    | {f"projections.{m}": f"proj_{letter}" for m, letter in LETTERS.items()}
    | {f"self_encoders.{m}": f"trans_{letter}_mem" for m, letter in LETTERS.items()}
    | {
        f"cross_encoders.{target}.{source}": f"trans_{own}_with_{other}"
        for target, own in LETTERS.items()
        for source, other in LETTERS.items()
    }
    | {"residual_step.0": "proj1", "residual_step.3": "proj2"},
    unused=ENCODER_UNUSED,
    undetermined=("num_attention_heads", "future_mask"),
    transforms=ENCODER_TRANSFORMS,
)
