# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints of the authors' public code, read safely and written as folders that `AutoModel` loads.

Each architecture has a table of renamings, from the names of the public code to ours, and a function that reads the
configuration off the shapes. What no computation of the public code reads is dropped, and listed.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .models.configuration import EMOTIONS, AffectConfig, Task
from .models.modeling import AffectPreTrainedModel
from .models.tailor import TailorConfig, TailorForAffect


@dataclass(frozen=True)
class Conversion:
    """How checkpoints of one public code become ours.

    Args:
        model_class: the architecture.
        config_of: from the state dict, the labels and further fields to the config.
        renamings: pattern and replacement, of which the first that fits a whole name applies.
        dropped: patterns of what the public code never reads.
        reordered: by our name, the order of the rows that ours has.
    """

    model_class: type[AffectPreTrainedModel]
    config_of: object
    renamings: dict[str, str]
    dropped: tuple[str, ...]
    reordered: dict[str, list[int]]


def tailor_config(state: dict[str, torch.Tensor], labels: list[str], fields: dict) -> TailorConfig:
    """The configuration that the shapes of a public TAILOR checkpoint tell; the number of heads they do not (8)."""
    layers = lambda part: 1 + max(  # noqa: E731
        int(found[1]) for name in state if (found := re.match(rf"{part}\.encoder\.layer\.(\d+)\.", name))
    )
    sizes = {"text": "bert", "audio": "audio", "visual": "visual"}
    told = {
        "feature_sizes": {m: state[f"{part}.embeddings.word_embeddings.weight"].shape[1] for m, part in sizes.items()},
        "encoder_layers": {m: layers(part) for m, part in sizes.items()},
        "cross_layers": layers("pc_cross"),
        "hidden_size": state["bert.embeddings.word_embeddings.weight"].shape[0],
        "intermediate_size": state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": len(state["bert.embeddings.position_embeddings.weight"]),
        "tasks": [Task("emotion", labels=tuple(labels), threshold=0.35)],
    }
    return TailorConfig.reference(**told | fields)
