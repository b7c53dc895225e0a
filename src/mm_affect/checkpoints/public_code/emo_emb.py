# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EMO-EMB, github.com/wenliangdai/Modality-Transferable-MER."""

import re

from ...models.emo_emb import EmoEmbForAffect
from ...vocabulary import MODALITIES
from .table import Conversion, Shapes, make_emotion_task


LABELS = ["anger", "disgust", "fear", "happy", "sad", "surprise"]  # the order of the authors' loader of CMU-MOSEI


def read_emo_emb_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public checkpoint of three modalities; weights include the label vectors."""
    return {
        "feature_sizes": {m: shapes[f"RNNs.{i}.weight_ih_l0"][1] for i, m in enumerate(MODALITIES)},
        "hidden_sizes": {m: shapes[f"RNNs.{i}.weight_hh_l0"][1] for i, m in enumerate(MODALITIES)},
        "num_hidden_layers": len([name for name in shapes if re.fullmatch(r"RNNs\.0\.weight_ih_l\d+", name)]),
        "tasks": [make_emotion_task(labels or LABELS, shapes["textEmoEmbs.weight"][0])],
        "label_vectors": None,
    }


EMO_EMB = Conversion(
    EmoEmbForAffect,
    read_emo_emb_fields,
    names={
        **{f"encoders.{m}.lstm": f"RNNs.{i}" for i, m in enumerate(MODALITIES)},
        "encoders.audio.affine": "affineAudio",
        "encoders.visual.affine": "affineVisual",
        "heads.heads.emotion.vectors": "textEmoEmbs.weight",
    },
    unused="(?!)",  # every weight is used
    undetermined=(),
)
