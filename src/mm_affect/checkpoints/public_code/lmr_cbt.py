# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""LMR-CBT, github.com/skeletonNN/LMR-CBT.

Predictions of converted weights differ from those of the public code, whose BiLSTM runs along the batch.
"""

from ...models.lmr_cbt import LMRCBTForAffect
from .mult import ENCODER_NAMES, ENCODER_TRANSFORMS, ENCODER_UNUSED, count_layers, make_task, read_projections
from .table import Conversion, Shapes


OTHERS = {"audio": "a", "visual": "v"}


def read_lmr_cbt_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public LMR-CBT checkpoint."""
    fields = read_projections(shapes, list(OTHERS))
    return fields | {
        "feature_sizes": {"text": shapes["lstm.weight_ih_l0"][1]} | fields["feature_sizes"],
        "num_hidden_layers": count_layers(shapes, "trans_l_mem"),
        "tasks": [make_task(shapes, labels)],
    }


LMR_CBT = Conversion(
    LMRCBTForAffect,
    read_lmr_cbt_fields,
    names=ENCODER_NAMES
    | {
        f"inputs.text.layers.{layer}.{direction}.{kind}_l0": f"lstm.{kind}_l{layer}{ending}"
        for layer in range(2)
        for direction, ending in (("forward_lstm", ""), ("backward_lstm", "_reverse"))
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    | {"inputs.text.norm": "bn_l", "head.0": "proj1", "head.3": "proj2"}
    | {f"encoders.{m}": f"trans_{letter}_mem" for m, letter in ({"text": "l"} | OTHERS).items()}
    | {f"inputs.{m}.convolution": f"proj_{letter}" for m, letter in OTHERS.items()}
    | {f"inputs.{m}.norm": f"bn_{letter}" for m, letter in OTHERS.items()}
    | {f"blocks.{m}.of_target": f"cross_{letter}.0.channel_affine" for m, letter in OTHERS.items()}
    | {f"blocks.{m}.of_source": f"cross_{letter}.0.y_affine" for m, letter in OTHERS.items()},
    unused=ENCODER_UNUSED + r"|cross_[av]\.0\.attn_weight_affine\.(weight|bias)",
    undetermined=("num_attention_heads", "future_mask"),
    transforms=ENCODER_TRANSFORMS,
)
