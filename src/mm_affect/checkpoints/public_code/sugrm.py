# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SUGRM, github.com/skystarhyw/SUGRM, with or without a fine-tuned BERT."""

import re

from transformers import BertConfig

from ...models.sugrm import SUGRMForAffect
from .spt import ENCODER_NAMES, ENCODER_TRANSFORMS, ENCODER_UNUSED, LETTERS, UNDETERMINED, read_encoder_sizes
from .table import Conversion, Shapes


BERT = "text_model.model"
VIEWS = {"fusion": "f", **LETTERS}


def read_sugrm_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public SUGRM checkpoint."""
    if labels is not None:
        raise ValueError("The public code of SUGRM predicts sentiments, which have no labels; leave the labels out.")
    fields = read_encoder_sizes(shapes) | {"common_size": shapes["proj1_f.weight"][0]}
    if any(name.startswith(f"{BERT}.") for name in shapes):
        embeddings = {
            name: shapes[f"{BERT}.embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        }
        layers = {
            match[1] for name in shapes if (match := re.match(rf"{re.escape(BERT)}\.encoder\.layer\.(\d+)\.", name))
        }
        fields["text_config"] = BertConfig(
            vocab_size=embeddings["word"][0],
            hidden_size=embeddings["word"][1],
            num_hidden_layers=len(layers),
            num_attention_heads=max(1, embeddings["word"][1] // 64),  # as in every published BERT
            intermediate_size=shapes[f"{BERT}.encoder.layer.0.intermediate.dense.weight"][0],
            max_position_embeddings=embeddings["position"][0],
            type_vocab_size=embeddings["token_type"][0],
        )
    return fields


SUGRM = Conversion(
    SUGRMForAffect,
    read_sugrm_fields,
    names=ENCODER_NAMES
    | {f"common.{view}.0": f"proj1_{letter}" for view, letter in VIEWS.items()}
    | {f"common.{view}.3": f"proj2_{letter}" for view, letter in VIEWS.items()}
    | {f"heads.heads.sentiment_{m}": f"out_layer_{letter}" for m, letter in LETTERS.items()}
    | {"heads.heads.sentiment": "out_layer_f", "recalibration.squeeze": "se_model.wg", "text_encoder": BERT}
    | {f"recalibration.excite.{m}": f"se_model.w{letter}" for m, letter in zip(LETTERS, "lav")},
    unused=ENCODER_UNUSED + rf"|{re.escape(BERT)}\.embeddings\.position_ids",
    undetermined=UNDETERMINED,
    transforms=ENCODER_TRANSFORMS,
)
